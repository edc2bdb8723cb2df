"""Takes the tables that people filled in, in the folder of the run itself. Needs no torch."""

import re
import sys
from pathlib import Path

from al_lightning.errors import InputError
from al_lightning.labeling.answers import read_answers
from al_lightning.labeling.conflicts import Conflicts
from al_lightning.labeling.questions import QUERY
from al_lightning.labeling.take_answers import take, words_of
from al_lightning.labeling.taken_tables import is_taken, note_taken
from al_lightning.labeling.tell_answers import tell
from al_lightning.run_folder.files import sha256_of
from al_lightning.run_folder.folder import RunFolder


def take_tables(folder: RunFolder, correct: bool = False, conflicts: Conflicts = "refuse") -> bool | None:
    """Takes the filled-in tables of a run folder, ``query.csv`` and ``query.old.csv``, and prints what happened.

    Each table is taken once, until somebody saves it with another content. A table with answers that were not accepted
    is read again, if its questions are still open.

    Args:
        folder: The folder, open.
        correct: See :func:`~al_lightning.labeling.take_answers.take`.
        conflicts: See there.

    Returns:
        Whether all answers were accepted; ``None`` if no table had anything new.

    Raises:
        InputError: If ``query.csv`` has another form, or see there. Then answers of older tables may be taken.
    """
    results = []
    for workbook in _workbooks(folder.path):
        print(f"Note: {workbook} is a workbook, which is not read; save it as CSV.", file=sys.stderr)
    for path in _tables(folder.path):
        if is_taken(path):
            continue
        sha256 = sha256_of(path.read_bytes())  # before it is read: somebody may save it in between
        try:
            answers = read_answers(path, words_of(folder))
        except InputError:
            if path.name == QUERY:
                raise
            continue  # its content stays where it is
        taken = take(folder, answers, correct=correct, conflicts=conflicts)
        if taken.changes or not taken.is_all:
            tell(taken, folder, str(path))
            results.append(taken.is_all)
        if answers and (taken.is_all or path.name != QUERY):  # nobody is asked for the rest of an old table
            note_taken(path, sha256)
    return all(results) if results else None


def _tables(run_dir: Path) -> list[Path]:
    """The tables of questions, the oldest first. Excel saves "Unicode text" as ``query.txt``."""
    form = r"query(\.old(\d*))?\.(csv|tsv|txt)"
    found = [(re.fullmatch(form, path.name), path) for path in run_dir.glob("query*")]
    numbered = [(not match[1], int(match[2] or 1), path) for match, path in found if match is not None]
    return [path for _, _, path in sorted(numbered)]


def _workbooks(run_dir: Path) -> list[Path]:
    """Tables of questions that were saved in another form, after the questions were asked."""
    table = run_dir / QUERY
    if not table.exists():
        return []
    since = table.stat().st_mtime
    found = (run_dir / f"query.{suffix}" for suffix in ("xlsx", "xls", "ods", "numbers"))
    return [path for path in found if path.exists() and path.stat().st_mtime >= since]
