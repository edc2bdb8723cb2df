"""Names of classes: as a user gives them, and whether they can be names. Needs no torch."""

import csv
import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from al_lightning.errors import InputError, composed
from al_lightning.paths import expanded

OPTION = "data.classes"
IN_OPTION = f" in `{OPTION}`"
RESERVED_NAMES = ("skip", "unlabeled")
"""Names that mean "no class" in answers and in folders."""
SUFFIXES = (".csv", ".lst", ".names", ".text", ".txt")
"""Endings of names of files of names."""


def check_class_names(names: Sequence[str], where: str = "") -> tuple[str, ...]:
    """Checks names of classes, and returns them.

    Args:
        names: The names.
        where: Where they are from, for the message, such as `` in names.txt``.

    Raises:
        InputError: If a name is empty, begins or ends with a blank, appears twice, means "no class", or is not a text.
            Two Unicode forms of a name, `é` as one character or two, are the same name.
    """
    odd = [names] if isinstance(names, str) else [name for name in names if not isinstance(name, str)]
    if odd:
        raise InputError(f"Expected a list of names of classes{where}, each of them text, but got {odd[0]!r}.")
    counts = Counter(composed(name) for name in names)
    for name in names:
        if not name.strip() or name != name.strip() or counts[composed(name)] > 1 or name.lower() in RESERVED_NAMES:
            got = f"`{name}`" if name.strip() else "an empty one"
            raise InputError(
                f"Expected distinct names of classes{where} without blanks around them, other than "
                f"{' and '.join(RESERVED_NAMES)}, but got {got}{' twice' * (counts[composed(name)] == 2)}."
            )
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):  # no table can hold them
            raise InputError(f"Expected names of classes{where} that are one line of text, but got {name!a}.")
    return tuple(names)


def names_in(text: str) -> tuple[str, ...] | None:
    """Reads what a user gives for ``data.classes`` besides a list: names with commas between them, or a file of names.

    Args:
        text: ``cat, dog``, or the name of a text file with one name a line. A name with a comma in it needs double
            quotes, or a line of a file.

    Returns:
        The names; ``None`` if the text is something else, such as a list in YAML.

    Raises:
        InputError: If the file does not exist or cannot be read, or the names are none.

    Example:
        >>> names_in('cat, hot dog, "New York, NY"')
        ('cat', 'hot dog', 'New York, NY')
    """
    stripped = text.strip()
    if stripped.startswith(("[", "{", "- ")):
        return None
    path = Path(expanded(stripped))
    if _is_file(path):
        return check_class_names(_lines(path), f" in {path}")
    if "\n" in stripped:  # as of $(cat names.txt)
        return check_class_names(_names_of_lines(stripped), IN_OPTION)
    if "," in stripped:
        (names,) = csv.reader([stripped], skipinitialspace=True)
        return check_class_names([name.strip() for name in names], IN_OPTION)
    if path.suffix.lower() in SUFFIXES or {"/", os.sep} & {*stripped}:
        what = "it is a folder" if path.is_dir() else f"there is no {path}"
        raise InputError(f"Expected `{OPTION}` to be names, or a file with one name a line, but {what}.")
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a name, or a character that no name has
        return False


def _lines(path: Path) -> list[str]:
    try:
        names = _names_of_lines(path.read_text(encoding="utf-8-sig"))  # editors write a byte order mark
    except UnicodeDecodeError as error:
        raise InputError(f"Expected `{OPTION}` {path} to be a text file in UTF-8, but got: {error}.") from error
    if not names:
        raise InputError(f"Expected `{OPTION}` {path} to have a name in each line, but it has none.")
    return names


def _names_of_lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
