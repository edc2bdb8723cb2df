"""The files that questions go to."""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from al_lightning.run_folder import Question

QUERY, TASKS, TASKS_CONFIG = "query.csv", "query.json", "query.xml"
COLUMNS = ("file", "index", "rank", "predicted", "confidence", "label")


def write_query(path: Path, questions: Sequence[Question], class_names: Sequence[str]) -> None:
    """Writes questions as a table, with a column ``label`` to fill in.

    Args:
        path: The file; replaced when the new one is whole.
        questions: In the order of their rank, which the file has from 1: the first is worth most.
        class_names: Names of the classes.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for question in questions:
        predicted = "" if question.predicted is None else class_names[question.predicted]
        confidence = "" if question.confidence is None else f"{question.confidence:.4f}"
        writer.writerow([question.file, question.index, question.order + 1, predicted, confidence, ""])
    write_whole(path, text.getvalue())


def indices_in(path: Path) -> set[int]:
    """Training-set indices that a table of questions has; none if there is no such table, or it was changed."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {int(row["index"]) for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def write_whole(path: Path, content: str | list[dict[str, Any]]) -> None:
    """Writes text, or tasks as JSON, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    text = content if isinstance(content, str) else json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)
