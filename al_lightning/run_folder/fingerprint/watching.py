"""Callbacks that watch a fit or write it down, and change nothing of it."""

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
"""Classes of Lightning. A class of one's own may do anything, also one that is derived from these."""

LIGHTNING = ("lightning", "pytorch_lightning")


def is_watching(class_path: str, arguments: Mapping[str, Any]) -> bool:
    """Returns whether a callback of this class, made with these arguments, changes nothing of a fit.

    Args:
        class_path: The full name of the class.
        arguments: Those of its constructor. A ``Timer`` without ``duration`` only takes the time.
    """
    package, name = class_path.split(".", 1)[0], class_path.rsplit(".", 1)[-1]
    if package not in LIGHTNING:
        return False
    return name in WATCHING or (name == "Timer" and arguments.get("duration") is None)


def callbacks_that_count(callbacks: object) -> object:
    """Leaves out the watching ones of the callbacks in a config: ``None`` if no other is left.

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
