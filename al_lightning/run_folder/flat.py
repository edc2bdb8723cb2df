"""Settings by dotted name, as on the command line."""

import re
from collections.abc import Mapping
from typing import Any


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turns nested mappings into one with dotted names, as on the command line: without ``init_args``.

    Example:
        >>> flatten({"loop": {"strategy": {"class_path": "BALD", "init_args": {"num_samples": 20}}, "query_size": 100}})
        {'loop.strategy': 'BALD', 'loop.strategy.num_samples': 20, 'loop.query_size': 100}
    """
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        path = prefix if name in ("class_path", "init_args") else f"{prefix}.{name}" if prefix else name
        if isinstance(value, Mapping) and (value or name == "init_args"):
            flat |= flatten(value, path)
        else:
            flat[path] = value
    return flat


def normalized(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Writes values that mean the same in the same way: classes of ours by their short names, tuples as lists.

    An oracle that answers from the data set is the same as no oracle. Where people answer does not matter.
    """
    values = {name: _normal(value) for name, value in flat.items()}
    for name in ("loop.oracle", "oracle"):
        if values.get(name) == "al_lightning.SimulatedOracle":
            values[name] = None
        elif values.get(name) == "al_lightning.LabelStudioOracle":
            values[name] = "al_lightning.FileOracle"
    return values


def _normal(value: Any) -> Any:
    if isinstance(value, str):
        if value.startswith("al_lightning."):
            return f"al_lightning.{value.rsplit('.', 1)[1]}"
        value = re.sub(r" at 0x[0-9A-Fa-f]+", "", value)  # addresses, which older versions wrote, change each time
        return re.sub(r"^(only in Python: )\S+ ([0-9a-f]{16})$", r"\1\2", value)  # code counts, wherever it stands
    return list(value) if isinstance(value, tuple) else value
