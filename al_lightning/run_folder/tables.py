"""The tables of a run folder: their rows, and the conversion between rows and text."""

import csv
import io
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from al_lightning.data.answer import SKIP as SKIP
from al_lightning.run_folder.table_writer import table_writer

ROUNDS, QUERIES, ASKED = "rounds.csv", "queries.csv", "asked.csv"
CALIBRATION, DIAGNOSTICS = "calibration.csv", "diagnostics.csv"
ANSWERS, POOL, WAITING = "answers.csv", "pool.csv", "waiting.csv"
SKIPPED = -1
"""Label of a sample that the labeler skipped. No fit trains on it, and no query asks for it again."""
KNOWN, ANSWER, OTHER, CORRECTION = "known", "answer", "other", "correction"
"""Kinds of answers in answers.csv; see :class:`Answered`."""
COUNTING = (KNOWN, ANSWER, CORRECTION)
"""Kinds of answers that are or were the label of the run."""


@dataclass(frozen=True)
class Round:
    """One row of rounds.csv: a fit and its results."""

    round: int
    num_labeled: int
    test_acc: float
    test_nll: float
    test_brier: float
    test_ece: float
    train_acc: float
    epochs: int
    converged: bool
    seconds_fit: float
    seconds_score: float
    seconds_select: float
    seconds_test: float
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    """Further metrics by name, each a column after the ones above; ``None`` where a round has no value."""

    def measured(self) -> dict[str, float]:
        """All values except the round and the number of labels, by name."""
        row = asdict(self)
        metrics = row.pop("metrics")
        row |= {name: value for name, value in metrics.items() if value is not None and name not in row}
        return {name: value for name, value in row.items() if name not in ("round", "num_labeled")}


@dataclass(frozen=True)
class Query:
    """One row of queries.csv: a label that was bought. Without a label it is an open question, a row of asked.csv."""

    round: int
    """The first round that trains on it; 0 for the initial set."""
    order: int
    """Its place in the query, from 0."""
    index: int
    """Training-set index."""
    label: int | None
    """Class index; -1 if the labeler skipped the sample, ``None`` until there is an answer."""
    score: float | None = None
    """Acquisition score, if the strategy has one."""
    predicted: int | None = None
    """The predicted class at the time of the query; ``None`` in the initial set."""
    confidence: float | None = None
    """The probability that the model gave to that class, in [0, 1]."""
    file: str = ""
    """Path of the sample's file; empty if the sample has no file. Only asked.csv has this column."""


Question = Query
"""An open question for an oracle."""


@dataclass(frozen=True)
class Answered:
    """One row of answers.csv: an answer of a person, or a label that the data brought."""

    round: int
    """The first round that could train on the answer."""
    index: int
    """Training-set index."""
    file: str
    """Path of the sample's file relative to the folder of the data, or its row in a file."""
    label: str
    """Name of the class, or ``skip``."""
    kind: str
    """``known``: the data brought the label. ``answer``: the label of the run. ``other``: an answer that does not
    count. ``correction``: the label of the run from ``round`` on."""
    annotator: str = ""
    """The person who answered, as far as the answers say so."""
    at: str = ""
    """Time of the import, UTC, in ISO 8601."""


@dataclass(frozen=True)
class Sample:
    """One row of pool.csv: a sample of a training set that may grow."""

    index: int
    """Training-set index in all tables of the run. No other sample ever gets it."""
    file: str
    """Path of the sample's file relative to the folder of the data."""
    digest: str
    """Digest of the file when it joined."""
    joined: int
    """The first round whose query could choose it."""
    left: int | None = None
    """The first round without it; ``None`` while it is there."""


@dataclass(frozen=True)
class Waiting:
    """One row of waiting.csv: a label that nobody asked for. The next fit takes it, if its sample is in the pool."""

    index: int | None
    """Training-set index; ``None`` if the sample is not in the pool yet."""
    file: str
    """Path of the sample's file relative to the folder of the data, or its row in a file."""
    digest: str
    """Digest of the file; empty if it is not known."""
    label: str
    """Name of the class, or ``skip``."""
    annotator: str = ""
    """The person who answered, as far as it is known."""
    at: str = ""
    """Time of the import, UTC, in ISO 8601."""


