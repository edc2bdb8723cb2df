"""What the commands that train and test do with their words before they import torch, which takes seconds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from al_lightning.cli.config_files import find_configs
from al_lightning.cli.given_options import given_options, last_name
from al_lightning.cli.run_of_people import words_of_people
from al_lightning.cli.words_of_run import words_of_run
from al_lightning.data.class_names import OPTION, names_in
from al_lightning.errors import InputError
from al_lightning.paths import folder_of_images

COMMANDS = ("fit", "test", "predict", "features")
"""The commands whose words are options of LightningCLI."""


def in_full(command: str, words: Sequence[str], may_go_on: bool = True) -> tuple[list[str], str]:
    """Returns the words of a command with all that stands for something else written out.

    Args:
        command: One of :data:`COMMANDS`.
        words: The words after it: perhaps a run folder first, names of configs, classes in a file.
        may_go_on: Whether ``fit`` may look for a run to go on with: see
            :func:`~al_lightning.cli.run_of_people.words_of_people`.

    Returns:
        The words, and a line for the user that says what was chosen, which may be empty.

    Raises:
        InputError: If a run, a config, a file of names or the folder of the images does not exist.
    """
    if command == "predict" and is_of_files(words):
        return list(words), ""
    full = _with_lists_of_classes(find_configs(list(words)))
    if command == "features":
        if not _asks_for_help(full) and not prints_config(full):
            _check_data(given_options(full))
        return full, ""
    full = words_of_run(command, full)
    if command != "fit" or _asks_for_help(full):
        return full, ""
    if not prints_config(full):
        _check_data(given_options(full))
    return words_of_people(full, may_go_on)


def is_of_files(words: Sequence[str]) -> bool:
    """Whether the words after ``predict`` are a run and the files to predict. Without files, it is the test set."""
    return len(words) > 1 and not words[0].startswith("-") and not words[1].startswith("-")


def prints_config(words: Sequence[str]) -> bool:
    """Whether a command only prints its config."""
    return any(word.startswith("--print_config") for word in words)


def _asks_for_help(words: Sequence[str]) -> bool:
    return any(word in ("-h", "--help") or word.endswith(".help") for word in words)


def _with_lists_of_classes(words: Sequence[str]) -> list[str]:
    """Writes names of classes as a list: `a, b`, or those in a file."""
    full: list[str] = []
    for word in words:
        flag, has_value, value = word.partition("=")
        if flag == f"--{OPTION}" and has_value:
            full.append(f"{flag}={_as_list(value)}")
        else:
            full.append(_as_list(word) if full and full[-1] == f"--{OPTION}" else word)
    return full


def _as_list(text: str) -> str:
    names = names_in(text)
    return text if names is None else json.dumps(names, ensure_ascii=False)


def _check_data(given: Mapping[str, Any]) -> None:
    """Refuses a folder of images that is not given, or not there."""
    if last_name(given.get("data")) != "ImageFolder":
        return
    root = given.get("data.root")
    if root is None:
        raise InputError("Expected `data.root` to be given, the folder of the images, but it is missing.")
    folder_of_images(Path(str(root)).expanduser())
