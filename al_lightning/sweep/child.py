"""``python -m al_lightning.sweep.child fit ...`` is ``al-lightning fit ...`` that outlives no sweep.

Its standard input is a pipe that nobody writes to, whose other end the sweep has, or the worker of Ray. The system
closes that however they end, also by SIGKILL; then this process stops as by SIGTERM. Unlike Linux's PR_SET_PDEATHSIG it
works on macOS, and asks for nothing to be run between fork and exec, which is not safe in a process with threads.
"""

import os
import signal
import threading
import time

from al_lightning.cli import main

GRACE = 10.0
"""Seconds that a run has to stop by itself: it has nothing to write."""


def _stop_at_end_of_input() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)  # the process ends meanwhile, and this thread with it
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    main()
