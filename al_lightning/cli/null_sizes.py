"""Null sizes of a model of one's own: jsonargparse hands them on from the model that is the default."""

import inspect
from pkgutil import resolve_name

from jsonargparse import Namespace

from al_lightning.errors import InputError
from al_lightning.models.base import SIZES


def fill_null_sizes(model: Namespace) -> None:
    """Puts the defaults of a class in place of sizes that are null. In classes of this package, null is the default.

    Args:
        model: ``class_path`` and ``init_args``. The arguments change.

    Raises:
        InputError: If the class needs a size.
    """
    arguments = model.get("init_args") or {}
    names = [name for name in SIZES if name in arguments and arguments[name] is None]
    parameters = inspect.signature(resolve_name(model.class_path)).parameters if names else {}
    for name in names:
        if name not in parameters:
            continue  # it goes through **kwargs
        default = parameters[name].default
        if default is inspect.Parameter.empty:
            raise InputError(f"Expected `model.{name}` to be given, but it is missing.")
        arguments[name] = default
