"""Blocks of a pool, and the processes that share them."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from al_lightning.data.inputs import Inputs, count_rows, map_tensors
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


class ChosenBlocks:
    """Chosen rows of blocks, in the same order.

    All blocks are read, because blocks in general have no access by row.

    Args:
        blocks: The blocks.
        positions: Rows to keep, int64, shape ``(K,)``, ascending.
    """

    def __init__(self, blocks: Blocks, positions: Tensor) -> None:
        self._blocks = blocks
        self._positions = positions

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[Inputs]:
        return self.shard(0, 1)

    def shard(self, rank: int, size: int) -> Iterator[Inputs]:
        """Every ``size``-th block that has chosen rows, beginning with number ``rank``."""
        return islice(self._parts(), rank, None, size)

    def _parts(self) -> Iterator[Inputs]:
        start = 0
        for block in self._blocks:
            stop = start + count_rows(block)
            first, last = torch.searchsorted(self._positions, torch.tensor([start, stop])).tolist()
            if last > first:
                yield map_tensors(_taker(self._positions[first:last] - start), block)
            start = stop


def _taker(rows: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda tensor: tensor[rows]


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
