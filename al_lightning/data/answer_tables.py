"""Reads answers from a table, as spreadsheets of several languages write it."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from al_lightning.data.answer import MOST_DIGITS, SKIP, Answer, as_index
from al_lightning.errors import InputError

DELIMITERS = ",;\t|"
NEEDED = ("label", "index", "file")
OPTIONAL = ("annotator", "updated_at", "created_at", "ground_truth")
TRUE = ("true", "1", "yes")
MOST_ROWS_ABOVE = 20  # the header: a title and empty lines


def answers_of_table(path: Path, text: str, option: str = "--import") -> Iterator[Answer]:
    """Reads the answers of a table.

    The columns may be in any order, with names in upper or lower case. They may be separated by commas, semicolons,
    tabs or bars. A row without a label is not an answer; a row with ``skip`` is one.

    Args:
        path: The file, for messages.
        text: Its text.
        option: The option that names the file, for messages.

    Raises:
        InputError: If the text is not a table of answers.
    """
    skipped, delimiter = 0, None
    if found := re.match(r"\s*\"?sep=(.)\"?;*,*[ \t]*(\r\n|\r|\n|$)", text, flags=re.IGNORECASE):  # Excel's hint
        text, skipped, delimiter = text[found.end() :], len(found[0].splitlines()), found[1]
    text = _unfolded(text)
    delimiters = [delimiter] if delimiter else list(DELIMITERS)
    headers = [_header(text, one) for one in delimiters]
    delimiter, header = max(zip(delimiters, headers, strict=True), key=lambda pair: _fit(pair[1]))
    if _fit(header) == 0 or any(header.count(name) > 1 for name in NEEDED):
        got = ", ".join(header) or "none"
        raise InputError(f"Expected columns `label`, and `index` or `file`, in {path}, but got {got}.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        next(row for row in reader if _names(row) == header)
        for row in reader:
            answer = _answer(f"line {reader.line_num + skipped}", header, row, delimiter)
            if answer is not None:
                yield answer
    except csv.Error as error:
        raise InputError(f"Expected `{option}` {path} to be a table, but got: {error}.") from error


def _unfolded(text: str) -> str:
    """Spreads a table that a spreadsheet shows in its first column, and that people filled in there or beside it.

    This happens where a comma is the decimal sign: the spreadsheet then does not split rows at commas. Other texts are
    returned unchanged.
    """
    for delimiter in (";", "\t"):
        with suppress(csv.Error):
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
            first, *others = (rows and rows[0]) or [""]
            header = _names(_cells(first))
            is_folded = others or not _fit(_header(text, ","))
            if _fit(header) and is_folded and not any(map(str.strip, others)):
                label = header.index("label")
                spread = io.StringIO()
                writer = csv.writer(spread)
                writer.writerow(header)
                for first, *others in (row or [""] for row in rows[1:]):
                    cells = _cells(first)
                    beside = [cell for cell in others if cell.strip()]
                    if len(beside) == 1 and label < len(cells) and not cells[label].strip():
                        cells[label], beside = beside[0], []
                    writer.writerow([*cells, *beside])
                return spread.getvalue()
    return text


def _cells(line: str) -> list[str]:
    return next(csv.reader([line]), [])


def _header(text: str, delimiter: str) -> list[str]:
    """The names of the columns: the first row that has the needed columns, or the first row with any text."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    first: list[str] = []
    with suppress(csv.Error):  # whoever reads the rows below says it
        for row in islice(rows, MOST_ROWS_ABOVE):
            names = _names(row)
            if _fit(names):
                return names
            first = first or [name for name in names if name]
    return first


def _names(row: Sequence[str]) -> list[str]:
    """The cells of a row as names of columns, in lower case."""
    return [cell.strip().strip("\ufeff\"'").strip().lower() for cell in row]


def _fit(header: Sequence[str]) -> int:
    """How well a delimiter suits a table: the number of its columns; 0 if a column is missing."""
    is_whole = "label" in header and ("index" in header or "file" in header)
    return len(header) if is_whole else 0


def _answer(where: str, header: Sequence[str], row: Sequence[str], delimiter: str) -> Answer | None:
    cells = [cell.strip() for cell in row]
    values = dict(zip(header, cells, strict=False))
    label, beyond = values.get("label", ""), [cell for cell in cells[len(header) :] if cell]
    if beyond:  # a delimiter in a cell without quotes: nobody knows which cells belong together
        label = f"{delimiter} ".join(cells)
    if not label:
        return None
    index, file = values.get("index", ""), values.get("file", "")
    if index and as_index(index) is None:
        file = index[:MOST_DIGITS]  # no file has this name, so the row counts as not asked for
    annotator, updated, created, is_truth = (values.get(name, "") for name in OPTIONAL)
    return Answer(
        where,
        as_index(index),
        file or None,
        None if label.lower() == SKIP else label,
        annotator,
        updated or created,
        is_truth.lower() in TRUE,
    )
