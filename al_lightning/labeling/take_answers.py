"""Takes answers into the folder of a run. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from al_lightning.data.answer import Answer
from al_lightning.errors import InputError
from al_lightning.labeling.conflicts import Conflicts
from al_lightning.labeling.ledger import Ledger
from al_lightning.labeling.match_answers import settle
from al_lightning.labeling.settled import Settled
from al_lightning.run_folder.folder import RunFolder
from al_lightning.run_folder.sample_names import name_of
from al_lightning.run_folder.tables import ANSWER, CORRECTION, SKIP, SKIPPED, Answered, Query


@dataclass(frozen=True)
class Taken:
    """What happened to answers."""

    settled: Settled
    next_round: int
    """The first round that trains on new answers and corrections."""
    num_back: int
    """Number of questions that ``close`` took back to the pool."""

    @property
    def is_all(self) -> bool:
        """Whether all answers were accepted."""
        return not (self.settled.problems or self.settled.differing)

    @property
    def changes(self) -> bool:
        """Whether a label is new."""
        return bool(self.settled.num_taken or self.settled.corrections)


def words_of(folder: RunFolder) -> list[str]:
    """Words that the answers of a run may have: names of its classes and of its files."""
    files = [question.file for question in folder.asked] + [row.file for row in folder.answers]
    return [*folder.class_names, *(file.replace("\\", "/").rpartition("/")[2] for file in files)]


def take(
    folder: RunFolder,
    answers: Sequence[Answer],
    close: bool = False,
    correct: bool = False,
    conflicts: Conflicts = "refuse",
) -> Taken:
    """Takes answers into the folder of a run, in one commit.

    Args:
        folder: The folder, open. Its ledger gets a row for each answer that counts, and for each answer of a known
            person that does not count.
        answers: The answers.
        close: Whether to take questions without an answer back to the pool, so that the run goes on.
        correct: Whether to take answers that differ from labels of earlier rounds.
        conflicts: The rule for several answers to one sample; see :func:`~al_lightning.labeling.conflicts.winner`.

    Returns:
        What happened; :func:`~al_lightning.labeling.tell_answers.tell` prints it.

    Raises:
        InputError: If the labels of the run do not come from people, or no label would remain. Then nothing changes.
    """
    if not folder.asks_people:
        raise InputError(f"Expected a run that asks people in {folder.path}, but its labels come from its data set.")
    tables = (folder.queries, folder.answers, folder.pool)
    ledger = Ledger(folder.class_names, *tables, _test_files(folder), folder.root)
    settled = settle(folder.asked, answers, ledger, conflicts, correct)
    open_ones = [question for question in settled.questions if question.label is None]
    answered = [question for question in settled.questions if question.label is not None]
    if close and folder.asked and not answered:
        raise InputError("Expected at least one answer before `--close`, but got none.")
    is_done = not open_ones or close
    next_round = folder.asked[0].round if folder.asked else folder.next_round
    rows = _complete(folder, settled, next_round)
    if is_done and folder.asked:
        _check_labels(folder, rows, answered)
        folder.commit(queries=answered, answers=rows)
    elif rows or settled.num_taken:
        if settled.corrections:
            _check_labels(folder, rows, answered)
        folder.commit(asked=settled.questions, answers=rows)
    return Taken(settled, next_round, len(open_ones) if close else 0)


def _complete(folder: RunFolder, settled: Settled, next_round: int) -> list[Answered]:
    """The rows of answers.csv with round and time, also for answers that an earlier version took."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    told = {row.index for row in (*folder.answers, *settled.rows)}
    lacking = [
        Answered(
            question.round, question.index, name_of(question.file, folder.root), folder.name_of(question.label), ANSWER
        )
        for question in settled.questions
        if question.label is not None and question.index not in told
    ]
    round_of = {query.index: query.round for query in folder.queries}
    return lacking + [
        replace(row, at=now, round=next_round if row.kind == CORRECTION else round_of.get(row.index, next_round))
        for row in settled.rows
    ]


def _check_labels(folder: RunFolder, rows: Sequence[Answered], answered: Sequence[Query]) -> None:
    corrected = {row.index: row.label for row in rows if row.kind == CORRECTION}
    labels = [
        corrected.get(query.index, folder.name_of(label))
        for query, label in zip(folder.queries, folder.labels, strict=True)
    ]
    if all(label == SKIP for label in labels) and all(question.label == SKIPPED for question in answered):
        raise InputError("Expected at least one label to begin with, but all samples were skipped.")


def _test_files(folder: RunFolder) -> list[str]:
    test = folder.identity.get("test")
    return list(test.get("names", [])) if isinstance(test, dict) else []