@dataclass(frozen=True)
class CalibrationBin:
    """One row of calibration.csv: the test samples with a confidence in one of the equally wide bins."""

    round: int
    bin: int
    """Number of the bin, from 0 for the least confident. Empty bins are left out."""
    count: int
    confidence: float
    """Mean probability of the predicted class."""
    accuracy: float


@dataclass(frozen=True)
class Diagnostic:
    """One row of diagnostics.csv: a figure of a round that the strategy reports or the model logs."""

    round: int
    name: str
    value: float


RowT = TypeVar("RowT", Round, Query, CalibrationBin, Diagnostic, Answered, Sample, Waiting)
Row = Round | Query | CalibrationBin | Diagnostic | Answered | Sample | Waiting
TABLES: dict[str, type[Row]] = {
    ROUNDS: Round,
    QUERIES: Query,
    CALIBRATION: CalibrationBin,
    DIAGNOSTICS: Diagnostic,
    ASKED: Query,
    ANSWERS: Answered,
    POOL: Sample,
    WAITING: Waiting,
}
COLUMNS: dict[str, tuple[str, ...]] = {
    ROUNDS: tuple(column.name for column in fields(Round) if column.name != "metrics"),
    QUERIES: ("round", "order", "index", "label", "score", "predicted", "confidence"),
    CALIBRATION: tuple(column.name for column in fields(CalibrationBin)),
    DIAGNOSTICS: tuple(column.name for column in fields(Diagnostic)),
    ASKED: ("round", "order", "index", "file", "score", "predicted", "confidence", "label"),
    ANSWERS: tuple(column.name for column in fields(Answered)),
    POOL: tuple(column.name for column in fields(Sample)),
    WAITING: tuple(column.name for column in fields(Waiting)),
}
"""Columns of each table in their order. In rounds.csv, the columns of further metrics follow."""


def to_csv(table: str, rows: Iterable[Row]) -> str:
    """Writes a table. Floats have enough digits to read the same bits back.

    Args:
        table: Name of its file, a key of :data:`TABLES`.
        rows: Its rows.
    """
    rows = list(rows)
    names = {name: None for row in rows if isinstance(row, Round) for name in row.metrics}  # in order of appearance
    return _header(table, names) + _lines(table, rows, names)


def grown_csv(table: str, text: str, old: Sequence[Row], new: Iterable[Row]) -> str:
    """Writes a table of old and new rows, where the text of the old ones is known.

    Only new rows become text, since a table of labels may be long. A table in the columns of an earlier version is
    written anew. The table has no metrics.

    Args:
        table: Name of its file.
        text: The table of the old rows.
        old: The old rows.
        new: The rows that join.
    """
    if text.startswith(_header(table)):
        return text + _lines(table, new)
    return to_csv(table, [*old, *new])


def _header(table: str, metrics: Iterable[str] = ()) -> str:
    text = io.StringIO()
    table_writer(text).writerow([*COLUMNS[table], *metrics])
    return text.getvalue()


def _lines(table: str, rows: Iterable[Row], names: Collection[str] = ()) -> str:
    text = io.StringIO()
    writer = table_writer(text)
    for row in rows:
        metrics = row.metrics if isinstance(row, Round) else {}
        writer.writerow([*(getattr(row, name) for name in COLUMNS[table]), *(metrics.get(name) for name in names)])
    return text.getvalue()


def from_csv(row_type: type[RowT], text: str) -> list[RowT]:
    """Reads a table. A missing column or an empty value is ``None``; unknown columns are metrics."""
    known = [column for column in fields(row_type) if column.name != "metrics"]
    rows = []
    for row in csv.DictReader(io.StringIO(text)):
        values = {column.name: _PARSERS[column.type](row.pop(column.name, None) or "") for column in known}
        if row_type is Round:
            values["metrics"] = {str(name): float(value) if value else None for name, value in row.items()}
        rows.append(row_type(**values))
    return rows


def read_rounds(path: Path) -> list[Round]:
    """The rounds of a run so far, finished or not; empty without a rounds.csv of this package."""
    try:
        return from_csv(Round, (path / ROUNDS).read_text())
    except (OSError, ValueError, csv.Error):
        return []


_PARSERS: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: float,
    bool: "True".__eq__,
    int | None: lambda text: int(text) if text else None,
    float | None: lambda text: float(text) if text else None,
}
