"""Says what happened to answers, problems first."""

import shlex
import sys
from collections.abc import Iterable

from al_lightning.labeling.questions import QUERY
from al_lightning.labeling.studio.state import StudioState
from al_lightning.labeling.take_answers import Taken
from al_lightning.run_folder.folder import RunFolder

MOST_NAMED = 20


def tell(taken: Taken, folder: RunFolder, source: str, option: str = "") -> None:
    """Prints what happened to answers.

    Args:
        taken: What happened.
        folder: The folder of the run.
        source: Where the answers came from.
        option: The option of `label` that brings these answers again, with its value; nothing if `label` looks there
            by itself.
    """
    again = f"al-lightning label {shlex.quote(str(folder.path))}{option and f' {option}'}"
    settled = taken.settled
    _note("Not taken", settled.problems)
    if settled.has_conflict:
        print(
            f"To decide between contradicting answers: {again} --conflicts majority, or --conflicts latest.",
            file=sys.stderr,
        )
    _note("Not taken", settled.differing)
    if settled.differing:
        print(f"These samples have labels already; {again} --correct replaces the labels.", file=sys.stderr)
    sys.stderr.flush()
    if settled.num_taken or not (settled.num_known or settled.corrections):
        skipped = f", {settled.num_skipped} of them skipped" if settled.num_skipped else ""
        print(f"Took {counted(settled.num_taken, 'answer')} from {source}{skipped}.")
    if settled.num_known:
        print(_known(taken))
    for line in settled.corrections:
        print(f"{line}; round {taken.next_round} is the first to train on it.")
    _note("Note", settled.notes[:MOST_NAMED])
    if len(settled.notes) > MOST_NAMED:
        _note("Note", [f"{len(settled.notes) - MOST_NAMED} more"])


def tell_known(taken: Taken, folder: RunFolder) -> None:
    """Prints, in one line, that a run without open questions knew all answers, and how to go on."""
    print(f"{_known(taken)} To continue: al-lightning fit {shlex.quote(str(folder.path))}")


def tell_open(folder: RunFolder, num_back: int = 0) -> None:
    """Prints what is open in a run, and how to go on.

    Args:
        folder: The folder of the run, open.
        num_back: Number of questions that went back to the pool.
    """
    run = shlex.quote(str(folder.path))
    open_ones = [question for question in folder.asked if question.label is None]
    if open_ones:
        named = [question.file or f"sample {question.index}" for question in open_ones[:MOST_NAMED]]
        more = ", ..." if len(open_ones) > MOST_NAMED else ""
        print(f"{len(open_ones)} of {len(folder.asked)} questions are open: {', '.join(named)}{more}.")
        state = StudioState.read(folder.path)
        if state is not None and state.project is not None:
            print(f"Answer in {state.page}, then: al-lightning fit {run}")
        elif (folder.path / QUERY).exists():
            print(f"Fill in the column `label` of {folder.path / QUERY}, then: al-lightning fit {run}")
        print(f"To go on without them: al-lightning label {run} --close")
    else:
        back = f", {num_back} went back to the pool" if num_back else ""
        print(f"All is answered{back}. To continue: al-lightning fit {run}")


def _known(taken: Taken) -> str:
    number = taken.settled.num_known
    return f"{counted(number, 'answer')} {'was' if number == 1 else 'were'} known already."


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "answer"), counted(2, "answer")
        ('1 answer', '2 answers')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _note(title: str, lines: Iterable[str]) -> None:
    for line in lines:
        print(f"{title}: {line}{'' if line.endswith('?') else '.'}", file=sys.stderr)
