"""The images that a run suggested: ``al-lightning suggest`` notes them, ``al-lightning label`` finds them again."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from al_lightning.data.answer import Answer
from al_lightning.data.growth import file_digest
from al_lightning.errors import composed
from al_lightning.labeling.elsewhere import Elsewhere
from al_lightning.run_folder.files import replace_file
from al_lightning.run_folder.folder import RunFolder
from al_lightning.run_folder.table_writer import table_writer

SUGGESTED = "suggested.csv"


def note_suggested(run_dir: Path, files: Iterable[str]) -> None:
    """Adds images to ``suggested.csv`` in the run folder, with their digests.

    Raises:
        OSError: If the folder cannot be written.
    """
    rows = _read(run_dir) | {str(Path(file).absolute()): file_digest(Path(file)) for file in files}
    text = io.StringIO()
    writer = table_writer(text)
    writer.writerow(["file", "digest"])
    writer.writerows(rows.items())
    replace_file(run_dir / SUGGESTED, text.getvalue().encode("utf-8", "backslashreplace"))


def split_suggested(folder: RunFolder, answers: Sequence[Answer]) -> tuple[list[Elsewhere], list[Answer]]:
    """Splits answers into those for suggested images, and the others.

    An answer is for a suggested image if it has no index, and its file has the same path, or a name that one suggested
    image has and no sample of the run.

    Args:
        folder: The folder of the run, open.
        answers: The answers of a file.
    """
    rows = {composed(file): digest for file, digest in _read(folder.path).items()}
    of_run = {_last(sample.file) for sample in folder.pool} | {_last(question.file) for question in folder.asked}
    by_name: dict[str, set[str]] = {}
    for path, digest in rows.items():
        by_name.setdefault(_last(path), set()).add(digest)
    suggested: list[Elsewhere] = []
    others: list[Answer] = []
    for answer in answers:
        file = answer.file if answer.index is None else None
        found = {rows[path]} if file and (path := composed(str(Path(file).absolute()))) in rows else set()
        if file and not found and _last(file) not in of_run:
            found = by_name.get(_last(file), set())
        if file and len(found) == 1:
            suggested.append(Elsewhere(answer, _last(file), *found))
        else:
            others.append(answer)
    return suggested, others


def _last(file: str) -> str:
    """The name of a file without its folders."""
    return composed(file.replace("\\", "/").rpartition("/")[2])


def _read(run_dir: Path) -> dict[str, str]:
    try:
        text = (run_dir / SUGGESTED).read_bytes().decode()
    except FileNotFoundError:
        return {}
    return {row["file"]: row["digest"] for row in csv.DictReader(io.StringIO(text, newline="")) if row.get("digest")}
