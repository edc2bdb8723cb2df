"""Notes which tables of a run folder were taken, by their content."""

from contextlib import suppress
from pathlib import Path

from al_lightning.errors import InputError
from al_lightning.labeling.answers import read_answers
from al_lightning.run_folder.files import replace_file, sha256_of

TAKEN = ".taken"
"""File of a run folder with the SHA-256 of each table whose answers were taken, one a line."""


def is_taken(run_dir: Path, sha256: str) -> bool:
    """Whether the answers of a table with this content were taken."""
    return sha256 in _noted(run_dir)


def note_taken(run_dir: Path, sha256: str) -> None:
    """Notes that the answers of a table with this content were taken."""
    noted = _noted(run_dir)
    if sha256 not in noted:
        replace_file(run_dir / TAKEN, "".join(f"{line}\n" for line in [*noted, sha256]).encode())


def has_new_answers(path: Path) -> bool:
    """Whether a table of a run folder has answers that were not taken, as far as it can be read."""
    if not path.exists() or is_taken(path.parent, sha256_of(path.read_bytes())):
        return False
    try:
        return bool(read_answers(path))
    except InputError:
        return True


def _noted(run_dir: Path) -> list[str]:
    with suppress(FileNotFoundError):
        return (run_dir / TAKEN).read_text().split()
    return []
