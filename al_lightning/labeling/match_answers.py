"""Matches answers with the questions of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from al_lightning.errors import composed, did_you_mean
from al_lightning.labeling.answers import Answer
from al_lightning.run_folder.tables import SKIPPED, Query


@dataclass
class Settled:
    """Questions with their answers, and the answers that were not accepted."""

    questions: list[Query]
    num_taken: int = 0
    num_skipped: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def settle(questions: Sequence[Query], answers: Sequence[Answer], class_names: Sequence[str]) -> Settled:
    """Matches answers with their questions.

    Three kinds of answers are not accepted, so that the question stays open:

    - an answer to a sample that was not asked for;
    - an answer with an unknown class;
    - answers to one question that contradict each other.

    The same answer twice counts once. A new answer to an answered question replaces the old answer.

    Names of classes and files are the same however Unicode composes them: `é` is one character or two.

    Args:
        questions: The questions of the run, answered or not.
        answers: The answers of a file.
        class_names: Names of the classes.

    Returns:
        All questions in their order, with the numbers of new answers and new skips.
    """
    by_index = {question.index: question for question in questions}
    question_of = _Files(questions)
    index_of = {composed(name): index for index, name in enumerate(class_names)}
    found: dict[int, list[tuple[Answer, int]]] = {}
    settled = Settled(list(questions))
    for answer in answers:
        question = by_index.get(answer.index) if answer.index is not None else question_of(answer.file or "")
        if question is None:
            what = answer.file or ("a sample" if answer.index is None else f"sample {answer.index}")
            settled.problems.append(f"{answer.where}: {what} was not asked for")
            continue
        if (
            answer.index is not None
            and answer.file
            and question.file
            and composed(answer.file) != composed(question.file)
        ):
            settled.problems.append(f"{answer.where}: sample {answer.index} is {question.file}, not {answer.file}")
            continue
        label = _class_index(answer.label, index_of)
        if label is None:
            hint = did_you_mean(answer.label or "", class_names).rstrip(".")
            settled.problems.append(f"{answer.where}: `{answer.label}` is no class{hint}")
            continue
        found.setdefault(question.index, []).append((answer, label))
    for position, question in enumerate(settled.questions):
        given = found.get(question.index, [])
        labels = {label for _, label in given}
        if len(labels) > 1:
            said = ", ".join(f"{answer.label or 'skip'} ({answer.where})" for answer, _ in given)
            settled.problems.append(f"{_sample(question)}: the answers contradict each other: {said}")
        elif labels:
            (label,) = labels
            if len(given) > 1:
                settled.notes.append(f"{_sample(question)}: the same answer {len(given)} times")
            if question.label is not None and question.label != label:
                settled.notes.append(
                    f"{_sample(question)}: {_name(label, class_names)} instead of "
                    f"{_name(question.label, class_names)}, which it had before"
                )
            settled.questions[position] = replace(question, label=label)
            settled.num_taken += 1
            settled.num_skipped += label == SKIPPED
    return settled


class _Files:
    """Questions by their files. macOS may compose the accents of a name in a different way."""

    def __init__(self, questions: Sequence[Query]) -> None:
        self._exact = {question.file: question for question in questions if question.file}
        self._composed: dict[str, list[Query]] = {}
        for question in self._exact.values():
            self._composed.setdefault(composed(question.file), []).append(question)

    def __call__(self, file: str) -> Query | None:
        alike = self._composed.get(composed(file), [])
        return self._exact.get(file, alike[0] if len(alike) == 1 else None)


def _is_other(file: str | None, asked: str | None) -> bool:
    return bool(file and asked and composed(file) != composed(asked))


def _class_index(label: str | None, index_of: Mapping[str, int]) -> int | None:
    """Index of a class by its name, -1 for a skip, ``None`` if there is no such class."""
    # A number is not a class, unless it is the name of one: `1` could mean the first or the second class.
    return SKIPPED if label is None else index_of.get(composed(label))


def _sample(question: Query) -> str:
    return question.file or f"sample {question.index}"


def _name(label: int, class_names: Sequence[str]) -> str:
    return "skip" if label == SKIPPED else class_names[label]
