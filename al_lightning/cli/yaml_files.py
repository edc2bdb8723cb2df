"""YAML as users write it: what YAML itself passes over, or never comes to an end with, is refused in one sentence."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from al_lightning.errors import InputError
from al_lightning.run_folder.settings import ONLY_IN_PYTHON

MODE = "checked_yaml"
"""What :func:`register` calls its parser of YAML."""
MOST_VALUES = 100_000
"""The most values that a text may stand for once its aliases are written out."""
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def register() -> None:
    """Makes jsonargparse's parser of YAML known a second time, as ``MODE``, with the checks of this module."""
    from jsonargparse import get_loader, set_loader  # slow to import, and a sweep does without

    read = get_loader("yaml")

    def load(text: str, path: str = "") -> Any:
        name = _file_being_read() or str(path) or "the text of an option"
        check_yaml(text, name)
        try:
            value = read(text)
        except RecursionError as error:
            raise InputError(f"Expected options in {name}, but its values are in one another too deeply.") from error
        except ValueError as error:  # Python reads no number of more than 4,300 digits
            raise InputError(f"Expected numbers of 64 bits in {name}, but got: {error}.") from error
        except yaml.YAMLError as error:
            if not path:
                raise
            raise InputError(f"Expected YAML in {name}, but got {what_is_wrong(error)}.") from error
        if path and value is None:
            raise InputError(f"Expected options in {name}, but it is empty.")
        check_sayable(value, name)
        return value

    set_loader(MODE, load, (yaml.YAMLError,))


def _file_being_read() -> str | None:
    """The file that jsonargparse reads just now, as the user called it."""
    try:
        from jsonargparse._util import config_load_stack
    except ImportError:  # of another version, whose messages then have the name without the folder
        return None
    files = config_load_stack.get()
    return files[-1][1] if files else None


def what_is_wrong(error: yaml.YAMLError) -> str:
    """An error of the parser in words that a sentence may have, with the line."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or problem is None:
        return " ".join(str(error).split())
    tab = "; indentation is of blanks, not of tabs" if "cannot start any token" in problem else ""
    return f"in line {mark.line + 1}: {problem}{tab}"


def check_numbers(value: Any, name: str = "") -> None:
    """Refuses integers that no array holds, and NaN, anywhere in nested mappings and lists.

    Raises:
        InputError: If there is one; the message has the names that lead to it, with dots between them.
    """
    if isinstance(value, Mapping):
        for key, part in value.items():
            check_numbers(part, name if key == "init_args" else f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for part in value:
            check_numbers(part, name)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InputError(f"Expected `{name}` to be an integer of 64 bits, but got {_short(value)}.")
    elif isinstance(value, float) and math.isnan(value):
        raise InputError(f"Expected `{name}` to be a number, but got nan.")


def check_sayable(value: Any, name: str, option: str = "") -> None:
    """Refuses what a run from Python writes in place of an object that no config can have.

    Raises:
        InputError: If there is one; the message names the option.
    """
    if isinstance(value, Mapping):
        for key, part in value.items():
            below = option if key in ("class_path", "init_args") else f"{option}.{key}" if option else str(key)
            check_sayable(part, name, below)
    elif isinstance(value, list):
        for part in value:
            check_sayable(part, name, option)
    elif isinstance(value, str) and value.startswith(ONLY_IN_PYTHON):
        raise InputError(
            f"Expected `{option}` in {name} to be a value that a config can have, but got an object of Python, "
            f"{value.removeprefix(ONLY_IN_PYTHON).rstrip('.')}; continue the run from Python."
        )


def check_options(content: Mapping[str, Any], name: str) -> None:
    """Refuses an option that a config gives twice in other words: `loop.num_rounds: 1`, and `loop: {num_rounds: 2}`.

    Raises:
        InputError: If there is one.
    """
    seen: set[str] = set()
    for option in _options(content, ""):
        if option in seen:
            raise InputError(f"Expected each option once in {name}, but got `{option}` twice.")
        seen.add(option)


def check_yaml(text: str, name: str) -> None:
    r"""Refuses a key that is given twice, of which YAML forgets the first, and aliases that never end.

    Args:
        text: The content. What is no YAML at all passes: its reader says so.
        name: What the text is of, for the message: a file, or an option.

    Raises:
        InputError: If a key is given twice in one place, an alias is part of what it stands for, or the values are too
            many or too deep.

    Example:
        >>> check_yaml("a: 1\na: 3", "my.yaml")
        Traceback (most recent call last):
        al_lightning.errors.InputError: Expected each key once in my.yaml, but `a` is there 2 times, in lines 1 and 2.
    """
    try:
        root = yaml.compose(text, _Loader)
    except yaml.YAMLError:
        return
    except RecursionError:
        raise InputError(f"Expected options in {name}, but its values are in one another too deeply.") from None
    if root is not None:
        _Check(name).values(root, "", ())


def _options(content: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in content.items():
        name = ".".join(part for part in f"{prefix}.{key}".split(".") if part and part != "init_args")
        if isinstance(value, Mapping) and value:
            yield from _options(value, name)
        else:
            yield name


def _short(number: int) -> str:
    return str(number) if abs(number) < 10**40 else f"one of {len(f'{number:x}') * 4} bits"


class _Check:
    """Goes through the nodes of a text, each once; aliases make a node part of several others."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._sizes: dict[int, int] = {}

    def values(self, node: yaml.Node, path: str, parents: tuple[int, ...]) -> int:
        """Checks a node; returns how many values it stands for."""
        if id(node) in parents:
            raise InputError(
                f"Expected values that end in {self._name}, but `{path}` in line {_line(node)} is part of itself."
            )
        if len(parents) > 200:
            raise InputError(f"Expected options in {self._name}, but its values are in one another too deeply.")
        if id(node) in self._sizes:
            return self._sizes[id(node)]
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node, path)
        size = 1
        for key, child in _children(node):
            size += self.values(child, f"{path}.{key}" if path else key, (*parents, id(node)))
            if size > MOST_VALUES:
                raise InputError(
                    f"Expected at most {MOST_VALUES} values in {self._name}, but its aliases stand for more."
                )
        self._sizes[id(node)] = size
        return size

    def _check_keys(self, node: yaml.MappingNode, path: str) -> None:
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if (first := lines.get((key.tag, key.value))) is not None:
                place = f" in `{path}`" if path else ""
                where = f"line {first}" if first == _line(key) else f"lines {first} and {_line(key)}"
                raise InputError(
                    f"Expected each key once in {self._name}, but `{key.value}` is there 2 times{place}, in {where}."
                )
            lines[key.tag, key.value] = _line(key)


def _children(node: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield str(key.value) if isinstance(key, yaml.ScalarNode) else "key", value
            if not isinstance(key, yaml.ScalarNode):
                yield "key", key
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield str(index), value


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
