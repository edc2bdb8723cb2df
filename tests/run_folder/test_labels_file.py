"""labels.csv: the labels as they are now."""

import csv
from pathlib import Path

import pytest

from al_lightning.run_folder.labels_file import write_labels
from al_lightning.run_folder.tables import Answered, Query

BOUGHT = [Query(0, 0, 7, 0), Query(0, 1, 9, -1), Query(1, 0, 2, 1), Query(2, 0, 4, None)]
ANSWERS = [
    Answered(0, 7, "a b/7 ü.jpg", "cat", "known"),
    Answered(0, 9, "9.jpg", "skip", "answer", "ben"),
    Answered(1, 2, "2.jpg", "dog", "answer", "anna"),
    Answered(1, 2, "2.jpg", "cat", "other", "ben"),
]
CORRECTION = Answered(3, 2, "2.jpg", "Größe 3", "correction", "carl")


def rows(folder: Path) -> list[list[str]]:
    with (folder / "labels.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_the_label_that_counts_is_written_with_its_round_and_person(tmp_path: Path) -> None:
    write_labels(tmp_path, BOUGHT, [*ANSWERS, CORRECTION])
    assert rows(tmp_path) == [
        ["file", "index", "label", "round", "annotator"],
        ["a b/7 ü.jpg", "7", "cat", "0", ""],
        ["9.jpg", "9", "skip", "0", "ben"],
        ["2.jpg", "2", "Größe 3", "3", "carl"],
    ]
    assert (tmp_path / "labels.csv").read_bytes().startswith(b"\xef\xbb\xbf")  # Excel shows umlauts


def test_a_file_that_somebody_edited_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_labels(tmp_path, BOUGHT, ANSWERS)
    write_labels(tmp_path, BOUGHT, [*ANSWERS, CORRECTION])
    assert not list(tmp_path.glob("labels.old*"))
    for text in ("mine", "mine, too"):
        (tmp_path / "labels.csv").write_text(text)
        write_labels(tmp_path, BOUGHT, ANSWERS)
        assert "labels.csv was edited" in capsys.readouterr().err
        assert len(rows(tmp_path)) == 4
    assert (tmp_path / "labels.old.csv").read_text() == "mine"
    assert (tmp_path / "labels.old2.csv").read_text() == "mine, too"


def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "labels.csv").mkdir()
    write_labels(tmp_path, BOUGHT, ANSWERS)
    assert "labels.csv could not be written: Is a directory" in capsys.readouterr().err
    (tmp_path / "labels.csv").rmdir()
    write_labels(tmp_path, BOUGHT, ANSWERS)
    assert len(rows(tmp_path)) == 4


def test_after_a_kill_only_an_edited_file_stays(tmp_path: Path) -> None:
    write_labels(tmp_path, BOUGHT, ANSWERS)
    before = (tmp_path / ".labels").read_text()
    write_labels(tmp_path, BOUGHT, [*ANSWERS, CORRECTION], over_edited=False)
    assert rows(tmp_path)[3][2] == "Größe 3"
    (tmp_path / ".labels").write_text(before)  # killed before it was noted
    write_labels(tmp_path, BOUGHT, [*ANSWERS, CORRECTION], over_edited=False)
    assert (tmp_path / ".labels").read_text() != before
    (tmp_path / "labels.csv").write_text("mine")
    write_labels(tmp_path, BOUGHT, ANSWERS, over_edited=False)
    assert (tmp_path / "labels.csv").read_text() == "mine"
    (tmp_path / "labels.csv").unlink()
    write_labels(tmp_path, BOUGHT, ANSWERS, over_edited=False)
    assert len(rows(tmp_path)) == 4
