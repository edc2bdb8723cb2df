"""Notes which tables of a run folder were taken, by their content."""

import json
from contextlib import suppress
from pathlib import Path

from al_lightning.errors import InputError
from al_lightning.labeling.answers import read_answers
from al_lightning.run_folder.files import replace_file, sha256_of

TAKEN = ".taken"
"""File of a run folder with the SHA-256 of each table when its answers were taken last, by its name, in JSON."""


def is_taken(table: Path) -> bool:
    """Whether the answers of a table in a run folder were taken since somebody saved it."""
    return _noted(table.parent).get(table.name) == sha256_of(table.read_bytes())


def note_taken(table: Path, sha256: str) -> None:
    """Notes that the answers of a table in a run folder were taken, with the SHA-256 that it had."""
    noted = _noted(table.parent)
    if noted.get(table.name) != sha256:
        replace_file(table.parent / TAKEN, json.dumps(noted | {table.name: sha256}, indent=1).encode())


def has_new_answers(table: Path) -> bool:
    """Whether a table in a run folder has answers that were not taken, as far as it can be read."""
    if not table.exists() or is_taken(table):
        return False
    try:
        return bool(read_answers(table))
    except InputError:
        return True


def _noted(run_dir: Path) -> dict[str, str]:
    with suppress(FileNotFoundError, ValueError):
        noted = json.loads((run_dir / TAKEN).read_text())
        return noted if isinstance(noted, dict) else {}
    return {}
