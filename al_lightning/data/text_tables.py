"""Reads texts and their labels from a table: CSV in the forms of spreadsheets, JSON lines, or a text a line."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from al_lightning.data.decoding import read_text
from al_lightning.errors import InputError, did_you_mean

DELIMITERS = ",;\t|"
JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
LONGEST = 2**31 - 1
"""Characters of a cell. The limit of the module csv, 131,072, is too small for some texts."""


def read_texts(
    path: Path, column: str, label_column: str | None, option: str, words: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Reads the texts of a table.

    Args:
        path: A table: ``.csv``, ``.tsv``; ``.jsonl`` with an object a line, or ``.json`` with a list of objects; or
            ``.txt`` with a text a line.
        column: Name of the column, or the key, of the texts.
        label_column: Name of the column of the labels, if there is one.
        option: The option that names the file, for messages.
        words: Words that the table may have, which help to find its encoding.

    Returns:
        The texts and their labels, empty where unknown.

    Raises:
        InputError: If the file is missing or something else, or has no such column.
    """
    content = read_text(path, words, option)
    if path.suffix.lower() == ".txt":
        texts = [line for line in content.splitlines() if line.strip()]
        return texts, [""] * len(texts)
    needed = [column, *([label_column] if label_column is not None else [])]
    if path.suffix.lower() in JSON_SUFFIXES:
        rows = _json_rows(path, content, option)
    else:
        with _long_cells():
            rows = _csv_rows(path, content, option, needed)
    for name in needed:
        known = list(dict.fromkeys(key for row in rows for key in row))
        if rows and name not in known:
            which = "column" if name == column else "label_column"
            raise InputError(
                f"Expected `data.{which}` to be a column of {path}, {', '.join(known)}, but got `{name}`"
                f"{did_you_mean(name, known)}"
            )
    labels = [row.get(label_column, "").strip() if label_column is not None else "" for row in rows]
    return [row.get(column, "") for row in rows], labels


def _csv_rows(path: Path, content: str, option: str, needed: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a table, by the delimiter that gives the needed columns, or else the most columns."""
    first = content.split("\n", 1)[0]

    def fit(delimiter: str) -> tuple[int, int]:
        header = next(csv.reader([first], delimiter=delimiter), [])
        return sum(name in header for name in needed), len(header)

    try:
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=max(DELIMITERS, key=fit))
        header = [name.strip() for name in next(reader, [])]
        return [dict(zip(header, row, strict=False)) for row in reader if row]
    except csv.Error as error:
        raise InputError(f"Expected `{option}` {path} to be a table, but got: {error}.") from error


def _json_rows(path: Path, content: str, option: str) -> list[dict[str, str]]:
    try:
        whole = json.loads(content) if content.lstrip().startswith("[") else None
        rows = list(map(json.loads, filter(str.strip, content.splitlines()))) if whole is None else whole
    except ValueError as error:
        raise InputError(f"Expected `{option}` {path} to be JSON, an object a line, but got: {error}.") from error
    odd = next((row for row in rows if not isinstance(row, dict)), None)
    if odd is not None:
        raise InputError(f"Expected `{option}` {path} to hold an object a line, but got {str(odd)[:50]}.")
    return [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]


@contextmanager
def _long_cells() -> Iterator[None]:
    before = csv.field_size_limit(LONGEST)
    try:
        yield
    finally:
        csv.field_size_limit(before)
