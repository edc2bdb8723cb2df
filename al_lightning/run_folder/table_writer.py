"""Writes tables that a reader of CSV gets back as they were, whatever the names of files are."""

import csv
from typing import Any, Protocol


class Writer(Protocol):
    """A writer of the module csv."""

    def writerow(self, row: Any, /) -> Any: ...

    def writerows(self, rows: Any, /) -> Any: ...


class File(Protocol):
    """What a writer writes to."""

    def write(self, text: str, /) -> Any: ...


class _LineFeeds:
    """Ends each line with a line feed only."""

    def __init__(self, file: File) -> None:
        self._file = file

    def write(self, line: str) -> None:
        self._file.write(line.removesuffix("\r\n") + "\n")


def table_writer(file: File) -> Writer:
    r"""Returns a writer of rows, separated by commas. A line ends with a line feed.

    The module csv quotes a carriage return in a cell only if lines end with one, too. Without quotes, its reader takes
    a carriage return for the end of the line, so a file of such a name would tear the table.

    Args:
        file: A text file, opened with ``newline=""``, or a :class:`io.StringIO`.

    Example:
        >>> import io
        >>> text = io.StringIO()
        >>> table_writer(text).writerow(["a\rb.png", 7])
        >>> text.getvalue()
        '"a\rb.png",7\n'
    """
    return csv.writer(_LineFeeds(file), lineterminator="\r\n")
