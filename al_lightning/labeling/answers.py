"""Reading answers from a table or from an export of Label Studio."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from al_lightning.errors import InputError

SKIP = "skip"
"""What stands for a label in a table where the labeler has none to give."""


@dataclass(frozen=True)
class Answer:
    """What a file says of one sample."""

    where: str
    """Its place in the file, for messages."""
    index: int | None
    file: str | None
    label: str | None
    """Name of a class; ``None`` if the sample was skipped."""


def read_answers(path: Path) -> list[Answer]:
    """Reads answers.

    Args:
        path: A ``.csv`` with a column ``label``, and ``index`` or ``file``; rows without a label are no answers, and
            ``skip`` is one. Or a ``.json`` that Label Studio exported, as JSON or JSON-MIN: tasks without an annotation
            are no answers, a cancelled one is a skip, predictions are left alone.

    Raises:
        InputError: If there is no such file, or it is neither.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets begin a file with a mark
    except FileNotFoundError:
        raise InputError(f"Expected `--import` to be a file, but there is no {path}.") from None
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise InputError(f"Expected `--import` {path} to be a text file, but got: {error}.") from error
    if path.suffix.lower() == ".json":
        return list(_of_tasks(_tasks(path, text)))
    return list(_of_rows(path, text))


def _of_rows(path: Path, text: str) -> Iterator[Answer]:
    dialect: Any = csv.excel
    header = text.splitlines()[0] if text else ""
    if ";" in header and "," not in header:  # as spreadsheets write where the comma is in numbers
        dialect = csv.excel()
        dialect.delimiter = ";"
    reader = csv.DictReader(io.StringIO(text, newline=""), dialect=dialect)
    names = reader.fieldnames or []
    if "label" not in names or not {"index", "file"} & set(names):
        got = ", ".join(names) or "none"
        raise InputError(f"Expected columns `label`, and `index` or `file`, in {path}, but got {got}.")
    for row in reader:
        label = (row["label"] or "").strip()
        if not label:
            continue
        where = f"line {reader.line_num}"
        index = (row.get("index") or "").strip()
        if index and not index.isdecimal():
            raise InputError(f"Expected `index` in {where} of {path} to be a number, but got `{index}`.")
        yield Answer(
            where,
            int(index) if index else None,
            (row.get("file") or "").strip() or None,
            None if label.lower() == SKIP else label,
        )


def _tasks(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        tasks = json.loads(text)
    except ValueError as error:
        raise InputError(f"Expected `--import` {path} to be JSON, but got: {error}.") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InputError(f"Expected `--import` {path} to be a list of tasks, as Label Studio exports it.")
    return tasks


def _of_tasks(tasks: list[dict[str, Any]]) -> Iterator[Answer]:
    for number, task in enumerate(tasks):
        where = f"task {task.get('id', number + 1)}"
        if "annotations" not in task and "completions" not in task:  # JSON-MIN: the data and the label side by side
            index, file = _sample(task)
            label = task.get("label")
            if label is not None:
                yield Answer(where, index, file, _one_choice(label))
            continue
        index, file = _sample(task.get("data", {}))
        annotations = [a for a in task.get("annotations", []) if isinstance(a, dict)]
        given = [a for a in annotations if not a.get("was_cancelled")]
        for annotation in given:
            for choice in _choices(annotation):
                yield Answer(where, index, file, choice)
        if annotations and not given:
            yield Answer(where, index, file, None)


def _sample(data: dict[str, Any]) -> tuple[int | None, str | None]:
    index, file = str(data.get("index")), data.get("file")
    return int(index) if index.isdecimal() else None, None if file is None else str(file)


def _choices(annotation: dict[str, Any]) -> list[str]:
    """The choices of one annotation."""
    results = [result for result in annotation.get("result", []) if result.get("type") == "choices"]
    return [str(choice) for result in results for choice in result.get("value", {}).get("choices", [])]


def _one_choice(label: Any) -> str:
    """The choice in JSON-MIN, which is text, or lists them if there are several."""
    return str(label.get("choices", label)) if isinstance(label, dict) else str(label)
