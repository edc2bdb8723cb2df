"""Finds the config files that ``--config`` names. Configs that come with the package need no path and no suffix."""

import re
from pathlib import Path

from al_lightning.errors import InputError, did_you_mean
from al_lightning.paths import expanded


def own_configs() -> dict[str, Path]:
    """Returns the configs that come with the package, by name.

    A wheel has them in the folder ``al_lightning/configs``. A source checkout has them in ``configs``, beside the
    package.
    """
    package = Path(__file__).parents[1]
    folder = package / "configs"
    if not folder.is_dir():
        folder = package.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_config(value: str, expected: str = "`config` to be a file") -> str:
    """Returns the path of a config file.

    Args:
        value: A path, or the name of a config that comes with the package. A file of the user goes before such a name.
            Text that can be neither, such as options in braces, is returned as it is.
        expected: What the message of an error says that was expected.

    Raises:
        InputError: If there is no such file.

    Example:
        >>> Path(find_config("badge")).name
        'badge.yaml'
    """
    if not re.fullmatch(r"[^\s{}\[\]:]+", value) or Path(expanded(value)).is_file():
        return value
    known = own_configs()
    if value in known:
        return str(known[value])
    if Path(expanded(value)).exists():  # a folder: the parser says so
        return value
    hint = did_you_mean(Path(value).stem, known)
    if re.fullmatch(r"[\w-]+", value):
        raise InputError(f"Expected {expected}, or a name that `al-lightning configs` lists, but got `{value}`{hint}")
    raise InputError(f"Expected {expected}, but there is no {value}{hint}")


def find_configs(words: list[str]) -> list[str]:
    """Returns the words of a command line with a path in place of each name that follows ``--config``."""
    found = []
    for word, previous in zip(words, ["", *words], strict=False):
        flag, has_value, value = word.partition("=")
        if previous in ("-c", "--config"):
            found.append(find_config(word))
        elif has_value and flag in ("-c", "--config"):
            found.append(f"{flag}={find_config(value)}")
        else:
            found.append(word)
    return found
