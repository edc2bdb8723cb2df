"""Takes labels that nobody asked for into a run: those of another run, and those of suggested images."""

import sys
from collections.abc import Sequence
from typing import NamedTuple

from al_lightning.data.answer import Answer
from al_lightning.labeling.elsewhere import Elsewhere, sort_out
from al_lightning.labeling.tell_answers import counted
from al_lightning.run_folder.folder import RunFolder


class TakenElsewhere(NamedTuple):
    """What happened to labels."""

    answers: list[Answer]
    """Answers to samples that the run asked for: they are still to be taken."""
    is_all: bool
    """Whether all others were accepted."""
    changes: bool
    """Whether a label waits that did not wait before."""


def take_elsewhere(folder: RunFolder, labels: Sequence[Elsewhere]) -> TakenElsewhere:
    """Writes labels to waiting.csv, in one commit, and says what happened to them.

    Args:
        folder: The folder of the run, open.
        labels: The labels.
    """
    found = sort_out(folder, labels)
    for problem in found.problems:
        print(f"Not taken: {problem}{'' if problem.endswith('?') else '.'}", file=sys.stderr)
    sys.stderr.flush()
    if found.num_in_pool or found.num_later:
        folder.commit(asked=folder.asked, waiting=found.waiting)
    if found.num_in_pool:
        print(f"{counted(found.num_in_pool, 'label')} of samples in the pool: the next fit trains on them.")
    if found.num_later:
        print(
            f"{counted(found.num_later, 'label')} of files that are not in {folder.root or 'the data'} yet: put the "
            "files there, and the next fit trains on them."
        )
    if found.num_known:
        print(f"{counted(found.num_known, 'label')} waited already.")
    if found.num_test:
        print(f"{counted(found.num_test, 'label')} of samples in the test set: they stay there.")
    return TakenElsewhere(found.answers, not found.problems, bool(found.num_in_pool or found.num_later))
