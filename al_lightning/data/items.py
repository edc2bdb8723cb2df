"""Where the parts of a dataset's item are: the input, the class, and any other parts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from al_lightning.data.reading import num_samples, read_items, sampled_positions
from al_lightning.errors import InputError

Key: TypeAlias = int | str
"""The place of a part in an item: a position in a tuple, from 0, or a key of a mapping."""

LABEL_NAMES = (
    "label",
    "labels",
    "target",
    "targets",
    "y",
    "class",
    "class_label",
    "label_ids",
    "fine_label",
    "coarse_label",
)
"""Usual keys of the class in items that are mappings."""

LEAST_SURE = 10
"""In at least this many items, numbers that equal the positions are taken for positions and not for classes."""


@dataclass(frozen=True)
class ItemFormat:
    """Where the input and the class are in the items of a dataset, or in the batches made of these items.

    Items are a bare input, a tuple or list ``(x, y)``, ``(x, y, extra, ...)`` in any order, or a mapping.

    Args:
        input_key: The place of the input; ``None`` if the input is the whole item. Several keys of a mapping stand for
            a mapping of these parts.
        target_key: The place of the class; ``None`` if items have no class.
    """

    input_key: Key | tuple[str, ...] | None = None
    target_key: Key | None = None

    def inputs_of(self, item: Any) -> Any:
        """The input: a part of the item, or a mapping of several parts."""
        if isinstance(self.input_key, tuple):
            return {key: item[key] for key in self.input_key if key in item}
        return item if self.input_key is None else item[self.input_key]

    def target_of(self, item: Any) -> Any:
        """The class in the item's own form; ``None`` if items have no class."""
        return None if self.target_key is None else item[self.target_key]

    def extras_of(self, item: Any) -> dict[Key, Any]:
        """All other parts, by position or by key, in the order of the item."""
        if self.input_key is None:
            return {}
        inputs = self.input_key if isinstance(self.input_key, tuple) else (self.input_key,)
        parts = item.items() if isinstance(item, Mapping) else enumerate(item)
        return {key: part for key, part in parts if key not in inputs and key != self.target_key}

    def with_target(self, item: Any, target: Any) -> Any:
        """The item with another class in place of its own.

        Returns:
            A dict, a list or a tuple, like the item; ``(item, target)`` if items have no class.
        """
        if self.target_key is None:
            return (self.inputs_of(item), target)
        if isinstance(item, Mapping):
            return {key: target if key == self.target_key else part for key, part in item.items()}
        parts = [target if key == self.target_key else part for key, part in enumerate(item)]
        return parts if isinstance(item, list) else tuple(parts)


def item_format(
    dataset: Dataset,
    known: Sequence[Any] | None = None,
    label_key: Key | None = None,
    input_key: Key | None = None,
) -> ItemFormat:
    """Finds the places of the input and the class from a few items of a dataset.

    Args:
        dataset: Map-style.
        known: The classes in an attribute of the dataset, one for each item.
        label_key: The place of the class, if the user gives `data.label_key`.
        input_key: The place of the input, if the user gives `data.image_key` or `data.text_key`.

    Returns:
        The format. Without items, the format of bare inputs.

    Raises:
        InputError: If items differ in their parts, or the class could be in several places.

    Example:
        >>> item_format([("a.jpg", 5, np.zeros(3)), ("b.jpg", 7, np.ones(3))])
        ItemFormat(input_key=2, target_key=1)
    """
    positions = sampled_positions(num_samples(dataset))
    items = read_items(dataset, positions)
    said = None if known is None else [plain(known[position]) for position in positions]
    return format_of_items(items, type(dataset).__name__, positions, said, label_key, input_key)


def format_of_items(
    items: Sequence[Any],
    name: str,
    positions: Sequence[int] | None = None,
    known: Sequence[Any] | None = None,
    label_key: Key | None = None,
    input_key: Key | None = None,
) -> ItemFormat:
    """Does the same as :func:`item_format` for items that were read before.

    Args:
        items: Some items.
        name: What the dataset is called in messages.
        positions: Their positions in the dataset.
        known: Their classes, according to the dataset.
        label_key: The place of the class, if the user gives it.
        input_key: The place of the input, if the user gives it.
    """
    if not items:
        return ItemFormat()
    look = _Look(items, name, positions, known)
    if all(isinstance(item, Mapping) for item in items):
        return _of_mappings(look, label_key, input_key)
    if all(isinstance(item, tuple | list) for item in items):
        return _of_tuples(look, label_key, input_key)
    for key, flag in ((label_key, "data.label_key"), (input_key, "data.image_key` or `data.text_key")):
        if key is not None:
            raise InputError(
                f"Expected samples of {name} to be tuples or mappings for `{flag}`, but got {type(items[0]).__name__}."
            )
    if any(isinstance(item, Mapping | tuple | list) for item in items):
        raise InputError(
            f"Expected samples of {name} to be all tuples, all mappings or all bare inputs, but got "
            f"{' and '.join(sorted({type(item).__name__ for item in items}))}."
        )
    return ItemFormat()


