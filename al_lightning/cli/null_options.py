"""Null in place of a value: jsonargparse lets it pass for any option, and the program would fail on it later."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from al_lightning.errors import InputError


def check_nulls(config: Mapping[str, Any], classes: Mapping[str, type]) -> None:
    """Refuses null for arguments whose type does not have it.

    Args:
        config: Options of a command, nested; a class that was chosen has ``class_path`` and ``init_args``.
        classes: By the name of a group of options, the class whose arguments they are.

    Raises:
        InputError: If there is one.
    """
    for name, value in config.items():
        if isinstance(value, Mapping) and name in classes:
            _check(value, classes[name], name)
        elif isinstance(value, Mapping) and "class_path" in value:
            _check_chosen(value, name)


def _check_chosen(value: Mapping[str, Any], name: str) -> None:
    module, _, qualname = str(value["class_path"]).rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), qualname)
    except (ImportError, AttributeError, ValueError):
        return  # a nested class: its own constructor says what is wrong
    _check(value.get("init_args") or {}, cls, name)


def _check(options: Mapping[str, Any], cls: Any, prefix: str) -> None:
    try:
        hints = get_type_hints(cls.__init__)
    except (NameError, TypeError, AttributeError):  # names that a module has for type checkers only
        hints = {}
    parameters = inspect.signature(cls).parameters
    for name, value in options.items():
        if isinstance(value, Mapping) and "class_path" in value:
            _check_chosen(value, f"{prefix}.{name}")
        hint = hints.get(name, Any)
        if value is not None or name not in parameters or parameters[name].default is None:
            continue
        if hint is not Any and type(None) not in (hint, *get_args(hint)):
            raise InputError(f"Expected `{prefix}.{name}` to have a value, but got null.")
