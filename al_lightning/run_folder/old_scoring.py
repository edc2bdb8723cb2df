"""The precision of scoring in runs that were begun before it was a setting: that of the trainer.

Such a run keeps a config.yaml without the setting. A missing setting usually counts as today's default, which is
another precision on some GPUs.
"""

import copy
from collections.abc import Mapping
from typing import Any

NAME = "scoring_precision"
OLD = "trainer"
DEFAULT = "auto"


def with_scoring(settings: Mapping[str, Any], precision: str) -> dict[str, Any]:
    """Returns settings of a run with its precision of scoring, if they lack it, as a user's own settings may."""
    loop = settings.get("loop") or {}
    if not isinstance(loop, Mapping) or NAME in loop:
        return dict(settings)
    return {**settings, "loop": {**loop, NAME: precision}}


def without_scoring(given: Mapping[str, Any], stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """Lets a run go on without the setting, if it was begun without it and today's settings ask for nothing else.

    Args:
        given: Settings of today, nested mappings of plain values.
        stored: Settings of the run when it began.
    """
    loop = given.get("loop")
    if NAME in (stored.get("loop") or {}) or not isinstance(loop, Mapping) or loop.get(NAME) not in (OLD, DEFAULT):
        return given
    changed: Any = copy.copy(given)  # which may be a SettingsOfObjects
    changed["loop"] = {name: value for name, value in loop.items() if name != NAME}
    return changed


def scoring_of_run(settings: Mapping[str, Any]) -> Any:
    """Returns the precision in which a run with this config.yaml scores."""
    return (settings.get("loop") or {}).get(NAME, OLD)
