"""Reads answers from tasks of Label Studio, in its forms JSON and JSON-MIN (https://labelstud.io/guide/export)."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from al_lightning.data.answer import Answer, as_index
from al_lightning.errors import InputError

CONTROL = "label"
"""Name of Label Studio's control that holds the class."""


def tasks_of(path: Path, text: str) -> list[dict[str, Any]]:
    """Reads the tasks of an export.

    Args:
        path: The file, for messages.
        text: Its text.

    Raises:
        InputError: If the text is not a list of tasks in JSON.
    """
    try:
        tasks = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"Expected `--import` {path} to be JSON, but got: {error}.") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InputError(f"Expected `--import` {path} to be a list of tasks, as Label Studio exports it.")
    return tasks


def answers_of_tasks(tasks: Sequence[Mapping[str, Any]]) -> Iterator[Answer]:
    """Reads the tasks of an export of Label Studio, in its form JSON or JSON-MIN.

    A task without an annotation is not an answer. A task whose annotations are all cancelled is a skip. Predictions and
    other questions of a project are ignored.
    """
    for number, task in enumerate(tasks):
        where = f"task {task.get('id', number + 1)}"
        if "annotations" not in task:  # JSON-MIN: data and label side by side
            label = _label_of(task.get(CONTROL))
            if label is not None:
                yield Answer(where, *_sample(task), label, _person(task.get("annotator")), *_mark(task))
            continue
        sample = _sample(task.get("data"))
        annotations = [annotation for annotation in _list(task["annotations"]) if isinstance(annotation, dict)]
        given = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
        for annotation in given:
            choices = list(_choices(annotation))
            if choices:
                label = choices[0] if len(choices) == 1 else _in_json(choices)
                yield Answer(where, *sample, label, _person(annotation.get("completed_by")), *_mark(annotation))
        for annotation in annotations if not given else ():
            yield Answer(where, *sample, None, _person(annotation.get("completed_by")), *_mark(annotation))


def _sample(data: Any) -> tuple[int | None, str | None]:
    """Index and file in a task's data, ``None`` where missing."""
    if not isinstance(data, dict):
        return None, None
    index, file = as_index(str(data.get("index")).strip()), data.get("file")
    if not isinstance(file, str) or not file.strip():
        file = None if index is not None else _file_of_url(data.get("image"))
    return index, file


def _file_of_url(url: Any) -> str | None:
    """The file behind the image of a task that this package did not write."""
    if not isinstance(url, str) or not url.strip():
        return None
    parts = urlsplit(url)
    local = parse_qs(parts.query).get("d")
    if local:
        return local[0]
    file = unquote(parts.path).lstrip("/")
    # Label Studio puts eight digits before the name of an uploaded file
    return re.sub(r"^data/upload/\d+/[0-9a-f]{8}-", "", file) or None


def _choices(annotation: Mapping[str, Any]) -> Iterator[str]:
    """The classes that one annotation chose. Other questions of a project are ignored."""
    for result in _list(annotation.get("result")):
        if isinstance(result, dict) and result.get("type") == "choices" and result.get("from_name") == CONTROL:
            value = result.get("value")
            for choice in _list(value.get("choices") if isinstance(value, dict) else None):
                if (label := _label_of(choice)) is not None:
                    yield label


def _label_of(value: Any) -> str | None:
    """A label as text: a class may be called ``1``. ``None`` if there is no label."""
    if isinstance(value, str):
        return value.strip() or None
    return None if value is None or value == [] else _in_json(value)


def _in_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _person(value: Any) -> str:
    """The e-mail address of a person, or the number."""
    if isinstance(value, dict):
        value = value.get("email") or value.get("username") or value.get("id")
    return value.strip() if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def _mark(annotation: Mapping[str, Any]) -> tuple[str, bool]:
    """Time of an annotation, and whether it is marked as ground truth."""
    times = (annotation.get("updated_at"), annotation.get("created_at"))
    return next((time for time in times if isinstance(time, str)), ""), annotation.get("ground_truth") is True


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
