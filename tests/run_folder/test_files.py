"""replace_file writes a complete file, or none."""

import os
from pathlib import Path

import pytest

from al_lightning.run_folder import files as durable
from al_lightning.run_folder.files import replace_file


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
