"""Chooses the folder of a run without a given folder, apart from the runs of other experiments."""

import re
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from al_lightning.errors import InputError
from al_lightning.run_folder.folder import RunFolder


def named_folder(names: Sequence[str], seed: int) -> Path:
    """Returns the folder of a run that is named after classes.

    Example:
        >>> named_folder(["CoreSet", "Backbone"], 1).as_posix()
        'runs/core_set_backbone/seed1'
    """
    return Path("runs", "_".join(map(snake_case, names)), f"seed{seed}")


def snake_case(name: str) -> str:
    """Returns the name of a class as a name of a folder: ``core_set`` for ``CoreSet``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def default_folder(path: Path, settings: Mapping[str, Any], identity: Mapping[str, Any]) -> Path:
    """Returns the first folder of ``runs/name/seed0``, ``runs/name-2/seed0``, ... that this run may use.

    Runs of one experiment that differ only in their seed lie side by side. So a folder ``runs/name`` with a run of
    another experiment is skipped, even for another seed.

    Args:
        path: ``runs/name/seed0``.
        settings: The settings of the run.
        identity: The fingerprints of the run.
    """
    for number in count(1):
        arm = path.parent if number == 1 else path.parent.with_name(f"{path.parent.name}-{number}")
        if not any(_is_other(run, settings, identity) for run in sorted(arm.glob("seed*"))):
            return arm / path.name
    raise AssertionError("numbers do not end")


def _is_other(path: Path, settings: Mapping[str, Any], identity: Mapping[str, Any]) -> bool:
    """Whether a folder holds a run of another experiment.

    A folder that cannot be read fails later, when it is opened.
    """
    try:
        folder = RunFolder.peek(path, settings, free=("seed_everything",))
        if folder.rounds or folder.asked:
            folder.check_identity(identity)
    except InputError:
        return True
    return False
