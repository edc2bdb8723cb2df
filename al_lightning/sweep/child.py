"""``al-lightning fit ...`` in a process that a sweep started."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from al_lightning.cli.dispatch import main as run_command
from al_lightning.sweep import lifeline
from al_lightning.sweep.lifeline import GRACE


def main() -> None:
    """Runs ``al-lightning`` with the words of the command line."""
    lifeline.hold()
    if os.environ.get("LOCAL_RANK", "0") == "0":  # the other processes of a run find the lock of their first process
        _wait_until_free(Path(sys.argv[sys.argv.index("--loop.run_dir") + 1]))
    run_command()


def _wait_until_free(run_dir: Path) -> None:
    """Waits for the same run of a sweep that was killed, which may be about to stop; `fit` says what else is wrong."""
    lock = run_dir / ".lock"
    if lock.exists():
        with suppress(Timeout, OSError), FileLock(lock, timeout=GRACE):
            pass
