"""write_report: all of it, or what was there before."""

import errno
import os
from pathlib import Path

import pytest

from al_lightning import InputError
from al_lightning.report.write import write_report
from tests.report.reports import analysis, study


def small():
    return analysis(study(["random"], max_rounds=2))


def contents(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file() and "tensorboard" not in path.parts)
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def test_it_writes_everything_and_the_same_bytes_again(tmp_path: Path) -> None:
    tables = small()
    page = write_report(tables, tmp_path / "a" / "b", command="al-lightning report runs")
    assert page == tmp_path / "a" / "b" / "report.html"
    first = contents(page.parent)
    assert {"report.html", "summary.csv", "summary.json", "figures/cost.svg", "figures/cost.png"} <= first.keys()
    assert "al-lightning report runs" in first["report.html"].decode()
    assert list((page.parent / "tensorboard").glob("events.out.tfevents.*"))
    write_report(tables, page.parent, command="al-lightning report runs")
    assert contents(page.parent) == first


def test_a_full_disk_leaves_the_report_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "report.html").write_text("before")

    def full(path: Path, content: bytes) -> None:
        if path.name.startswith("report.html"):
            path.write_bytes(content[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        path.write_bytes(content)

    monkeypatch.setattr("al_lightning.run_folder.files.write_synced", full)
    with pytest.raises(InputError, match="^Expected to write a report to .*, but got: No space left on device.$"):
        write_report(small(), tmp_path)
    assert (tmp_path / "report.html").read_text() == "before"
    assert not list(tmp_path.rglob("*.new"))


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="^Expected to write a report to .*out, but got: .*"):
        write_report(small(), tmp_path / "out")
