"""Paths as users write them: ``~`` is the home folder."""

import os
from pathlib import Path
from typing import TypeVar

PathT = TypeVar("PathT", str, str | None)


def expanded(path: PathT) -> PathT:
    """Returns a path with ``~`` or ``~user`` at its beginning replaced, as a shell does it outside of quotes.

    Example:
        >>> expanded("data/~x")
        'data/~x'
    """
    return path if path is None else os.path.expanduser(path)


def as_path(text: str) -> Path:
    """Returns the path that a word of a command line names."""
    return Path(expanded(text))
