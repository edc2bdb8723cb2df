"""The study file and its keys. The options of the command line have the same names, and are checked here as well."""

import os
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from al_lightning.cli.yaml_files import check_yaml
from al_lightning.errors import InputError, did_you_mean
from al_lightning.paths import as_path

KEYS = ("out", "seeds", "processes", "launcher", "fit", "arms")
LAUNCHERS = ("local", "ray")
MAX_NAME = 255
"""The most bytes in the name of a folder, on nearly all file systems."""


def read_file(path: Path) -> dict[str, Any]:
    """Reads a study.

    Raises:
        InputError: If the file is not there, is no YAML, or has a key that a study does not have.
    """
    if not path.is_file():
        raise InputError(f"Expected `--config` to be a file, a study, but there is no {path}.")
    try:
        text = path.read_text(encoding="utf-8")
        check_yaml(text, str(path))
        content = yaml.safe_load(text)
    except InputError:
        raise
    except (yaml.YAMLError, ValueError) as error:  # also of text in another encoding, and of 2024-02-30, a date
        raise InputError(f"Expected `--config` to be a file in YAML, but got in {path}: {error}") from error
    if content is None:
        raise InputError(f"Expected the keys {', '.join(KEYS)} in {path}, but got `None`: it is empty.")
    if not isinstance(content, dict):
        raise InputError(f"Expected the keys {', '.join(KEYS)} in {path}, but got `{content}`.")
    for name in content:
        if name in ("loop", "model", "data", "trainer", "convergence", "seed_everything"):
            raise InputError(
                f"Expected a study in {path}, with the keys {', '.join(KEYS)}, but got `{name}`, which is for a "
                f"config of fit; that goes into an arm: `arms: {{{path.stem}: --config {path}}}`."
            )
        if name not in KEYS:
            raise InputError(f"Expected the keys {', '.join(KEYS)} in {path}, but got `{name}`{_hint(name)}")
    return content


def _hint(name: object) -> str:
    return did_you_mean(str(name), KEYS)


def arms_of_strategies(text: str) -> dict[str, list[str]]:
    """Returns the arms of ``--strategies``: flags by name, an arm for each class."""
    classes = [name.strip() for name in text.split(",")]
    if not all(classes):
        raise InputError(f"Expected `--strategies` to be classes with commas between them, but got `{text}`.")
    arms: dict[str, list[str]] = {}
    for path in classes:
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", path.rsplit(".", 1)[-1]).lower()
        if name in arms:
            raise InputError(f"Expected `--strategies` to have other names than one another, but got `{text}`.")
        arms[name] = ["--loop.strategy", path]
    return arms


def arm_name(name: object) -> str:
    """Returns the name of an arm, which becomes a folder, and a word of ``--arms``."""
    if not isinstance(name, str):
        raise InputError(
            f"Expected the name of an arm to be text, but got `{name}`, which is how YAML reads what has no quotes and "
            "is like a number or a date, or yes, no, on, off or null; write it in quotes, as in `'1': --config FILE`."
        )
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"Expected the name of an arm to be letters, digits and any of _.-, but got `{name}`.")
    if len(name.encode()) > MAX_NAME:
        raise InputError(
            f"Expected the name of an arm, which its folder gets, to be at most {MAX_NAME} bytes long, but got "
            f"{len(name.encode())}: `{name}`."
        )
    return name


def flags_of(name: str, value: object) -> list[str]:
    """Returns flags of fit as words; a study gives them as text or as a list."""
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:
        raise InputError(f"Expected `{name}` to be flags of al-lightning fit, but got `{value}`: {error}.") from error
    if words is None:
        return []
    if not isinstance(words, list) or any(isinstance(word, dict | list) or word is None for word in words):
        raise InputError(f"Expected `{name}` to be flags of al-lightning fit, text or a list, but got `{value}`.")
    # YAML reads the true of [--x, true] as a value of its own
    return [str(word).lower() if isinstance(word, bool) else str(word) for word in words]


def parse_processes(value: object) -> int | None:
    """Returns ``--processes``; ``None`` if it was not given."""
    if value is None:
        return None
    if re.fullmatch(r"\d{10,}", str(value).strip()):  # Python reads no number of 5,000 digits
        raise InputError(f"Expected `--processes` to be at most 10 ** 9, but got a number of {len(str(value))} digits.")
    if isinstance(value, bool) or not re.fullmatch(r"\d+", str(value).strip()) or int(str(value)) < 1:
        raise InputError(f"Expected `--processes` to be at least 1, but got `{value}`.")
    return int(str(value))


def parse_launcher(value: object) -> str:
    """Returns ``--launcher``: a name of ours, or the import path of a class, which is imported later."""
    if value not in LAUNCHERS and not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", str(value)):
        hint = did_you_mean(str(value), LAUNCHERS)
        raise InputError(f"Expected `--launcher` to be one of {', '.join(LAUNCHERS)}, but got `{value}`{hint}")
    return str(value)


def parse_out(value: object) -> Path:
    """Returns ``--out``, a folder that can be written, or can be made."""
    if not isinstance(value, str):
        raise InputError(f"Expected `--out` to be a folder, but got `{value}`.")
    if not value.strip():  # Path("") is the working directory
        raise InputError("Expected `--out` to be a folder, but got no name; . is the working directory.")
    path = as_path(value)
    for folder in (path, *path.parents):
        if folder.exists():
            if not folder.is_dir():
                raise InputError(f"Expected `--out` to be a folder, but {folder} is a file.")
            if not os.access(folder, os.W_OK):
                raise InputError(f"Expected `--out` to be a folder that can be written, but {folder} cannot.")
            break
    return path
