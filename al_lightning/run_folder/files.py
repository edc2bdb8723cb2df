"""Files that are either complete or absent, after a kill or a power cut."""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Writes a file under a temporary name, syncs it, and renames it.

    Raises:
        OSError: If the disk is full or the folder cannot be written. Then the old file stays, and no partial file is
            left.
    """
    new = new_name(path)
    try:
        write_synced(new, content)
        os.replace(new, path)
    except OSError:
        new.unlink(missing_ok=True)  # frees the space
        raise


@contextmanager
def writing(path: Path, encoding: str = "utf-8") -> Iterator[TextIO]:
    """Opens a text under a temporary name, which becomes the file at the end of the block.

    If the block fails, the old file stays, and no partial file is left.
    """
    new = new_name(path)
    try:
        with new.open("w", encoding=encoding, newline="") as file:
            yield file
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def new_name(path: Path) -> Path:
    """The temporary name of a file until it is committed."""
    return path.with_name(f"{path.name}.new")


def copy_of(path: Path) -> Path:
    """The copy of a committed table that people may open and save by accident; see :func:`restore`."""
    return path.parent / ".committed" / path.name


def keep_copy(path: Path, content: str) -> None:
    """Keeps a copy of a committed table."""
    copy = copy_of(path)
    copy.parent.mkdir(exist_ok=True)
    replace_file(copy, content.encode())


def restore(path: Path, sha256: str) -> bool:
    """Puts the copy of a committed table in its place. If somebody edited the table, it is put aside, with a note.

    Args:
        path: The table, edited or missing.
        sha256: SHA-256 of the table when it was committed.

    Returns:
        Whether there is a copy with this content. If not, nothing changes.
    """
    content = read_committed(path, sha256)
    if content is None:
        return False
    if path.exists():
        print(f"Note: {path} was edited; it is now {put_aside(path).name}.", file=sys.stderr)
    replace_file(path, content.encode())
    return True


def write_synced(path: Path, content: str | bytes | memoryview) -> None:
    """Writes a file. Its content is on the disk when this function returns."""
    with path.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Makes renames in a folder survive a power cut, if the system can."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256_of(content: str | bytes) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def read_committed(path: Path, sha256: str) -> str | None:
    """Text of a committed file, even if a kill left it under its temporary name, or somebody edited it.

    Returns:
        The text; ``None`` if it is missing.
    """
    for candidate in (path, new_name(path), copy_of(path)):
        with suppress(FileNotFoundError):
            content = candidate.read_bytes()
            if sha256_of(content) == sha256:
                return content.decode()
    return None


def put_aside(path: Path) -> Path:
    """Renames a file that people may have changed: ``query.old.csv``, ``query.old2.csv`` and so on.

    Returns:
        The new path. No other file had it.
    """
    number = 1
    while (aside := path.with_name(f"{path.stem}.old{'' if number == 1 else number}{path.suffix}")).exists():
        number += 1
    os.replace(path, aside)
    return aside
