"""Batches that are both a mapping and a pair."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, ClassVar


class NamedPair(dict):
    """A mapping, ``batch["image"]``, that is also a pair, ``x, y = batch``, ``batch[0]`` and ``batch[1]``.

    It is used if the items of a dataset are mappings and the user named the input in them. Then a training step may use
    either form.
    """

    pair_keys: ClassVar[tuple[Any, Any]]
    """Names of the input and of the class.

    They belong to the class, because Lightning makes new objects of it from mappings.
    """

    def __iter__(self) -> Iterator[Any]:
        return iter([self[key] for key in self.pair_keys])

    def __missing__(self, key: Any) -> Any:
        if isinstance(key, int):
            return self[self.pair_keys[key]]
        raise KeyError(key)

    def __reduce__(self) -> tuple[Any, ...]:
        return named_pair, (*self.pair_keys, dict(self.items()))


def named_pair(input_key: Any, target_key: Any, batch: Mapping[Any, Any]) -> NamedPair:
    """Makes a :class:`NamedPair`.

    Example:
        >>> x, y = named_pair("image", "label", {"label": 3, "image": 5, "name": "a"})
        >>> x, y
        (5, 3)
    """
    return _type_of(input_key, target_key)(batch)


@cache
def _type_of(input_key: Any, target_key: Any) -> type[NamedPair]:
    return type("NamedPair", (NamedPair,), {"pair_keys": (input_key, target_key)})
