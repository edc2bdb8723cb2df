"""Arguments of objects in the form of a config: plain values, dotted paths, and ``class_path`` with ``init_args``.

A config cannot hold some values, such as a lambda or an array. They become a text that begins with
:data:`~al_lightning.run_folder.settings.ONLY_IN_PYTHON`.
"""

import inspect
import sys
from collections.abc import Mapping
from enum import Enum
from functools import partial
from pathlib import PurePath
from typing import Any

import lightning.pytorch as L
import numpy as np
from torch import nn
from torch.optim import Optimizer

from al_lightning.run_folder.fingerprint.description import class_path, cut, text_of
from al_lightning.run_folder.settings import ONLY_IN_PYTHON

PLAIN = (bool, int, float, str, type(None))
KEPT_AS = {"optimizer": "optimizer_factory"}
"""Arguments of this package's models that are kept under another name."""
MISSING = inspect.Parameter.empty
DEPTH = 5  # most levels of objects in the arguments of objects


class _Unsaid(Exception):
    """A config cannot hold a value."""


def part_of_config(part: object, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Returns an object in the form of a config: ``class_path`` and ``init_args``.

    Args:
        part: A model, data, a strategy or another part of a run.
        arguments: Its arguments, if they are known. By default the result of :func:`arguments_of`.
    """
    given = arguments_of(part) if arguments is None else arguments
    cls = type(part)
    return {"class_path": import_path(cls) or f"{cls.__module__}.{cls.__qualname__}", "init_args": dict(given)}


def arguments_of(part: object) -> dict[str, Any]:
    """Returns the arguments of an object's constructor that the object keeps, in the form of a config.

    A default that a config cannot hold is left out.
    """
    found = {}
    for name, parameter in _parameters(type(part)).items():
        value = _kept(part, name)
        if value is MISSING:
            found[name] = f"{ONLY_IN_PYTHON}{type(part).__name__} does not keep this argument"
            continue
        try:
            found[name] = _said(value, DEPTH)
        except _Unsaid:
            if value is not parameter.default:
                # The fingerprints of a run distinguish data and networks.
                is_known = isinstance(part, L.LightningDataModule) or isinstance(value, nn.Module)
                found[name] = f"{ONLY_IN_PYTHON}{class_path(value) if is_known else cut(text_of(value))}"
    return found


def import_path(thing: Any) -> str | None:
    """Returns the shortest dotted path that imports a class or function; ``None`` if there is none.

    Example:
        >>> from torch.optim import Adam
        >>> import_path(Adam)
        'torch.optim.Adam'
    """
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", "")
    if not module or module == "__main__" or not name.isidentifier():
        return None
    parts = module.split(".")
    for stop in range(1, len(parts) + 1):
        owner = ".".join(parts[:stop])
        if getattr(sys.modules.get(owner), name, None) is thing:
            return f"{owner}.{name}"
    return None


def _said(value: Any, depth: int) -> Any:
    """A value in the form of a config.

    Raises:
        _Unsaid: If a config cannot hold it.
    """
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    if depth == 0:
        raise _Unsaid
    if isinstance(value, tuple | list):
        return [_said(one, depth - 1) for one in value]
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: _said(one, depth - 1) for name, one in value.items()}
    if isinstance(value, partial) and not value.args:
        return _maker(value.func, value.keywords, depth)
    if isinstance(value, type) and issubclass(value, Optimizer):
        return _maker(value, {}, depth)
    if isinstance(value, type) or inspect.isroutine(value):
        if path := import_path(value):
            return path
        raise _Unsaid
    if type(value).__module__ == "builtins" or import_path(type(value)) is None:
        raise _Unsaid
    return part_of_config(value, _all_arguments(value, depth))


def _maker(made: Any, keywords: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """A class with some given arguments.

    The other arguments are written, too, because a config may have other defaults.
    """
    path = import_path(made)
    if path is None:
        raise _Unsaid
    defaults = {name: one.default for name, one in _parameters(made).items()} if isinstance(made, type) else {}
    given = {name: value for name, value in defaults.items() if value is not MISSING} | dict(keywords)
    return {"class_path": path, "init_args": {name: _said(value, depth - 1) for name, value in given.items()}}


def _all_arguments(part: object, depth: int) -> dict[str, Any]:
    parameters = _parameters(type(part))
    values = {name: _kept(part, name) for name in parameters}
    if MISSING in values.values() or _takes_others(type(part)):
        raise _Unsaid
    return {name: _said(value, depth - 1) for name, value in values.items()}


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Parameters of a constructor. If it passes on keyword arguments, parameters of its base classes are included."""
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        own = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        found |= {p.name: p for p in own if p.kind not in kinds and p.name not in found}
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in own):
            break
    return found


def _takes_others(cls: type) -> bool:
    """Whether a constructor takes arguments without names, as ``nn.Sequential`` does, or is not written in Python."""
    try:
        parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    except (TypeError, ValueError):
        return True
    is_object = cls.__init__ is object.__init__  # type: ignore[misc]
    return not is_object and any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)


def _kept(part: object, name: str) -> Any:
    """The value of an argument that an object keeps in its hyperparameters or as an attribute."""
    hparams = getattr(part, "hparams", None)
    places: list[Mapping[str, Any]] = [hparams] if isinstance(hparams, Mapping) else []
    places += [getattr(part, "__dict__", {}), getattr(part, "_modules", {})]
    for place in places:
        for key in (name, KEPT_AS.get(name, name), f"_{name}"):
            if key in place:
                return place[key]
    return MISSING
