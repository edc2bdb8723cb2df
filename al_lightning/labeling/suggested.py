"""The images that a run suggested: ``al-lightning suggest`` notes them, ``al-lightning label`` finds them again."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from al_lightning.data.growth import file_digest
from al_lightning.errors import composed
from al_lightning.labeling.answer import Answer
from al_lightning.labeling.elsewhere import Elsewhere
from al_lightning.run_folder.files import replace_file

SUGGESTED = "suggested.csv"


def note_suggested(run_dir: Path, files: Iterable[str]) -> None:
    """Adds images to ``suggested.csv`` in the run folder, with their digests.

    Raises:
        OSError: If the folder cannot be written.
    """
    rows = _read(run_dir) | {str(Path(file).absolute()): file_digest(Path(file)) for file in files}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "digest"])
    writer.writerows(rows.items())
    replace_file(run_dir / SUGGESTED, text.getvalue().encode("utf-8", "backslashreplace"))


def split_suggested(run_dir: Path, answers: Sequence[Answer]) -> tuple[list[Elsewhere], list[Answer]]:
    """Splits answers into those for suggested images, and the others.

    An answer is for a suggested image if it has no index, and its file has the same path, or a name that only one
    suggested image has.

    Args:
        run_dir: The folder of the run.
        answers: The answers of a file.
    """
    rows = {composed(file): digest for file, digest in _read(run_dir).items()}
    by_name: dict[str, set[str]] = {}
    for file, digest in rows.items():
        by_name.setdefault(_last(file), set()).add(digest)
    suggested, others = [], []
    for answer in answers:
        file = answer.file
        digest = None
        if answer.index is None and file is not None:
            digest = rows.get(composed(str(Path(file).absolute())))
            alike = by_name.get(composed(_last(file)), set())
            if digest is None and len(alike) == 1:
                (digest,) = alike
        if digest is None or file is None:
            others.append(answer)
        else:
            suggested.append(Elsewhere(answer, _last(file), digest))
    return suggested, others


def _last(file: str) -> str:
    return file.replace("\\", "/").rpartition("/")[2]


def _read(run_dir: Path) -> dict[str, str]:
    try:
        text = (run_dir / SUGGESTED).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    return {row["file"]: row["digest"] for row in csv.DictReader(io.StringIO(text)) if row.get("digest")}
