"""labels.csv: the labels of a run as they are now, for people and other programs."""

import io
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from al_lightning.run_folder.files import put_aside, replace_file, sha256_of
from al_lightning.run_folder.table_writer import table_writer
from al_lightning.run_folder.tables import COUNTING, Answered, Query, Sample

LABELS = "labels.csv"
COLUMNS = ("file", "index", "label", "round", "annotator")
WRITTEN = ".labels"
"""File that notes the SHA-256 of labels.csv, because people may change labels.csv."""


def label_rows(
    queries: Iterable[Query], answers: Iterable[Answered], pool: Iterable[Sample] = ()
) -> list[tuple[str, int, str, int, str]]:
    """The rows of labels.csv: file, index, label, round and annotator.

    The label is the name of a class, or ``skip``. The round is the first one that trains on this label.

    Args:
        queries: Labels that were bought, and open questions. Questions without an answer are left out.
        answers: The rows of answers.csv.
        pool: The rows of pool.csv: they have the names of today of files that were moved.
    """
    moved = {sample.index: sample.file for sample in pool}
    counting = {row.index: row for row in answers if row.kind in COUNTING}
    rows = []
    for query in queries:
        if query.label is None:
            continue
        row = counting.get(query.index)
        if row is not None:  # a run of an earlier version has all rows when fit continued it
            rows.append((moved.get(query.index, row.file), query.index, row.label, row.round, row.annotator))
    return rows


def write_labels(
    folder: Path,
    queries: Iterable[Query],
    answers: Iterable[Answered],
    pool: Iterable[Sample] = (),
    over_edited: bool = True,
) -> None:
    """Writes labels.csv, in the form that spreadsheets read.

    A labels.csv that somebody edited is put aside as ``labels.old.csv``, with a note. If the file cannot be written,
    for example because a spreadsheet has it open, the next commit writes it.

    Args:
        folder: The run folder.
        queries: See :func:`label_rows`.
        answers: See there.
        pool: See there.
        over_edited: Whether to replace a file that somebody edited. If not, it stays.
    """
    text = io.StringIO()
    writer = table_writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(label_rows(queries, answers, pool))
    content = text.getvalue().encode("utf-8-sig")
    path, written = folder / LABELS, folder / WRITTEN
    try:
        with suppress(FileNotFoundError):
            found = path.read_bytes()
            is_ours = written.exists() and written.read_text() == sha256_of(found)
            if not is_ours and found != content:
                if not over_edited:
                    return
                aside = put_aside(path)
                print(
                    f"Note: {path} was edited; it is now {aside.name}. To take its labels: al-lightning label {folder} "
                    f"--import {aside} --correct",
                    file=sys.stderr,
                )
            if is_ours and found == content:
                return
        replace_file(path, content)
        replace_file(written, sha256_of(content).encode())
    except OSError as error:
        print(f"Note: {path} could not be written: {error.strerror}.", file=sys.stderr)
