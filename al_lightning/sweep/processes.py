"""What the processes that a sweep starts have in common: how they are started, and how it is read what they said."""

import re
import sys
from collections.abc import Sequence

GRACE = 10.0
"""Seconds that a run has to stop by itself: it has nothing to write."""


def python(module: str, path: Sequence[object]) -> list[str]:
    """The first words of a command that runs ``main`` of a module, which finds modules where the sweep does.

    ``python -m`` would have the working directory before all else, and take a file there for a module of the standard
    library that has its name. ``al-lightning fit`` has it last.

    Args:
        module: Name of the module.
        path: ``sys.path`` of the sweep.
    """
    folders = [folder for folder in path if isinstance(folder, str)]
    # sys is built in: nothing is looked for before the path is set
    return [sys.executable, "-c", f"import sys; sys.path[:] = {folders!a}; from {module} import main; main()"]


def last_error(said: str, otherwise: str) -> str:
    """The last error in what a process said, or else its last line, or else another sentence."""
    lines = [line for line in said.splitlines() if line.strip()]
    # a message may go on for many lines after the one that names the exception
    errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception): ", line)]
    return (errors or lines or [otherwise])[-1].strip()
