"""Ledger: what a run knows of its samples besides its open questions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from al_lightning.data.answer import Answer
from al_lightning.labeling.conflicts import Voice, as_time
from al_lightning.run_folder.current_labels import current_labels
from al_lightning.run_folder.tables import CORRECTION, COUNTING, SKIP, SKIPPED, Answered, Query, Sample


@dataclass(frozen=True)
class Ledger:
    """Labels and answers of a run so far."""

    class_names: Sequence[str]
    """Names of the classes."""
    queries: Sequence[Query] = ()
    """Labels that were bought: the rows of queries.csv."""
    answers: Sequence[Answered] = ()
    """The rows of answers.csv."""
    pool: Sequence[Sample] = ()
    """The rows of pool.csv."""
    test_files: Sequence[str] = ()
    """Files of the test set, relative to the folder of the data."""
    root: str | None = None
    """The folder of the data."""

    @cached_property
    def label_of(self) -> dict[int, int]:
        """Class index of each sample that was bought, after all corrections; -1 for a skip."""
        labels = current_labels(self.queries, self.answers, self.class_names)
        return {query.index: label for query, label in zip(self.queries, labels, strict=True)}

    def name_of(self, label: int) -> str:
        """Name of a class by its index, or ``skip``."""
        return SKIP if label == SKIPPED else self.class_names[label]

    def answers_of(self, index: int) -> list[Answered]:
        """The rows of answers.csv for one sample."""
        return self._answers.get(index, [])

    def is_old(self, index: int, voice: Voice, is_closed: bool) -> bool:
        """Whether an answer to a sample with a label is one that a later answer has replaced already.

        Each export of a project repeats such answers. An answer of an earlier time than a correction is old, and so is
        an answer of an earlier time that was imported before. If no round can change any more, an answer that was
        imported before is old without a time, too.

        Args:
            index: Training-set index of the sample.
            voice: The answer.
            is_closed: Whether answers count only as corrections, and no corrections are taken.
        """
        past = self.answers_of(index)
        counting = [position for position, row in enumerate(past) if row.kind in COUNTING]
        if not counting:
            return False
        last = past[counting[-1]]
        own = (voice.answer.annotator, self.name_of(voice.label))
        was_imported = own in {(row.annotator, row.label) for row in past[: counting[-1] + 1]}
        time, taken = as_time(voice.answer.at), as_time(last.at)
        is_earlier = time is not None and taken is not None and time < taken
        return (is_earlier and last.kind == CORRECTION) or (was_imported and (is_earlier or is_closed))

    def others(self, index: int, given: Sequence[Voice]) -> list[Voice]:
        """What other people said of an open question in earlier imports; nothing if an answer is without a person."""
        people = {voice.answer.annotator for voice in given}
        if "" in people:
            return []
        last = {row.annotator: row for row in self.answers_of(index) if row.annotator}
        label_of = {name: label for label, name in enumerate(self.class_names)} | {SKIP: SKIPPED}
        return [
            Voice(Answer("earlier", index, None, row.label, row.annotator, row.at), label_of[row.label])
            for person, row in last.items()
            if person not in people
        ]

    @cached_property
    def _answers(self) -> dict[int, list[Answered]]:
        found: dict[int, list[Answered]] = {}
        for row in self.answers:
            found.setdefault(row.index, []).append(row)
        return found