def label_key_of(keys: Sequence[str], name: str, label_key: Key | None = None) -> str | None:
    """The key of the class in a mapping.

    Args:
        keys: All keys.
        name: What the mapping is called in messages.
        label_key: The key, if the user gives it.

    Returns:
        The key; ``None`` if no key is a usual name of the class.

    Raises:
        InputError: If the given key is missing, or several keys are usual names of the class.
    """
    if label_key is not None:
        if label_key not in keys:
            raise InputError(
                f"Expected `data.label_key` to be a key of {name}, {_listed(keys)}, but got `{label_key}`."
            )
        return str(label_key)
    found = [key for key in LABEL_NAMES if key in keys]
    if len(found) > 1:
        raise InputError(
            f"Expected one class in the samples of {name}, but got {_listed(found)}; say which by `data.label_key`."
        )
    return found[0] if found else None


def plain(target: Any) -> Any:
    """Turns the class of an item into a Python number or name, if it is a single value.

    Example:
        >>> plain(Tensor([3])), plain(np.uint8(3)), plain("cat"), plain([0, 1])
        (3.0, 3, 'cat', [0, 1])
    """
    if isinstance(target, Tensor):
        return target.item() if target.numel() == 1 else target
    if isinstance(target, np.generic):
        return target.item()
    if isinstance(target, np.ndarray):
        return target.item() if target.size == 1 else target
    if isinstance(target, list | tuple) and len(target) == 1:
        return plain(target[0])
    return target


class _Look:
    """Some items of a dataset, part by part."""

    def __init__(
        self, items: Sequence[Any], name: str, positions: Sequence[int] | None, known: Sequence[Any] | None
    ) -> None:
        self.items = items
        self.name = name
        self.positions = positions
        self.known = known

    def parts(self, key: Key) -> list[Any]:
        return [plain(item[key]) for item in self.items]

    def is_position(self, key: Key) -> bool:
        """Whether a part is the position of the item in the dataset."""
        return (
            self.positions is not None
            and len(self.positions) >= LEAST_SURE
            and all(_is_integer(part) for part in self.parts(key))
            and self.parts(key) == list(self.positions)
        )

    def agrees(self, key: Key) -> bool:
        """Whether a part equals the classes in the dataset's attribute."""
        return self.known is not None and all(
            is_same_class(part, known) for part, known in zip(self.parts(key), self.known, strict=True)
        )

    def class_among(self, keys: Sequence[Key]) -> list[Key]:
        """The parts that can be the class: the part that agrees with the dataset, or all that look like a class."""
        agreeing = [key for key in keys if self.agrees(key)]
        if agreeing:
            return agreeing[:1]
        keys = [key for key in keys if not self.is_position(key)]
        found = [key for key in keys if self._all(key, _is_integer) or self._is_name(key)]
        found = found or [key for key in keys if self._all(key, _is_whole)]
        if len(found) > 1:  # positions in a larger dataset are all different, unlike classes
            found = [key for key in found if not self._is_index(key)] or found
        return [key for i, key in enumerate(found) if not any(self._is_renamed(other, key) for other in found[:i])]

    def _all(self, key: Key, holds: Callable[[Any], bool]) -> bool:
        return all(holds(part) for part in self.parts(key))

    def _is_name(self, key: Key) -> bool:
        """Whether a part is a repeated name. Names of classes are repeated, but names of files are not."""
        parts = self.parts(key)
        return self._all(key, lambda part: isinstance(part, str)) and (len(set(parts)) < len(parts) or len(parts) == 1)

    def _is_index(self, key: Key) -> bool:
        """Whether a part is a different number, at least 0, in each item. Then it is an index and not a class."""
        parts = self.parts(key)
        is_number = self._all(key, _is_integer) and min(parts) >= 0
        return is_number and len(parts) > LEAST_SURE and len(set(parts)) == len(parts)

    def _is_renamed(self, one: Key, other: Key) -> bool:
        """Whether two parts have the same meaning, for example a class and its name."""
        first, second = self.parts(one), self.parts(other)
        return 1 < len(set(zip(first, second, strict=True))) == len(set(first)) == len(set(second)) < len(first)


