"""Rows on disk of a command that may be killed at any moment."""

from pathlib import Path

import numpy as np
import pytest

from al_lightning.data.partial_rows import PartialRows
from al_lightning.errors import InputError

ROWS = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
JOB = {"weights": "a", "samples": "b"}


def begun(path: Path, num: int = 4) -> PartialRows:
    rows = PartialRows(path, JOB, "float32")
    rows.append(ROWS[:num])
    rows.save()
    return rows


def test_rows_are_there_again(tmp_path: Path) -> None:
    begun(tmp_path / "x.part").close()
    rows = PartialRows(tmp_path / "x.part", JOB, "float32")
    assert rows.num_rows == 4
    rows.append(ROWS[4:])
    np.testing.assert_array_equal(rows.rows(), ROWS)
    rows.delete()
    assert not any(tmp_path.iterdir())


def test_rows_after_the_last_note_are_cut_off(tmp_path: Path) -> None:
    rows = begun(tmp_path / "x.part")
    rows.append(ROWS[:5])
    rows.close()  # as a kill does, without a note
    with (tmp_path / "x.part").open("ab") as file:
        file.write(b"half a r")
    rows = PartialRows(tmp_path / "x.part", JOB, "float32")
    assert rows.num_rows == 4
    rows.append(ROWS[4:])
    np.testing.assert_array_equal(rows.rows(), ROWS)


@pytest.mark.parametrize("damage", ["short", "other bytes", "no note", "torn note", "no rows"])
def test_rows_that_the_disk_lost_are_made_again(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.part"
    begun(path).close()
    content = bytearray(path.read_bytes())
    if damage == "short":
        path.write_bytes(content[:-1])
    elif damage == "other bytes":
        content[7] ^= 1
        path.write_bytes(content)
    elif damage == "no note":
        (tmp_path / "x.part.json").unlink()
    elif damage == "torn note":
        (tmp_path / "x.part.json").write_text('{"job": ')
    else:
        path.unlink()
    rows = PartialRows(path, JOB, "float32")
    assert rows.num_rows == 0
    rows.append(ROWS)
    np.testing.assert_array_equal(rows.rows(), ROWS)


def test_rows_of_another_job_are_refused(tmp_path: Path) -> None:
    begun(tmp_path / "x.part").close()
    with pytest.raises(
        InputError, match="x.part to be of the same job, but they are of other weights; delete the file"
    ):
        PartialRows(tmp_path / "x.part", {**JOB, "weights": "c"}, "float32")
    with pytest.raises(InputError, match="but they are of other samples and weights; delete"):
        PartialRows(tmp_path / "x.part", {"weights": 1, "samples": 2}, "float32")


def test_no_rows(tmp_path: Path) -> None:
    assert PartialRows(tmp_path / "x.part", JOB, "float16").rows().shape == (0, 0)
