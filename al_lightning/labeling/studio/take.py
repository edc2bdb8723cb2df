"""Takes the answers of a live Label Studio into the folder of a run. Needs no torch."""

import sys

from al_lightning.data.answer import Answer
from al_lightning.labeling.conflicts import Conflicts
from al_lightning.labeling.studio.pull import pull
from al_lightning.labeling.studio.state import STATE
from al_lightning.labeling.take_answers import take
from al_lightning.labeling.tell_answers import tell
from al_lightning.run_folder.folder import RunFolder


def take_pulled(
    folder: RunFolder,
    correct: bool = False,
    conflicts: Conflicts = "refuse",
    known: list[Answer] | None = None,
) -> bool | None:
    """Takes answers of the run's project, and prints what happened.

    Args:
        folder: The folder, open. Of its rounds, those with open questions count; with ``correct``, all of them.
        correct: See :func:`~al_lightning.labeling.take_answers.take`.
        conflicts: See there.
        known: The answers that came last time. They are not taken again, and the list gets those that came now.

    Returns:
        Whether all answers were accepted; ``None`` if nothing is new, or the run has no project.

    Raises:
        InputError: If the server does not answer or refuses, or the project was deleted.
    """
    rounds = None if correct else {question.round for question in folder.asked}
    if rounds == set() or not (folder.path / STATE).exists():
        return None
    pulled = pull(folder.path, rounds)
    for note in pulled.notes:
        print(f"Note: {note}.", file=sys.stderr)
    if known is not None:
        if pulled.answers == known:
            return None
        known[:] = pulled.answers
    taken = take(folder, pulled.answers, correct=correct, conflicts=conflicts)
    if not taken.changes and taken.is_all and not correct:
        return None
    tell(taken, folder, pulled.page)
    return taken.is_all
