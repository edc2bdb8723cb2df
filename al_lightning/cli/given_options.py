"""The options that a command line gives, by flags and by config files, read without torch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from al_lightning.paths import expanded

CONFIG_FLAGS = ("-c", "--config")
GROUPS = ("data", "loop", "model", "convergence", "trainer")
"""Options that may be given as a file of their options."""


def given_options(words: Sequence[str]) -> dict[str, Any]:
    """Returns the options that words give, by dotted name; later ones win.

    What is wrong with a word or a file is for the parser to say.

    Args:
        words: The words of a command, with paths after ``--config``.

    Returns:
        Values of flags are texts, and values of files are what YAML says. A class that is chosen has the name of its
        option, and its arguments are below it: ``{"model": "Backbone", "model.dropout": "0.2"}``.

    Example:
        >>> given_options(["--model", "Backbone", "--model.dropout=0.2", "--loop.oracle", "null"])
        {'model': 'Backbone', 'model.dropout': '0.2', 'loop.oracle': None}
    """
    given: dict[str, Any] = {}
    for flag, value in flags_of(words):
        if flag in CONFIG_FLAGS:
            given |= options_of_config(value)
        elif flag.startswith("--"):
            given |= _options_of_flag(flag.removeprefix("--"), value)
    return given


def last_name(path: Any) -> str:
    """The name of a class without its module; empty if there is none."""
    return path.rpartition(".")[2] if isinstance(path, str) else ""


def flags_of(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The flags among words, each with its value, which is the next word or what follows ``=``."""
    for word, following in zip(words, [*words[1:], ""], strict=False):
        flag, has_value, value = word.partition("=")
        if flag.startswith("-"):
            yield flag, value if has_value else following


def options_of_config(config: str) -> dict[str, Any]:
    """The options in a config file, or in a config in place of a file; none if it cannot be read."""
    return dict(_flattened(_read(config), "", ()))


def _options_of_flag(option: str, value: str) -> dict[str, Any]:
    name = _plain(option)
    if name in GROUPS and (value.lstrip().startswith("{") or value.endswith((".yaml", ".yml", ".json"))):
        return dict(_flattened(_read(value), name, ()))
    if value.lstrip().startswith("["):
        return {name: _parsed(value, value)}
    return {name: None if value == "null" else value}


def _read(config: str) -> Any:
    if config.lstrip().startswith("{"):
        return _parsed(config)
    try:
        return _parsed(Path(expanded(config)).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _parsed(text: str, otherwise: Any = None) -> Any:
    try:
        return yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError):
        return otherwise


def _flattened(content: Any, option: str, above: tuple[int, ...]) -> Iterable[tuple[str, Any]]:
    if not isinstance(content, Mapping) or id(content) in above:  # YAML may refer to itself
        return
    for key, value in content.items():
        name = _plain(f"{option}.{key}" if option else str(key))
        if isinstance(value, Mapping):
            yield from _flattened(value, name, (*above, id(content)))
        else:
            yield name, value


def _plain(option: str) -> str:
    """The name of an option without the parts that say how YAML writes a class."""
    return ".".join(part for part in option.split(".") if part not in ("class_path", "init_args"))
