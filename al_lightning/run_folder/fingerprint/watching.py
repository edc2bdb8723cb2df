"""Callbacks that only watch a fit or write it down."""

from collections.abc import Mapping
from typing import Any

WATCHING = frozenset(
    {
        "Checkpoint",
        "DeviceStatsMonitor",
        "LearningRateMonitor",
        "ModelCheckpoint",
        "ModelSummary",
        "OnExceptionCheckpoint",
        "ProgressBar",
        "RichModelSummary",
        "RichProgressBar",
        "ThroughputMonitor",
        "TQDMProgressBar",
    }
)
"""Classes of Lightning. A user's class may do anything, even if it is derived from these."""

LIGHTNING = ("lightning", "pytorch_lightning")


def is_watching(class_path: str, arguments: Mapping[str, Any]) -> bool:
    """Returns whether a callback of this class, with these arguments, leaves a fit unchanged.

    Args:
        class_path: The full name of the class.
        arguments: Arguments of its constructor. A ``Timer`` without ``duration`` only measures time.
    """
    package, name = class_path.split(".", 1)[0], class_path.rsplit(".", 1)[-1]
    if package not in LIGHTNING:
        return False
    return name in WATCHING or (name == "Timer" and arguments.get("duration") is None)


def callbacks_that_count(callbacks: object) -> object:
    """Leaves out callbacks in a config that only watch; ``None`` if no callback is left.

    Args:
        callbacks: The value of ``trainer.callbacks``: nothing, one mapping with ``class_path``, or a list of them.
    """
    listed = [callbacks] if isinstance(callbacks, Mapping) else callbacks
    if not isinstance(listed, list):
        return callbacks
    return [callback for callback in listed if not _is_watching(callback)] or None


def _is_watching(callback: object) -> bool:
    if not isinstance(callback, Mapping):
        return is_watching(str(callback), {})
    return is_watching(str(callback.get("class_path")), callback.get("init_args") or {})
