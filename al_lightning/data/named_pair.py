"""Batches by names that are pairs as well."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, ClassVar


class NamedPair(dict):
    """A batch by names, ``batch["image"]``, that is also a pair, ``x, y = batch``, ``batch[0]`` and ``batch[1]``.

    Items of a dataset are mappings, and people have named the input in them: a training step may be written for either.
    """

    pair_keys: ClassVar[tuple[Any, Any]]
    """Names of the input and of the class. They are of the type: Lightning makes new objects of it out of mappings."""

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
