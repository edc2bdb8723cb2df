"""``al-lightning sweep``: runs the arms of a study with each seed, or lists these runs."""

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
        SystemExit: With code 1 if a run failed or waits for labels.
    """
    plan = read_plan(words)
    if plan.dry_run:
        list_plan(plan)
    elif not run_plan(plan):
        sys.exit(1)
