"""Rows that a long command computes one block after another, kept on disk so that the command can go on."""

import json
import os
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from al_lightning.errors import InputError

SECONDS = 2.0
"""After this time, the rows are synced, and their number is noted."""


class PartialRows:
    """Rows of numbers in a file that grows: ``photos.npz.part``.

    A note beside the file, ``photos.npz.part.json``, says for which job the rows are, how many there are, and their
    checksum. After a kill, rows that the note does not count are cut off.

    Args:
        path: The file.
        job: Plain values that identify the job. Rows of another job are not used.
        dtype: Of the rows: float32 or float16.

    Raises:
        InputError: If the file belongs to another job.
    """

    def __init__(self, path: Path, job: dict[str, Any], dtype: str) -> None:
        self._path = path
        self._note = path.with_name(f"{path.name}.json")
        self._job = job
        self._dtype = np.dtype(dtype)
        self._width: int | None = None
        self._crc = 0
        self._noted = time.monotonic()
        self.num_rows = 0
        """Number of rows that are there."""
        noted = self._read_note()
        if noted is not None:
            self._take(noted)
        self._file = path.open("r+b" if noted is not None else "wb")
        self._file.seek(self._num_bytes)
        self._file.truncate()

    def append(self, rows: np.ndarray) -> None:
        """Adds rows of shape ``(B, D)``."""
        self._width = rows.shape[1]
        content = np.ascontiguousarray(rows, self._dtype).tobytes()
        self._file.write(content)
        self._crc = zlib.crc32(content, self._crc)
        self.num_rows += len(rows)
        if time.monotonic() - self._noted > SECONDS:
            self.save()

    def save(self) -> None:
        """Syncs the rows, and notes their number."""
        self._file.flush()
        os.fsync(self._file.fileno())
        said = {"job": self._job, "rows": self.num_rows, "width": self._width, "crc": self._crc}
        new = self._note.with_name(f"{self._note.name}.new")
        new.write_text(json.dumps(said), encoding="utf-8")
        os.replace(new, self._note)
        self._noted = time.monotonic()

    def rows(self) -> np.ndarray:
        """All rows, mapped into memory, shape ``(num_rows, D)``."""
        self._file.flush()
        shape = (self.num_rows, self._width or 0)
        return np.memmap(self._path, self._dtype, "r", shape=shape) if self._num_bytes else np.empty(shape, self._dtype)

    def close(self) -> None:
        self._file.close()

    def delete(self) -> None:
        """Deletes the file and its note. The job is done."""
        self.close()
        self._note.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)

    @property
    def _num_bytes(self) -> int:
        return self.num_rows * (self._width or 0) * self._dtype.itemsize

    def _read_note(self) -> dict[str, Any] | None:
        """What the note says; ``None`` if there is none."""
        try:
            noted = json.loads(self._note.read_bytes())
            return noted if self._path.is_file() and isinstance(noted, dict) else None
        except (OSError, ValueError):
            return None

    def _take(self, noted: dict[str, Any]) -> None:
        job = noted.get("job")
        if job != self._job:
            names = sorted(self._job.keys() | (job.keys() if isinstance(job, dict) else set()))
            other = [name for name in names if not isinstance(job, dict) or job.get(name) != self._job.get(name)]
            raise InputError(
                f"Expected the rows in {self._path} to be of the same job, but they are of other "
                f"{' and '.join(other)}; delete the file to begin again."
            )
        self.num_rows, self._width = int(noted["rows"]), noted["width"]
        with self._path.open("rb") as file:
            left = self._num_bytes
            while left and (content := file.read(min(left, 2**24))):
                self._crc = zlib.crc32(content, self._crc)
                left -= len(content)
        if left or self._crc != noted.get("crc"):  # the disk lost what it had confirmed
            self.num_rows, self._width, self._crc = 0, None, 0
