"""Paths as users write them: ``~`` is the home folder."""

import os
from pathlib import Path
from typing import TypeVar

from al_lightning.errors import InputError

PathT = TypeVar("PathT", str, str | None)


def expanded(path: PathT) -> PathT:
    """Returns a path with ``~`` or ``~user`` at its beginning replaced, as a shell does it outside of quotes.

    Example:
        >>> expanded("data/~x")
        'data/~x'
    """
    return path if path is None else os.path.expanduser(path)


def folder_of_images(path: Path) -> Path:
    """Returns the folder ``data.root``.

    Raises:
        InputError: If there is no such folder.
    """
    if not path.is_dir():
        what = f"{path} is a file" if path.exists() else f"there is no {path}"
        raise InputError(f"Expected `data.root` to be a folder of images, but {what}.")
    return path


def as_path(text: str) -> Path:
    """Returns the path that a word of a command line names."""
    return Path(expanded(text))
