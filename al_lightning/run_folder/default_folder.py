"""Where a run goes for which no folder was named: not to the runs of another experiment."""

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from al_lightning.errors import InputError
from al_lightning.run_folder.folder import RunFolder


def default_folder(path: Path, settings: Mapping[str, Any], identity: Mapping[str, Any]) -> Path:
    """Returns the first folder among ``runs/name/seed0``, ``runs/name-2/seed0``, ... that this run may have.

    Runs of one experiment that differ in their seed alone lie side by side. So a folder ``runs/name`` with a run of
    another experiment is passed over, whatever its seed is.

    Args:
        path: ``runs/name/seed0``.
        settings: Of the run.
        identity: What it is of.
    """
    for number in count(1):
        arm = path.parent if number == 1 else path.parent.with_name(f"{path.parent.name}-{number}")
        if not any(_is_other(run, settings, identity) for run in sorted(arm.glob("seed*"))):
            return arm / path.name
    raise AssertionError("numbers do not end")


def _is_other(path: Path, settings: Mapping[str, Any], identity: Mapping[str, Any]) -> bool:
    """Whether a folder holds a run of another experiment; one that cannot be read is left to whoever opens it."""
    try:
        folder = RunFolder.peek(path, settings, free=("seed_everything",))
        if folder.rounds or folder.asked:
            folder.check_identity(identity)
    except InputError:
        return True
    return False
