"""The lifeline of a run: its standard input is a pipe, whose other end its sweep holds, or a worker of Ray.

The system closes that end however they end, also by SIGKILL. Unlike PR_SET_PDEATHSIG of Linux, this works on macOS. It
also runs nothing between fork and exec, which would not be safe in a process with threads.
"""

import os
import signal
import threading
import time
from contextlib import suppress

GRACE = 10.0
"""Seconds that a run has to stop by itself: it has nothing to write."""
LIFELINE = "AL_LIGHTNING_LIFELINE"
"""Environment variable of a run that has a lifeline: the standard input of other runs may be at its end from the
start, as in a job of a batch system."""


def hold() -> None:
    """Lets this process stop, as by SIGTERM, when the other end of its lifeline is closed; does nothing without one."""
    if os.environ.pop(LIFELINE, None) is not None:  # processes that this one starts have none
        threading.Thread(target=_stop_at_end_of_input, daemon=True).start()


def _stop_at_end_of_input() -> None:
    with suppress(OSError):  # of an input that was closed from the start
        while os.read(0, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)  # the process ends meanwhile, and this thread with it
    os._exit(128 + signal.SIGTERM)
