"""Tensors in memory, read in blocks or in shuffled minibatches, without worker processes and per-sample collation."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor


class TensorBlocks:
    """Rows of a tensor, chosen by index, in order and in blocks. May be iterated any number of times.

    Chosen rows are gathered into the same memory again and again, which stays in the cache: a block is good until the
    next one is asked for.

    Args:
        inputs: All rows, shape ``(N, ...)``.
        indices: Rows to read, int64, shape ``(M,)``; all of them if not given.
        block_size: Rows in a block; the last block may be shorter.

    Example:
        >>> [block.tolist() for block in TensorBlocks(torch.arange(10), torch.tensor([1, 3, 5]), block_size=2)]
        [[1, 3], [5]]
    """

    def __init__(self, inputs: Tensor, indices: Tensor | None = None, block_size: int = 2048) -> None:
        self._inputs = inputs
        self._indices = indices
        self._block_size = block_size

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._inputs if self._indices is None else self._indices)

    def __iter__(self) -> Iterator[Tensor]:
        return self.shard(0, 1)

    def shard(self, rank: int, size: int) -> Iterator[Tensor]:
        """Every ``size``-th block, from the one numbered ``rank`` on; the others are not read."""
        if len(self) == 0:
            return
        if self._indices is None:
            yield from self._inputs.split(self._block_size)[rank::size]
            return
        memory = self._inputs.new_empty(self._block_size, *self._inputs.shape[1:])
        for indices in self._indices.split(self._block_size)[rank::size]:
            yield torch.index_select(self._inputs, 0, indices, out=memory[: len(indices)])


class BatchLoader:
    """Batches ``(inputs, targets)`` in order, as a Lightning dataloader for testing and prediction."""

    def __init__(self, inputs: Tensor, targets: Tensor, batch_size: int = 2048) -> None:
        self._inputs = TensorBlocks(inputs, block_size=batch_size)
        self._targets = TensorBlocks(targets, block_size=batch_size)
        self._batch_size = batch_size

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self._inputs) // self._batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self._inputs, self._targets, strict=True)


class EndlessRows:
    """Rows of a tensor, chosen by index, in one shuffled pass after the other.

    Args:
        inputs: All rows, shape ``(N, ...)``.
        indices: Rows to draw from, int64, shape ``(M,)``.
        generator: CPU generator of the shuffles; torch's global one if not given.
    """

    def __init__(self, inputs: Tensor, indices: Tensor, generator: torch.Generator | None = None) -> None:
        self._inputs = inputs
        self._indices = indices
        self._generator = generator
        self._left = indices[:0]

    def draw(self, size: int) -> Tensor:
        """Returns the next rows, ``(size, ...)``; none if there are none to draw from."""
        return self._inputs.index_select(0, self._next(size))

    def skip(self, size: int) -> None:
        """Leaves out as many rows, which are those of other devices, and reads none of them."""
        self._next(size)

    def _next(self, size: int) -> Tensor:
        while len(self._left) < size and len(self._indices):
            order = torch.randperm(len(self._indices), generator=self._generator)
            self._left = torch.cat([self._left, self._indices[order]])
        rows, self._left = self._left[:size], self._left[size:]
        return rows


class MinibatchLoader:
    """Shuffled minibatches ``(inputs, targets)``, as a Lightning dataloader for training.

    Args:
        inputs: Rows to train on, shape ``(M, ...)``.
        targets: Their class indices, shape ``(M,)``.
        batch_size: Rows in a minibatch; the last one of a pass may be shorter.
        group: If given, each item is a list of up to this many minibatches, for a model whose training step takes
            several; otherwise each item is one minibatch.
        generator: CPU generator of the shuffles; torch's global one if not given.
        least: Least number of minibatches in an epoch, which is one pass if that has as many.
        unlabeled: If given, each minibatch has as many of these rows as a third part.
        rank: Number of the device that is loaded for. All of them shuffle alike, and of each ``size`` minibatches in a
            row every device takes one.
        size: Number of devices; the minibatches of an epoch are rounded up to a multiple of it, and ``least`` is for
            each of them.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        batch_size: int,
        group: int | None = None,
        generator: torch.Generator | None = None,
        least: int = 1,
        unlabeled: EndlessRows | None = None,
        rank: int = 0,
        size: int = 1,
    ) -> None:
        self._inputs = inputs
        self._targets = targets
        self._batch_size = batch_size
        self._group = group
        self._generator = generator
        self._num_minibatches = max(least, -(-len(targets) // (batch_size * size)))
        self._unlabeled = unlabeled
        self._rank = rank
        self._size = size

    def __len__(self) -> int:
        """Number of items in an epoch."""
        return -(-self._num_minibatches // (self._group or 1))

    def __iter__(self) -> Iterator[tuple[Tensor, ...] | list[tuple[Tensor, ...]]]:
        passes = self._passes()
        minibatches = (self._minibatch(tuple(islice(passes, self._size))) for _ in range(self._num_minibatches))
        if self._group is None:
            yield from minibatches
        else:
            while group := list(islice(minibatches, self._group)):
                yield group

    def _passes(self) -> Iterator[Tensor]:
        while True:
            yield from torch.randperm(len(self._targets), generator=self._generator).split(self._batch_size)

    def _minibatch(self, rows_of_all: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One device's minibatch, of those that all devices take at a time."""
        rows = rows_of_all[self._rank]
        minibatch = self._inputs.index_select(0, rows), self._targets.index_select(0, rows)
        if self._unlabeled is None:
            return minibatch
        self._unlabeled.skip(sum(map(len, rows_of_all[: self._rank])))
        unlabeled = self._unlabeled.draw(len(rows))
        self._unlabeled.skip(sum(map(len, rows_of_all[self._rank + 1 :])))
        return *minibatch, unlabeled
