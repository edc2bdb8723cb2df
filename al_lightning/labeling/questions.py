"""Writes the files of questions."""

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from al_lightning.labeling.taken_tables import has_new_answers
from al_lightning.run_folder.files import put_aside, replace_file
from al_lightning.run_folder.table_writer import table_writer
from al_lightning.run_folder.tables import Query

QUERY, TASKS, TASKS_CONFIG = "query.csv", "query.json", "query.xml"
PUBLISHED = ".published"
"""File that notes which questions were published, because people may change the published files."""
COLUMNS = ("file", "index", "rank", "predicted", "confidence", "label")


def write_query(path: Path, questions: Sequence[Query], class_names: Sequence[str], texts: Sequence[str] = ()) -> None:
    """Writes questions as a table, with a column ``label`` to fill in.

    Args:
        path: The file. It is replaced when the new file is complete.
        questions: The questions in the order of their rank. The file counts ranks from 1: the first question is worth
            most.
        class_names: Names of the classes.
        texts: The text of each question, for samples that are texts: a column ``text`` before ``label``.

    The file is separated by commas and begins with a byte order mark, so that Excel shows umlauts.
    """
    text = io.StringIO()
    writer = table_writer(text)
    *columns, label = COLUMNS
    writer.writerow([*columns, *(["text"] if texts else []), label])
    for number, question in enumerate(questions):
        predicted = predicted_name(question, class_names)
        confidence = "" if question.confidence is None else f"{question.confidence:.4f}"
        shown = [" ".join(texts[number].split())] if texts else []  # a cell is one line
        writer.writerow([question.file, question.index, question.order + 1, predicted, confidence, *shown, ""])
    replace_file(path, text.getvalue().encode("utf-8-sig"))


def publish_table(
    run_dir: Path, questions: Sequence[Query], class_names: Sequence[str], texts: Sequence[str] = ()
) -> None:
    """Writes ``query.csv`` into a run folder. A table of earlier questions with answers that were not taken is kept."""
    path = run_dir / QUERY
    if has_new_answers(path):
        put_aside(path)
    write_query(path, questions, class_names, texts)


def predicted_name(question: Query, class_names: Sequence[str]) -> str:
    """Name of the predicted class; empty if there is none, for example for an output beyond the classes."""
    is_class = question.predicted is not None and question.predicted < len(class_names)
    return class_names[question.predicted] if is_class else ""  # type: ignore[index]


def remember(run_dir: Path, questions: Sequence[Query]) -> None:
    """Notes the questions that the files in a run folder contain."""
    write_whole(run_dir / PUBLISHED, _digest(questions))


def is_published(run_dir: Path, questions: Sequence[Query]) -> bool:
    """Whether the files in a run folder were written for these questions, even if people changed the files later."""
    path = run_dir / PUBLISHED
    return (run_dir / QUERY).exists() and path.exists() and path.read_text() == _digest(questions)


def _digest(questions: Sequence[Query]) -> str:
    asked = [(question.round, question.index) for question in questions]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def write_whole(path: Path, content: str | list[dict[str, Any]]) -> None:
    """Writes a complete file of text, or of tasks as JSON, or none."""
    text = content if isinstance(content, str) else json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    replace_file(path, text.encode())
