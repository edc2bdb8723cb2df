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
    for name, value in options.items():
        if isinstance(value, Mapping) and "class_path" in value:
            _check_chosen(value, f"{prefix}.{name}")
        if value is None and not _takes_null(cls, name):
            raise InputError(f"Expected `{prefix}.{name}` to have a value, but got null.")


def _takes_null(cls: Any, name: str) -> bool:
    """Whether an argument of a class may be null, or is not known; a class may pass it on to its base class."""
    for owner in inspect.getmro(cls) if inspect.isclass(cls) else (cls,):
        maker = owner.__init__ if inspect.isclass(owner) else owner
        parameters = inspect.signature(maker).parameters
        if name in parameters:
            try:
                hint = get_type_hints(maker).get(name, Any)
            except (NameError, TypeError, AttributeError):  # names that a module has for type checkers only
                hint = Any
            return parameters[name].default is None or hint is Any or type(None) in (hint, *get_args(hint))
        if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
            return True
    return True
