"""``al-lightning sweep``: runs the arms of a study with each seed, or lists these runs."""

import os
import signal
import sys
from collections.abc import Sequence

from al_lightning.sweep.plan import read_plan
from al_lightning.sweep.run_plan import list_plan, run_plan


def run(words: Sequence[str]) -> None:
    """Runs a sweep.

    Args:
        words: The words of the command line after ``sweep``.

    Raises:
        InputError: If they are bad, or the study's folder is in use; then nothing was written.
        SystemExit: With code 1 if a run failed or waits for labels, 141 if what is printed is read no longer.
    """
    try:
        plan = read_plan(words)
        is_finished = True
        if plan.dry_run:
            list_plan(plan)
        else:
            is_finished = run_plan(plan)
        sys.stdout.flush()
    except BrokenPipeError:  # as of `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at the end
        sys.exit(128 + signal.SIGPIPE)  # as of a program that the signal ends, which Python ignores
    if not is_finished:
        sys.exit(1)
