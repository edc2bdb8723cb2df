"""Names of samples are relative to the folder of the data."""

from pathlib import Path

import pytest

from al_lightning.run_folder.sample_names import name_of


@pytest.mark.parametrize("root", ["photos", "./photos/", str(Path("photos").absolute()), "photos/../photos"])
@pytest.mark.parametrize("file", ["photos/a b/1.jpg", str(Path("photos/a b/1.jpg").absolute())])
def test_files_in_the_folder_of_the_data(root: str, file: str) -> None:
    assert name_of(file, root) == "a b/1.jpg"


@pytest.mark.parametrize(
    ("file", "root", "name"),
    [
        ("other/1.jpg", "photos", "other/1.jpg"),
        ("photos2/1.jpg", "photos", "photos2/1.jpg"),
        ("a/1.jpg", None, "a/1.jpg"),
        ("data/wine.npz:156", None, "wine.npz:156"),
        ("", "photos", ""),
        ("", None, ""),
    ],
)
def test_other_samples(file: str, root: str | None, name: str) -> None:
    assert name_of(file, root) == name


def test_a_folder_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert name_of("/home/ann/photos/1.jpg", "~/photos") == "1.jpg"
