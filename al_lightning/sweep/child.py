"""``al-lightning fit ...`` in a process that a sweep started."""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from al_lightning.cli.dispatch import main as run_command
from al_lightning.sweep.processes import GRACE, LIFELINE


def main() -> None:
    """Runs ``al-lightning`` with the words of the command line."""
    # a process that this one starts, or a batch system's, does not have the pipe
    if os.environ.pop(LIFELINE, None) is not None:
        threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    if os.environ.get("LOCAL_RANK", "0") == "0":  # the other processes of a run find the lock of their first process
        _wait_until_free(Path(sys.argv[sys.argv.index("--loop.run_dir") + 1]))
    run_command()


def _stop_at_end_of_input() -> None:
    """Stops this process as by SIGTERM when the other end of its standard input is closed.

    The other end belongs to the sweep, or to a worker of Ray. The system closes it however they end, also by SIGKILL.
    Unlike PR_SET_PDEATHSIG of Linux, this works on macOS. It also runs nothing between fork and exec, which would not
    be safe in a process with threads.
    """
    with suppress(OSError):  # of an input that was closed from the start
        while os.read(0, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)  # the process ends meanwhile, and this thread with it
    os._exit(128 + signal.SIGTERM)


def _wait_until_free(run_dir: Path) -> None:
    """Waits for the same run of a sweep that was killed, which may be about to stop; `fit` says what else is wrong."""
    lock = run_dir / ".lock"
    if lock.exists():
        with suppress(Timeout, OSError), FileLock(lock, timeout=GRACE):
            pass
