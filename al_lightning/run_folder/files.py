"""Files that are whole or not there at all, after a kill and after a power cut."""

import os
from pathlib import Path


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Writes a file under another name, syncs it, and gives it its own.

    Raises:
        OSError: If the disk is full or the folder cannot be written; what was there stays, and nothing is left over.
    """
    new = path.with_name(f"{path.name}.new")
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError:
        new.unlink(missing_ok=True)  # give back the space
        raise
