"""Compares inputs by their sketches, without torch, which a sweep or a report do not load."""

from collections.abc import Mapping, Sequence
from typing import Any

ROUNDING = 1e-4
"""Allowed difference of sums, in units of their size: on another machine, values have other last digits."""
DECODING = 0.1
"""Allowed difference for images that another machine or library version decoded: grey values may differ by 1."""


def differs(was: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> str | None:
    """Describes how inputs differ from earlier ones, in shape or values; ``None`` if they do not differ."""
    if len(was) != len(now):
        return f"there were {len(was)} tensors in a sample and are {len(now)}"
    for before, after in zip(was, now, strict=True):
        if before["shape"] != after["shape"]:
            return f"the shape was {tuple(before['shape'])} and is {tuple(after['shape'])}"
        if before["whole"] != after["whole"]:
            return f"the values were {_kind(before)} and are {_kind(after)}"
        tolerance = ROUNDING if before.get("decoder") == after.get("decoder") else DECODING
        for name in ("sums", "centred"):
            if not _same(before.get(name), after.get(name), tolerance):
                return "the values changed"
    return None


def _kind(row: Mapping[str, Any]) -> str:
    return "whole numbers" if row["whole"] else "real numbers"


def _same(was: Mapping[str, Any] | None, now: Mapping[str, Any] | None, tolerance: float) -> bool:
    if was is None or now is None:
        return was is now
    before, after = was["values"].split(), now["values"].split()
    if len(before) != len(after):
        return False
    if "size" not in was:  # whole numbers
        return before == after
    tolerance *= max(was["size"], now["size"])
    return all(
        a == b or abs(float(a) - float(b)) <= tolerance for a, b in zip(before, after, strict=True)
    )  # equal also if both are nan
