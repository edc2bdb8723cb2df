"""Reading answers from a table or from an export of Label Studio."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from al_lightning.errors import InputError

CONTROL = "label"
"""Name of the column, and of the control in Label Studio, that has the class."""
MOST_DIGITS = 18  # of an index
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
    try:
        yield from _of_reader(path, reader)
    except csv.Error as error:
        raise InputError(f"Expected `--import` {path} to be a table, but got: {error}.") from error


def _of_reader(path: Path, reader: csv.DictReader) -> Iterator[Answer]:
    names = list(reader.fieldnames or [])
    doubled = [name for name in ("label", "index", "file") if names.count(name) > 1]
    if "label" not in names or not {"index", "file"} & set(names) or doubled:
        got = ", ".join(names) or "none"
        raise InputError(f"Expected columns `label`, and `index` or `file`, in {path}, but got {got}.")
    for row in reader:
        label = (row["label"] or "").strip()
        if not label:
            continue
        where = f"line {reader.line_num}"
        index, file = (row.get("index") or "").strip(), (row.get("file") or "").strip()
        if index and _index(index) is None:
            file = index[:MOST_DIGITS]  # no file is called so: the row is said to be of nothing that was asked
        yield Answer(where, _index(index), file or None, None if label.lower() == SKIP else label)


def _tasks(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        tasks = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"Expected `--import` {path} to be JSON, but got: {error}.") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InputError(f"Expected `--import` {path} to be a list of tasks, as Label Studio exports it.")
    return tasks


def _of_tasks(tasks: list[dict[str, Any]]) -> Iterator[Answer]:
    for number, task in enumerate(tasks):
        where = f"task {task.get('id', number + 1)}"
        if "annotations" not in task:  # JSON-MIN: the data and the label side by side
            label = task.get(CONTROL)
            if isinstance(label, str):
                yield Answer(where, *_sample(task), label.strip())
            elif label is not None:  # of several choices
                yield Answer(where, *_sample(task), json.dumps(label))
            continue
        index, file = _sample(task.get("data"))
        annotations = [annotation for annotation in _list(task["annotations"]) if isinstance(annotation, dict)]
        given = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
        for annotation in given:
            for choice in _choices(annotation):
                yield Answer(where, index, file, choice)
        if annotations and not given:
            yield Answer(where, index, file, None)


def _sample(data: Any) -> tuple[int | None, str | None]:
    """Index and file in a task's data, as far as they are there."""
    if not isinstance(data, dict):
        return None, None
    file = data.get("file")
    return _index(str(data.get("index"))), file if isinstance(file, str) else None


def _choices(annotation: dict[str, Any]) -> Iterator[str]:
    """What one annotation chose of the classes; a project may ask for other things, too."""
    for result in _list(annotation.get("result")):
        if isinstance(result, dict) and result.get("type") == "choices" and result.get("from_name") == CONTROL:
            value = result.get("value")
            for choice in _list(value.get("choices") if isinstance(value, dict) else None):
                yield str(choice)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _index(text: str) -> int | None:
    """A training-set index; ``None`` if the text is none."""
    return int(text) if text.isdecimal() and len(text) < MOST_DIGITS else None
