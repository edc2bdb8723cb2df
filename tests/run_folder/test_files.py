"""replace_file writes a complete file, or none."""

import os
from pathlib import Path

import pytest

from al_lightning.run_folder import files as durable
from al_lightning.run_folder.files import keep_copy, put_aside, read_committed, replace_file, restore, sha256_of


def test_a_file_is_replaced_and_synced_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(durable.os, "fsync", lambda fd: (done.append("sync"), sync(fd)))
    monkeypatch.setattr(durable.os, "replace", lambda old, new: (done.append("rename"), rename(old, new)))
    (tmp_path / "a").write_bytes(b"old")
    replace_file(tmp_path / "a", memoryview(b"new"))
    assert (tmp_path / "a").read_bytes() == b"new"
    assert done == ["sync", "rename"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_is_full_keeps_the_old_one_and_gives_back_the_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(durable.os, call, full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_table_is_put_aside_under_a_free_name(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "a.csv").write_text(str(number))
        put_aside(tmp_path / "a.csv")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a.old.csv": "0",
        "a.old2.csv": "1",
        "a.old3.csv": "2",
    }


def test_an_edited_table_is_restored_from_its_copy(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    table = tmp_path / "asked.csv"
    keep_copy(table, "index,label\n7,\n")
    sha256 = sha256_of("index,label\n7,\n")
    table.write_text("index;label\n7;cat\n")
    assert read_committed(table, sha256) == "index,label\n7,\n"
    assert restore(table, sha256)
    assert table.read_text() == "index,label\n7,\n"
    assert (tmp_path / "asked.old.csv").read_text() == "index;label\n7;cat\n"
    assert "asked.csv was edited; it is now asked.old.csv." in capsys.readouterr().err
    table.unlink()
    assert restore(table, sha256)
    assert table.read_text() == "index,label\n7,\n"
    assert capsys.readouterr().err == ""


def test_a_table_without_a_copy_of_its_content_stays(tmp_path: Path) -> None:
    table = tmp_path / "asked.csv"
    table.write_text("edited")
    assert not restore(table, sha256_of("committed"))
    keep_copy(table, "an older commit")
    assert not restore(table, sha256_of("committed"))
    assert table.read_text() == "edited"
