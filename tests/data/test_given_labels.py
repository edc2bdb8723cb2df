"""Labels in a table besides the data: --data.labels labels.csv."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from al_lightning.data import NumpyFiles
from al_lightning.errors import InputError
from tests.data.test_arrange import Own
from tests.data.test_images import make, save_digits


def table(path: Path, rows: list[tuple[object, ...]], header: tuple[str, ...] = ("file", "label")) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Images of three digits, in no folder of a class."""
    save_digits(tmp_path / "new", 40)
    for path in (tmp_path / "new").rglob("*.png"):
        path.rename(tmp_path / f"{path.parent.name}_{path.name}")
    for folder in sorted((tmp_path / "new").rglob("*"), reverse=True):
        folder.rmdir()
    (tmp_path / "new").rmdir()
    return tmp_path


def test_labels_of_files_are_as_if_the_files_lay_in_folders_of_classes(photos: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in photos.glob("*.png"))
    rows = [(name, name.split("_")[0]) for name in names[:6]] + [(names[6], "skip"), (names[7], "")]
    data = make(photos, labels=table(tmp_path / "labels.csv", rows), test_fraction=0)
    classes = data.list_class_names()
    assert classes == sorted({label for _, label in rows[:6]})
    known = {data.name_of(i): classes[t] for i, t in enumerate(data.train_targets.tolist()) if t >= 0}
    assert known == dict(rows[:6])


@pytest.mark.parametrize("form", ["{name}", "{root}/{name}", "{last}/{name}", "C:\\ann\\{last}\\{name}", "./{name}"])
def test_files_are_found_by_any_of_their_names(photos: Path, tmp_path: Path, form: str) -> None:
    name = sorted(path.name for path in photos.glob("*.png"))[3]
    rows = [(form.format(name=name, root=photos, last=photos.name), "cat")]
    data = make(photos, labels=table(tmp_path / "labels.csv", rows), classes=["cat", "dog"], test_fraction=0)
    assert [data.name_of(int(i)) for i in (data.train_targets >= 0).nonzero()] == [name]


def test_a_file_of_another_folder_is_another_file(tmp_path: Path) -> None:
    """Cameras give the same names to different photos."""
    for number, name in enumerate(("unlabeled/anna/1.png", "unlabeled/ben/2.png", "unlabeled/ben/3.png", "4.png")):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), number * 50, dtype=np.uint8)).save(tmp_path / "photos" / name)
    rows = [("ben/1.png", "dog"), ("anna/2.png", "dog"), ("carl/4.png", "dog"), ("ben/3.png", "cat")]
    given = table(tmp_path / "labels.csv", rows)
    data = make(tmp_path / "photos", labels=given, classes=["cat", "dog"], test_fraction=0)
    with pytest.warns(UserWarning, match="3 of 4 labels .*: ben/1.png, anna/2.png, carl/4.png"):
        targets = data.train_targets.tolist()
    assert {data.name_of(i): target for i, target in enumerate(targets) if target >= 0} == {"unlabeled/ben/3.png": 0}


def test_a_test_set_is_drawn_from_these_labels(photos: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in photos.glob("*.png"))
    rows = [(name, name.split("_")[0]) for name in names]
    data = make(photos, labels=table(tmp_path / "labels.csv", rows), test_fraction=0.25)
    assert len(data.test_targets) == round(len(names) / 4)
    assert [list(data.class_names or ())[t] for t in data.test_targets.tolist()] == [
        Path(file).name.split("_")[0] for file in data.test_files()
    ]


def test_labels_win_over_folders_and_count_in_the_fingerprint(tmp_path: Path) -> None:
    save_digits(tmp_path / "photos", 30)
    plain = make(tmp_path / "photos", test_fraction=0)
    moved = plain.name_of(0)
    one, other = (
        make(tmp_path / "photos", test_fraction=0, labels=table(tmp_path / f"{label}.csv", [(moved, label)]))
        for label in ("digit0", "digit2")
    )
    assert [int(data.train_targets[0]) for data in (plain, one, other)] == [0, 0, 2]
    assert len({plain.fingerprint(), one.fingerprint(), other.fingerprint()}) == 3


def test_labels_of_rows_are_found_by_row_or_index(tmp_path: Path) -> None:
    targets = np.array(["a", "b"] * 10 + [""] * 10)
    np.savez(tmp_path / "x.npz", inputs=np.random.RandomState(0).randn(30, 3), targets=targets)
    plain = NumpyFiles(str(tmp_path / "x.npz"), classes=["a", "b"])
    index = int((plain.train_targets < 0).nonzero()[0])
    rows = [("", index, "b"), ("x.npz:29", "", "a"), ("x.npz:28", 0, "b")]
    labels = table(tmp_path / "labels.csv", rows, ("file", "index", "label"))
    data = NumpyFiles(str(tmp_path / "x.npz"), classes=["a", "b"], labels=labels)
    changed = (data.train_targets != plain.train_targets).nonzero().flatten().tolist()
    assert {data.name_of(i): int(data.train_targets[i]) for i in changed} == {
        plain.name_of(index): 1,
        "x.npz:29": 0,
        "x.npz:28": 1,
    }
    assert data.test_targets.equal(plain.test_targets)
    assert data.fingerprint() == plain.fingerprint()


def test_data_of_ones_own_take_labels_by_index(tmp_path: Path) -> None:
    class Labeled(Own):
        def __init__(self, labels: str) -> None:
            super().__init__(10)
            self.labels = labels

    data = Labeled(table(tmp_path / "labels.csv", [(3, "a"), (99, "b")], ("index", "label")))
    with pytest.warns(UserWarning, match="1 of 2 labels in .* are of samples that are not there: sample 99"):
        targets = data.train_targets
    expected = torch.arange(10) % 2
    expected[3] = 0
    assert targets.equal(expected)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("a.png", "dig1t0")], "to be classes, but got `dig1t0`; did you mean digit0?"),
        (
            [("{0}", "digit0"), ("{0}", "digit1")],
            "one label of each sample in .*, but .* is digit0 and digit1",
        ),
    ],
)
def test_bad_labels_are_refused(photos: Path, tmp_path: Path, rows: list[tuple[str, str]], words: str) -> None:
    name = sorted(path.name for path in photos.glob("*.png"))[0]
    rows = [(file.format(name), label) for file, label in rows]
    data = make(photos, labels=table(tmp_path / "x.csv", rows), classes=["digit0", "digit1", "digit2"])
    with pytest.raises(InputError, match=words.replace("?", r"\?")):
        data.setup()


@pytest.mark.parametrize(("name", "words"), [("none.csv", "`data.labels` to be a file"), ("", "is a folder")])
def test_what_is_no_table_is_refused(photos: Path, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make(photos, labels=str(photos / name), classes=["a", "b"]).setup()
