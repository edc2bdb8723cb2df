"""Reading answers from a table or from an export of Label Studio."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from al_lightning.data.answer import Answer
from al_lightning.data.answer_tables import answers_of_table
from al_lightning.data.decoding import read_text
from al_lightning.labeling.answer_tasks import answers_of_tasks, tasks_of

__all__ = ["Answer", "answers_of_tasks", "read_answers", "read_answers_of_people"]


def read_answers(path: Path, words: Collection[str] = ()) -> list[Answer]:
    """Reads answers.

    Args:
        path: A table or a ``.json`` file. The table has a column ``label``, and a column ``index`` or ``file``. A row
            without a label is not an answer; a row with ``skip`` is one. The ``.json`` is an export of Label Studio, as
            JSON or JSON-MIN. A task without an annotation is not an answer, and a cancelled annotation is a skip.
            Predictions are ignored.
        words: Words that the file may have, such as names of classes and files. They help to find its encoding.

    Raises:
        InputError: If the file does not exist, or has another format.
    """
    text = read_text(path, words)
    if path.suffix.lower() == ".json" or text.lstrip()[:1] in ("[", "{"):
        return list(answers_of_tasks(tasks_of(path, text)))
    return list(answers_of_table(path, text))


def read_answers_of_people(paths: Sequence[Path], words: Collection[str] = (), annotator: str = "") -> list[Answer]:
    """Reads several files together.

    Args:
        paths: The files; see :func:`read_answers`.
        words: See there.
        annotator: Who answered, where a file does not say it. By default, if there are several files, each file is by
            the person that it is named after: ``anna.csv`` by ``anna``.

    Raises:
        InputError: See there.
    """
    answers = []
    for path in paths:
        person = annotator or (path.stem if len(paths) > 1 else "")
        place = f"{path.name}, " if len(paths) > 1 else ""
        answers += [
            replace(answer, where=f"{place}{answer.where}", annotator=answer.annotator or person)
            for answer in read_answers(path, words)
        ]
    return answers
