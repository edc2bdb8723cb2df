"""Matches answers with the questions of a run, and with the labels that the run has."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

from al_lightning.data.answer import Answer
from al_lightning.errors import composed, did_you_mean, visible
from al_lightning.labeling.conflicts import Conflicts, Voice, winner
from al_lightning.labeling.ledger import Ledger
from al_lightning.labeling.samples import Named, Samples
from al_lightning.labeling.settled import Settled
from al_lightning.run_folder.sample_names import name_of
from al_lightning.run_folder.tables import ANSWER, CORRECTION, OTHER, SKIPPED, Answered, Query


def settle(
    questions: Sequence[Query],
    answers: Sequence[Answer],
    ledger: Ledger,
    conflicts: Conflicts = "refuse",
    correct: bool = False,
) -> Settled:
    """Matches answers with their questions, and with the labels of earlier rounds.

    Three kinds of answers are not accepted, so that the question stays open:

    - an answer to a sample that was not asked for;
    - an answer with an unknown class;
    - answers to one question that contradict each other, if the rule of conflicts does not decide.

    The same answer twice counts once. A new answer to an answered question replaces the old answer. An answer to a
    sample of an earlier round is known if it agrees with the label. If it differs, it is a correction, which is taken
    only on request.

    Names of classes and files are the same however Unicode composes them: `é` is one character or two.

    Args:
        questions: The questions of the run, answered or not.
        answers: The answers of a file.
        ledger: What the run knows besides.
        conflicts: The rule for several answers to one sample; see :func:`~al_lightning.labeling.conflicts.winner`.
        correct: Whether to take corrections.

    Returns:
        All questions in their order, with what happened to the answers.
    """
    matcher = _Matcher(questions, ledger, conflicts, correct)
    found: dict[int, list[Voice]] = {}
    for answer in answers:
        sample, label = matcher.sample_of(answer), None
        if sample is not None:
            label = matcher.class_of(answer)
        if sample is not None and label is not None:
            found.setdefault(sample.index, []).append(Voice(answer, label))
    order = {question.index: position for position, question in enumerate(questions)}
    for index in sorted(found, key=lambda index: order.get(index, len(order))):
        matcher.decide(index, found[index])
    return matcher.settled


class _Matcher:
    """Finds the sample of each answer, and decides what the answers of each sample change."""

    def __init__(self, questions: Sequence[Query], ledger: Ledger, conflicts: Conflicts, correct: bool) -> None:
        self.settled = Settled(list(questions))
        self._ledger = ledger
        self._conflicts = conflicts
        self._correct = correct
        names = [composed(name) for name in ledger.class_names]
        self._class_of = {visible(name): index for index, name in enumerate(names)}
        self._class_of |= {name: index for index, name in enumerate(names)}
        self._position_of = {question.index: position for position, question in enumerate(questions)}
        self._samples = Samples(_named(questions, ledger), ledger.root)
        self._test_set = Samples((Named(i, "", name) for i, name in enumerate(ledger.test_files)), ledger.root)

    # ------------------------------------------------------------------------------------- one answer after the other

    def sample_of(self, answer: Answer) -> Named | None:
        """The sample of an answer; ``None`` if nobody asked for it."""
        if answer.index is None and not answer.file:
            self._refuse(f"{answer.where}: it names no sample, by index or file")
            return None
        what = _short(answer.file) if answer.file else f"sample {answer.index}"
        if answer.index is not None:
            alike = [self._samples[answer.index]] if answer.index in self._samples else []
        else:
            alike = self._samples.of_file(answer.file or "")
        if len(alike) > 1:
            names = ", ".join(sample.name or sample.file for sample in alike[:3])
            self._refuse(
                f"{answer.where}: {what} may be one of {len(alike)} files: {names}{', ...' * (len(alike) > 3)}"
            )
        elif not alike or not (alike[0].index in self._position_of or alike[0].index in self._ledger.label_of):
            self._refuse(f"{answer.where}: {what} was not asked for{self._whereabouts(answer, alike)}")
        elif answer.index is not None and answer.file and not self._samples.is_of(answer.file, alike[0]):
            self._refuse(f"{answer.where}: sample {answer.index} is {alike[0]}, not {what}")
        else:
            return alike[0]
        return None

    def class_of(self, answer: Answer) -> int | None:
        """Class index of an answer; -1 for a skip, ``None`` if there is no such class."""
        # A number is not a class, unless it is the name of one: `1` could mean the first or the second class.
        label = SKIPPED if answer.label is None else self._class_of.get(composed(answer.label))
        if label is None:
            label = self._class_of.get(visible(answer.label or ""))
        if label is None:
            hint = did_you_mean(answer.label or "", self._ledger.class_names).rstrip(".")
            self._refuse(f"{answer.where}: `{_short(answer.label or '')}` is no class{hint}")
        return label

    def _whereabouts(self, answer: Answer, alike: Sequence[Named]) -> str:
        """Where a sample is that was not asked for, as far as it is known."""
        if alike:
            left = {sample.index for sample in self._ledger.pool if sample.left is not None}
            return "; its file is gone" if alike[0].index in left else "; it is in the pool"
        return "; it is in the test set" if answer.file and self._test_set.of_file(answer.file) else ""

    def _refuse(self, problem: str) -> None:
        self.settled.problems.append(problem)

    # ------------------------------------------------------------------------------------- one sample after the other

    def decide(self, index: int, given: list[Voice]) -> None:
        """Decides which of the answers for one sample counts, and what it changes."""
        ledger, position = self._ledger, self._position_of.get(index)
        now = ledger.label_of.get(index) if position is None else self.settled.questions[position].label
        if now is not None:
            is_closed = position is None and not self._correct
            new = [voice for voice in given if not ledger.is_old(index, voice, is_closed)]
            if not new:
                self._know(index, given)
                return
            given = new if self._correct else given
        voices = given if position is None or self._correct else [*ledger.others(index, given), *given]
        best = winner(voices, self._conflicts)
        if best is None:
            said = ", ".join(f"{ledger.name_of(voice.label)} ({_by(voice.answer)})" for voice in voices)
            self._refuse(f"{self._samples[index]}: the answers contradict each other: {said}")
            self.settled.has_conflict = True
            self._keep(index, given)
        elif best.label == now:
            self._know(index, given)
        elif position is not None:
            self._answer(position, given, best)
        else:
            assert now is not None, "a label was bought"
            self._differ(index, given, best, now)

    def _know(self, index: int, given: Sequence[Voice]) -> None:
        self.settled.num_known += 1
        self._keep(index, given)

    def _answer(self, position: int, given: Sequence[Voice], best: Voice) -> None:
        """Answers an open question."""
        settled, question = self.settled, self.settled.questions[position]
        name_of, sample = self._ledger.name_of, self._samples[question.index]
        people = {voice.answer.annotator for voice in given}
        if len({voice.label for voice in given}) == 1 and len(people) < len(given):
            settled.notes.append(f"{sample}: the same answer {len(given)} times")
        if question.label is not None:
            settled.notes.append(
                f"{sample}: {name_of(best.label)} instead of {name_of(question.label)}, which it had before"
            )
        self._keep(question.index, given, best)
        settled.rows.append(self._row(question.index, best, ANSWER))
        settled.questions[position] = replace(question, label=best.label)
        settled.num_taken += 1
        settled.num_skipped += best.label == SKIPPED

    def _differ(self, index: int, given: Sequence[Voice], best: Voice, now: int) -> None:
        """Corrects the label of an earlier round, on request."""
        what = f"{self._samples[index]}: {self._ledger.name_of(best.label)} instead of {self._ledger.name_of(now)}"
        if self._correct:
            self._keep(index, given, best)
            self.settled.rows.append(self._row(index, best, CORRECTION))
            self.settled.corrections.append(what)
        else:
            self._keep(index, given)
            self.settled.differing.append(f"{what} ({_by(best.answer)})")

    def _keep(self, index: int, given: Sequence[Voice], best: Voice | None = None) -> None:
        """Records the answers that do not count, each once.

        An answer without a person is recorded only if it contradicts the answer that counts.
        """
        told = {(row.annotator, row.label) for row in self._ledger.answers_of(index)}
        if best is not None:
            told.add((best.answer.annotator, self._ledger.name_of(best.label)))
        for voice in given:
            own = (voice.answer.annotator, self._ledger.name_of(voice.label))
            if own not in told and (own[0] or (best is not None and best.label != voice.label)):
                told.add(own)
                self.settled.rows.append(self._row(index, voice, OTHER))

    def _row(self, index: int, voice: Voice, kind: str) -> Answered:
        sample = self._samples[index]
        name = sample.name or name_of(sample.file, self._ledger.root)
        return Answered(-1, index, name, self._ledger.name_of(voice.label), kind, voice.answer.annotator)


def _named(questions: Sequence[Query], ledger: Ledger) -> Iterable[Named]:
    """All samples that a run knows, those with the best names last."""
    root, today = ledger.root, {sample.index: sample.file for sample in ledger.pool}
    yield from (Named(index, "", name) for index, name in today.items())
    yield from (Named(query.index, query.file, name_of(query.file, root)) for query in ledger.queries if query.file)
    yield from (Named(query.index, "", today.get(query.index, "")) for query in ledger.queries if not query.file)
    for row in ledger.answers:
        moved = today.get(row.index, row.file)
        yield Named(row.index, "" if moved == row.file else os.path.join(root or "", moved), row.file)
    yield from (Named(one.index, one.file, name_of(one.file, root)) for one in questions)


def _by(answer: Answer) -> str:
    return f"{answer.annotator}, {answer.where}" if answer.annotator else answer.where


def _short(text: str) -> str:
    """A text of somebody's file in one line, for a message."""
    line = " ".join(text.split()).encode("utf-8", "backslashreplace").decode()
    return line if len(line) <= 100 else f"{line[:100]} ..."
