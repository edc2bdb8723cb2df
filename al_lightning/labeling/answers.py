"""Reading answers from a table or from an export of Label Studio."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from al_lightning.errors import InputError
from al_lightning.run_folder.tables import SKIP

CONTROL = "label"
"""Name of the column, and of Label Studio's control, that holds the class."""
MOST_DIGITS = 18  # in an index


@dataclass(frozen=True)
class Answer:
    """The answer of a file for one sample."""

    where: str
    """Its place in the file, for messages."""
    index: int | None
    file: str | None
    label: str | None
    """Name of a class; ``None`` if the sample was skipped."""


def read_answers(path: Path) -> list[Answer]:
    """Reads answers.

    Args:
        path: A ``.csv`` or a ``.json`` file. The ``.csv`` has a column ``label``, and a column ``index`` or ``file``. A
            row without a label is not an answer; a row with ``skip`` is one. The ``.json`` is an export of Label
            Studio, as JSON or JSON-MIN. A task without an annotation is not an answer, and a cancelled annotation is a
            skip. Predictions are ignored.

    Raises:
        InputError: If the file does not exist, or has another format.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
    except FileNotFoundError:
        raise InputError(f"Expected `--import` to be a file, but there is no {path}.") from None
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise InputError(f"Expected `--import` {path} to be a text file, but got: {error}.") from error
    if path.suffix.lower() == ".json":
        return list(answers_of_tasks(_tasks(path, text)))
    return list(_of_rows(path, text))


def _of_rows(path: Path, text: str) -> Iterator[Answer]:
    dialect: Any = csv.excel
    header = text.splitlines()[0] if text else ""
    if ";" in header and "," not in header:  # spreadsheets write this where numbers have a decimal comma
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
            file = index[:MOST_DIGITS]  # no file has this name, so the row counts as not asked for
        yield Answer(where, _index(index), file or None, None if label.lower() == SKIP else label)


def _tasks(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        tasks = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"Expected `--import` {path} to be JSON, but got: {error}.") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InputError(f"Expected `--import` {path} to be a list of tasks, as Label Studio exports it.")
    return tasks


def answers_of_tasks(tasks: list[dict[str, Any]]) -> Iterator[Answer]:
    """Reads the tasks of an export of Label Studio, in its form JSON or JSON-MIN."""
    for number, task in enumerate(tasks):
        where = f"task {task.get('id', number + 1)}"
        if "annotations" not in task:  # JSON-MIN: data and label side by side
            label = task.get(CONTROL)
            if isinstance(label, str):
                yield Answer(where, *_sample(task), label.strip())
            elif label is not None:  # several choices
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
    """Index and file in a task's data, ``None`` where missing."""
    if not isinstance(data, dict):
        return None, None
    file = data.get("file")
    return _index(str(data.get("index"))), file if isinstance(file, str) else None


def _choices(annotation: dict[str, Any]) -> Iterator[str]:
    """The classes that one annotation chose. Other questions of a project are ignored."""
    for result in _list(annotation.get("result")):
        if isinstance(result, dict) and result.get("type") == "choices" and result.get("from_name") == CONTROL:
            value = result.get("value")
            for choice in _list(value.get("choices") if isinstance(value, dict) else None):
                yield str(choice)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _index(text: str) -> int | None:
    """A training-set index; ``None`` if the text is not an index."""
    return int(text) if text.isdecimal() and len(text) < MOST_DIGITS else None