def is_same_class(one: Any, other: Any) -> bool:
    """Whether two classes, as :func:`plain` gives them, are the same number, name or row."""
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and isinstance(other, str) and one == other
    try:
        return bool(np.array_equal(np.asarray(one), np.asarray(other)))
    except (TypeError, ValueError, RuntimeError):
        return False


def _of_tuples(look: _Look, label_key: Key | None, input_key: Key | None) -> ItemFormat:
    length, name = len(look.items[0]), look.name
    if any(len(item) != length for item in look.items) or length == 0:
        lengths = sorted({len(item) for item in look.items})
        raise InputError(
            f"Expected samples of {name} to have the same number of parts, at least one, but got "
            f"{' and '.join(map(str, lengths))}."
        )
    label = _position(label_key, "data.label_key", look)
    if length == 1:
        return ItemFormat(0)
    first = _position(input_key, "data.image_key", look)
    if first is None:
        first = _inputs_among(look.items[0], [i for i in range(length) if i != label])[0]
    others = [i for i in range(length) if i != first]
    if label is None and len(others) == 1:
        label = others[0]  # the other part of a pair is the class, whatever its type
        if look.is_position(label) and not look.agrees(label) and (look.known is not None or first > label):
            label = None
    elif label is None and others:
        candidates = look.class_among(others)
        if len(candidates) > 1 or (not candidates and look.known is None):
            what = f"parts {_listed(candidates)} could all be it" if candidates else "none of the parts is one"
            raise InputError(
                f"Expected one class in the {length} parts of a sample of {name}, but {what}; say which part it is, "
                "counted from 0, by `data.label_key`."
            )
        label = next(iter(candidates), None)  # type: ignore[assignment]
    return ItemFormat(first, label)


def _of_mappings(look: _Look, label_key: Key | None, input_key: Key | None) -> ItemFormat:
    keys, name = [key for key in look.items[0]], look.name  # noqa: C416 - BatchEncoding iterates over its keys
    for item in look.items:
        if set(item) != set(keys):
            odd = sorted(map(str, set(item) ^ set(keys)))
            raise InputError(f"Expected all samples of {name} to have the same keys, but some lack `{odd[0]}`.")
    if input_key is not None and input_key not in keys:
        raise InputError(
            f"Expected `data.image_key` or `data.text_key` to be a key of {name}, {_listed(keys)}, "
            f"but got `{input_key}`."
        )
    agreeing = [key for key in LABEL_NAMES if key in keys and look.agrees(key)]
    told = agreeing[0] if label_key is None and agreeing else label_key
    label: Key | None = label_key_of(keys, name, told)
    if label is None:
        candidates = look.class_among([key for key in keys if key != input_key])
        if len(candidates) > 1:
            raise InputError(
                f"Expected one class in the samples of {name}, but {_listed(candidates)} could all be it; say which by "
                "`data.label_key`."
            )
        label = next(iter(candidates), None)
    if input_key is not None:
        return ItemFormat(input_key, label)
    if keys == [label]:
        raise InputError(f"Expected samples of {name} to have an input besides the class, but got `{label}` only.")
    inputs = tuple(_inputs_among(look.items[0], [key for key in keys if key != label]))
    return ItemFormat(inputs[0] if len(inputs) == 1 else inputs, label)


def _position(key: Key | None, flag: str, look: _Look) -> int | None:
    """Turns the name of a field of a named tuple, or a number as text, into a position."""
    item = look.items[0]
    fields: Sequence[str] = getattr(item, "_fields", ())
    if key is None:
        return None
    if key in fields:
        return fields.index(str(key))
    text = str(key)
    if not text.lstrip("-").isdigit() or not -len(item) <= int(text) < len(item):
        raise InputError(
            f"Expected `{flag}` to be a part of the samples of {look.name}, 0 to {len(item) - 1}, but got `{key}`."
        )
    return int(text) % len(item)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int)  # bool is one


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and isfinite(value) and value == int(value)


def _inputs_among(item: Any, keys: Sequence[Any]) -> list[Any]:
    """The parts that can be inputs: all tensors, images and lists.

    Without these all texts, and without texts the first part.
    """
    found = [key for key in keys if _is_input(item[key])]
    return found or [key for key in keys if isinstance(item[key], str)] or list(keys[:1])


def _is_input(value: Any) -> bool:
    """Whether a part can be an input: it is not a single number, a text or ``None``."""
    if isinstance(value, Tensor):
        return value.dim() > 0 and (value.numel() > 1 or value.is_floating_point())
    if isinstance(value, np.ndarray):
        return value.ndim > 0 and (value.size > 1 or value.dtype.kind == "f")
    return value is not None and not isinstance(value, bool | int | float | complex | str | bytes | np.generic)


def _listed(keys: Sequence[Key]) -> str:
    return ", ".join(f"`{key}`" for key in keys)
