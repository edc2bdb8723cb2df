"""Files that are whole or not there at all, after a kill and after a power cut."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Writes a file under another name, syncs it, and gives it its own name.

    Raises:
        OSError: If the disk is full or the folder cannot be written; what was there stays, and nothing is left over.
    """
    new = new_name(path)
    try:
        write_synced(new, content)
        os.replace(new, path)
    except OSError:
        new.unlink(missing_ok=True)  # give back the space
        raise


def new_name(path: Path) -> Path:
    """The name of a file as long as it is not in force."""
    return path.with_name(f"{path.name}.new")


def write_synced(path: Path, content: str | bytes | memoryview) -> None:
    """Writes a file; the content is on the disk when this returns."""
    with path.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Makes renames in a folder survive a power cut, where the system can."""
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
    """Text of a file as it was committed, also if a kill left it beside its name; ``None`` if it is not there."""
    for candidate in (path, new_name(path)):
        with suppress(FileNotFoundError):
            content = candidate.read_bytes()
            if sha256_of(content) == sha256:
                return content.decode()
    return None
