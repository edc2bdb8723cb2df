"""Defaults of arguments: a missing setting in an older config counts as today's default of its class."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from al_lightning.run_folder.flat import flatten, normalized

GROUPS = {
    "loop": "al_lightning.ActiveLearningLoop",
    "convergence": "al_lightning.Convergence",
    "trainer": "lightning.pytorch.Trainer",
}
"""Groups of settings that are the arguments of one class, with that class."""


def with_defaults(settings: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Adds settings that only another run has, if they are arguments with a default.

    If both have the same names, nothing is imported. So sweeps and reports of one version do not import torch.

    Args:
        settings: The settings by dotted name.
        other: The settings of the other run. Its classes count only if both runs have the same class.

    Returns:
        The settings, and the default of each argument that ``other`` has and ``settings`` lacks.
    """
    filled = dict(settings)
    for name in other.keys() - settings.keys():
        parts = name.split(".")
        owners = (".".join(parts[:stop]) for stop in range(len(parts) - 1, 0, -1))
        owner = next((one for one in owners if one in GROUPS or isinstance(settings.get(one), str)), None)
        if owner is None or settings.get(owner) != other.get(owner):
            continue
        defaults = defaults_of(GROUPS.get(owner) or settings[owner])
        argument = name[len(owner) + 1 :]
        if argument in defaults:
            filled[name] = defaults[argument]
    return filled


@cache
def defaults_of(class_path: str) -> Mapping[str, Any]:
    """Returns the defaults of a class or function by dotted name, in the form of a config.

    The result is empty if the path does not exist.
    """
    from jsonargparse import ArgumentParser  # slow to import

    module, _, name = class_path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
        parser = ArgumentParser(exit_on_error=False)
        add = parser.add_class_arguments if isinstance(found, type) else parser.add_function_arguments
        add(found, fail_untyped=False)
    except (ImportError, AttributeError, ValueError, TypeError):  # the class was removed, or never existed
        return {}
    return normalized({name: _named(value) for name, value in flatten(parser.get_defaults().as_dict()).items()})


def _named(value: Any) -> Any:
    """A function or class by its dotted name in a config."""
    name = getattr(value, "__qualname__", None)
    return f"{value.__module__}.{name}" if callable(value) and name else value
