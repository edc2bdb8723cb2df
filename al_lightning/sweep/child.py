"""``al-lightning fit ...`` in a process that outlives no sweep.

Its standard input is a pipe that nobody writes to, whose other end the sweep has, or the worker of Ray. The system
closes that however they end, also by SIGKILL; then this process stops as by SIGTERM. Unlike Linux's PR_SET_PDEATHSIG it
works on macOS, and asks for nothing to be run between fork and exec, which is not safe in a process with threads.
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from al_lightning.cli.dispatch import main as run_command
from al_lightning.sweep.processes import GRACE


def main() -> None:
    """Runs ``al-lightning`` with the words of the command line."""
    threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    _wait_until_free(Path(sys.argv[sys.argv.index("--loop.run_dir") + 1]))
    run_command()


def _stop_at_end_of_input() -> None:
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
