"""A file in an answer stands for a sample."""

from pathlib import Path

import pytest

from al_lightning.labeling.samples import Named, Samples

ROOT = Path("photos").absolute()
SAMPLES = [
    Named(0, "photos/a/1.jpg"),
    Named(1, "photos/b/1.jpg"),
    Named(2, "", "ü x.jpg"),  # only the ledger knows it
    Named(3, "photos/c/2.jpg", "c/2.jpg"),
    Named(4, "photos/3.jpg"),
    Named(5, "photos/c/3.jpg"),
    Named(6),
]


def found(file: str, samples: list[Named] = SAMPLES, root: str | None = "photos") -> list[int]:
    return [sample.index for sample in Samples(samples, root).of_file(file)]


@pytest.mark.parametrize(
    ("file", "indices"),
    [
        ("photos/a/1.jpg", [0]),
        ("a/1.jpg", [0]),
        ("./photos/a/1.jpg", [0]),
        ("photos\\a\\1.jpg", [0]),
        (str(ROOT / "a" / "1.jpg"), [0]),
        ("C:\\Users\\ann\\photos\\a\\1.jpg", [0]),
        ("/home/ben/photos/b/1.jpg", [1]),
        ("1.jpg", [0, 1]),
        ("2.jpg", [3]),
        ("ü x.jpg", [2]),
        ("u\u0308 x.jpg", [2]),
        ("3.jpg", [4]),  # this very name
        ("c/3.jpg", [5]),
        ("/elsewhere/a/1.jpg", []),
        ("elsewhere/a/1.jpg", []),
        ("C:/a/1.jpg", []),
        ("/1.jpg", []),
        ("1", []),
        ("", []),
        ("/", []),
    ],
)
def test_forms_of_a_file(file: str, indices: list[int]) -> None:
    assert found(file) == indices


@pytest.mark.parametrize("root", ["photos", str(ROOT), "./photos/"])
def test_the_folder_of_the_data_may_be_written_in_any_way(root: str) -> None:
    samples = [Named(7, f"{ROOT}/a/1.jpg")]
    for file in ("a/1.jpg", "photos/a/1.jpg", f"{ROOT}/a/1.jpg"):
        assert found(file, samples, root) == [7]


def test_rows_of_a_file() -> None:
    samples = [Named(row, f"data/wine.npz:{row}") for row in (1, 11)]
    for file in ("wine.npz:1", "data/wine.npz:1", str(Path("data/wine.npz:1").absolute())):
        assert found(file, samples, None) == [1]
    assert found("wine.npz:111", samples, None) == []


def test_a_file_is_compared_with_the_sample_of_an_index() -> None:
    samples = Samples(SAMPLES, "photos")
    assert samples.is_of("1.jpg", SAMPLES[1])
    assert samples.is_of("u\u0308 x.jpg", SAMPLES[2])
    assert not samples.is_of("a/1.jpg", SAMPLES[1])
    assert samples.is_of("anything", SAMPLES[6])  # nobody knows


@pytest.mark.parametrize(
    ("name", "encoding"), [("9.41\u202fAM.png", "cp1252"), ("o\u0308 \u0151.png", "cp1252"), ("한 日🙂.png", "ascii")]
)
def test_a_question_mark_stands_for_what_an_encoding_lacks(name: str, encoding: str) -> None:
    samples = Samples([Named(7, f"photos/{name}"), Named(8, "photos/other.png")], "photos")
    said = f"photos/{name}".encode(encoding, "replace").decode(encoding)
    assert "?" in said
    assert samples.is_of(said, samples[7])
    assert not samples.is_of(said, samples[8])
    assert samples.of_file(said) == []  # without an index it is no name
