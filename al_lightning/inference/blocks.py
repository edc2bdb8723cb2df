"""Blocks of a pool, and the processes that share them."""

from collections.abc import Iterator, Mapping
from typing import Protocol, TypeVar, cast

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from al_lightning.data.inputs import Inputs
from al_lightning.errors import InputError

T = TypeVar("T")


class Blocks(Protocol):
    """Inputs in blocks, in a fixed order; may be iterated any number of times."""

    def __iter__(self) -> Iterator[Inputs]: ...

    def __len__(self) -> int:
        """Number of rows in all blocks."""

    def shard(self, rank: int, size: int) -> Iterator[Inputs]:
        """Every ``size``-th block, beginning with number ``rank``. The other blocks are not read."""


class Shards(Protocol):
    """The processes that share the work. Each process runs the same code on blocks of its own."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""

    @property
    def size(self) -> int:
        """Number of processes."""

    def gather(self, value: T) -> list[T]:
        """Returns the values of all processes, by rank."""


def as_blocks(inputs: object, name: str) -> Blocks:
    """Returns inputs as blocks.

    Args:
        inputs: A tensor, an array, a mapping or a tuple of tensors, or blocks, which are returned unchanged.
        name: Name of the argument, for the message.

    Raises:
        InputError: If the inputs have another type, such as a DataLoader.
    """
    # Imported late: only users with their own loop give other inputs than blocks.
    from al_lightning.data.blocks import SplitBlocks, TensorBlocks

    if isinstance(inputs, Tensor | np.ndarray):
        return TensorBlocks(inputs)
    if isinstance(inputs, Mapping | tuple):
        return SplitBlocks(inputs)
    if isinstance(inputs, DataLoader) or not all(hasattr(inputs, method) for method in ("__iter__", "__len__")):
        raise InputError(
            f"Expected `{name}` to be a tensor, an array, tensors by name or blocks such as TensorBlocks, but got "
            f"{type(inputs).__name__}."
        )
    return cast(Blocks, inputs)
