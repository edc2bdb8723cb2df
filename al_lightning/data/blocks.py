"""Samples in blocks or in shuffled minibatches. Tensors in memory need no worker processes and no collation."""

from collections.abc import Iterator
from itertools import islice, tee
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from al_lightning.data.arrays import as_rows
from al_lightning.data.inputs import Inputs, count_rows, map_tensors, split_rows
from al_lightning.errors import InputError


class Blocks(Protocol):
    """Inputs in blocks of the same size; the last block may be shorter. They may be iterated any number of times."""

    block_size: int

    def __len__(self) -> int:
        """Number of rows in all blocks."""

    def __iter__(self) -> Iterator[Any]: ...

    def shard(self, rank: int, size: int) -> Iterator[Any]:
        """Every ``size``-th block, from the one numbered ``rank`` on; the others are not read."""


class Rows(Protocol):
    """Samples by index, both as a fit trains on them and as a strategy scores them."""

    def __len__(self) -> int:
        """Number of samples."""

    def take(self, indices: Tensor) -> "Rows":
        """Returns the samples of these indices, int64, shape ``(M,)``, as rows 0 to M - 1."""

    def batches(self, order: Iterator[Tensor], generator: torch.Generator | None = None) -> Iterator[Any]:
        """Returns the inputs to train on, ``(b, ...)``, for each tensor of indices, ``(b,)``.

        Random augmentations are drawn from the generator, by default torch's global one.
        """

    def whole_batches(
        self, order: Iterator[tuple[Tensor, Tensor]], generator: torch.Generator | None = None
    ) -> Iterator[Any]:
        """Returns the argument of a training step, for each pair of indices and class indices, ``(b,)``.

        A training step takes a pair of inputs and classes, or the collated items of a dataset with all their parts.
        """

    def blocks(self, indices: Tensor | None = None) -> Blocks:
        """Returns the inputs to score, without random augmentations: all inputs, or the ones at these indices."""


class TensorRows:
    """Rows of a tensor in memory, of shape ``(N, ...)``.

    :meth:`take` copies rows, because adjacent rows are read faster.
    """

    def __init__(self, inputs: Tensor) -> None:
        self._inputs = inputs

    def __len__(self) -> int:
        return len(self._inputs)

    def take(self, indices: Tensor) -> "TensorRows":
        return TensorRows(self._inputs[indices])

    def batches(self, order: Iterator[Tensor], generator: torch.Generator | None = None) -> Iterator[Tensor]:
        return (self._inputs.index_select(0, indices) for indices in order)

    def whole_batches(
        self, order: Iterator[tuple[Tensor, Tensor]], generator: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        return ((self._inputs.index_select(0, indices), targets) for indices, targets in order)

    def blocks(self, indices: Tensor | None = None) -> "TensorBlocks":
        return TensorBlocks(self._inputs, indices)


class TensorBlocks:
    """Chosen rows of a tensor, in order and in blocks. They may be iterated any number of times.

    Every block is gathered into the same memory, which stays in the cache. So a block is valid only until the next
    block is requested.

    Args:
        inputs: All rows, shape ``(N, ...)``: a tensor or an array of NumPy.
        indices: Rows to read, integers of shape ``(M,)``, or a mask, bool of shape ``(N,)``; all of them if not given.
        block_size: Rows in a block; the last block may be shorter.

    Raises:
        InputError: If the indices have another type or shape, or are out of range.

    Example:
        >>> [block.tolist() for block in TensorBlocks(torch.arange(10), torch.tensor([1, 3, 5]), block_size=2)]
        [[1, 3], [5]]
    """

    def __init__(
        self, inputs: Tensor | np.ndarray, indices: Tensor | np.ndarray | None = None, block_size: int = 2048
    ) -> None:
        self._inputs = as_rows(inputs)
        self._indices = None if indices is None else _rows(torch.as_tensor(indices), len(inputs))
        self.block_size = block_size

    def __len__(self) -> int:
        return len(self._inputs if self._indices is None else self._indices)

    def __iter__(self) -> Iterator[Tensor]:
        return self.shard(0, 1)

    def shard(self, rank: int, size: int) -> Iterator[Tensor]:
        """Every ``size``-th block, from the one numbered ``rank`` on; the others are not read."""
        if len(self) == 0:
            return
        if self._indices is None:
            yield from self._inputs.split(self.block_size)[rank::size]
            return
        memory = self._inputs.new_empty(self.block_size, *self._inputs.shape[1:])
        for indices in self._indices.split(self.block_size)[rank::size]:
            yield torch.index_select(self._inputs, 0, indices, out=memory[: len(indices)])


def _rows(indices: Tensor, num_rows: int) -> Tensor:
    """Indices as int64, ``(M,)``. A mask becomes the indices of its true elements."""
    if indices.dim() == 1 and indices.dtype == torch.bool and len(indices) == num_rows:
        return indices.nonzero().squeeze(1)
    if indices.dim() != 1 or indices.is_floating_point() or indices.dtype == torch.bool:
        raise InputError(
            f"Expected integers of shape (M,), or a mask of {num_rows} rows, but got {indices.dtype} of shape "
            f"{tuple(indices.shape)}."
        )
    indices = indices.long()
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < num_rows:
        raise InputError(
            f"Expected indices from 0 to {num_rows - 1}, but got some from {int(indices.min())} to "
            f"{int(indices.max())}."
        )
    return indices


class SplitBlocks:
    """Inputs of any structure in memory, in order and in blocks.

    Args:
        inputs: Tensors ``(N, ...)`` in a mapping or a tuple.
        block_size: Rows in a block; the last block may be shorter.
    """

    def __init__(self, inputs: Inputs, block_size: int = 256) -> None:
        self._inputs = inputs
        self.block_size = block_size

    def __len__(self) -> int:
        return count_rows(self._inputs)

    def __iter__(self) -> Iterator[Inputs]:
        return self.shard(0, 1)

    def shard(self, rank: int, size: int) -> Iterator[Inputs]:
        """Every ``size``-th block, from the one numbered ``rank`` on."""
        return islice(split_rows(self._inputs, self.block_size), rank, None, size)


class OneBlock:
    """Inputs of any structure as one block. The block is a copy, because a model may write to its inputs.

    Args:
        inputs: The inputs of at least one sample.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self.block_size = len(self)

    def __len__(self) -> int:
        return count_rows(self._inputs)

    def __iter__(self) -> Iterator[Inputs]:
        return self.shard(0, 1)

    def shard(self, rank: int, size: int) -> Iterator[Inputs]:
        """The block, if ``rank`` is 0."""
        if rank == 0:
            yield map_tensors(Tensor.clone, self._inputs)


class BatchLoader:
    """Batches ``(inputs, targets)`` in order, as a Lightning dataloader for testing and prediction.

    Args:
        blocks: The inputs.
        targets: Their class indices, int64, shape ``(N,)``.
        as_pairs: Whether batches are pairs. Otherwise a batch is the collated items of a dataset, if the blocks have a
            dataset.
    """

    def __init__(self, blocks: Blocks, targets: Tensor, as_pairs: bool = True) -> None:
        self._blocks = blocks
        self._targets = targets
        self._as_pairs = as_pairs

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self._blocks) // self._blocks.block_size)

    def __iter__(self) -> Iterator[Any]:
        targets = self._targets.split(self._blocks.block_size)
        if not self._as_pairs and hasattr(self._blocks, "whole_batches"):
            return self._blocks.whole_batches(targets)
        return zip(self._blocks, targets, strict=True)


class EndlessRows:
    """Chosen samples without end, in one shuffled pass after another.

    Args:
        rows: The samples.
        indices: Samples to draw from, int64, shape ``(M,)``.
        generator: CPU generator of the shuffles; torch's global one if not given.
    """

    def __init__(self, rows: Rows, indices: Tensor, generator: torch.Generator | None = None) -> None:
        self._rows = rows
        self._indices = indices
        self._generator = generator
        self._left = indices[:0]

    def batches(
        self, sizes: Iterator[int], generator: torch.Generator | None = None, rank: int = 0, size: int = 1
    ) -> Iterator[Any]:
        """Returns the next n inputs, ``(n, ...)``, for each n of the sizes.

        Without samples to draw from, it returns nothing.

        Args:
            sizes: The numbers of inputs.
            generator: Source of random augmentations, see :meth:`Rows.batches`.
            rank: Number of this device, from 0. It reads batch ``rank`` of each ``size`` batches in a row.
            size: Number of devices. The batches of the other devices are drawn, but not read.
        """
        return self._rows.batches(_one_of_each(size, rank, (self._draw(n) for n in sizes)), generator)

    def _draw(self, size: int) -> Tensor:
        while len(self._left) < size and len(self._indices):
            order = torch.randperm(len(self._indices), generator=self._generator)
            self._left = torch.cat([self._left, self._indices[order]])
        drawn, self._left = self._left[:size], self._left[size:]
        return drawn


class MinibatchLoader:
    """Shuffled minibatches ``(inputs, targets)``, as a Lightning dataloader for training.

    Args:
        rows: M samples to train on.
        targets: Their class indices, shape ``(M,)``.
        batch_size: Rows in a minibatch; the last one of a pass may be shorter, see :func:`minibatches_of`.
        group: If given, each item is a list of up to this many minibatches, for a model that takes several in one
            training step. Otherwise each item is one minibatch.
        generator: CPU generator of the shuffles; torch's global one if not given.
        least: Least number of minibatches in an epoch. An epoch is one pass if a pass has this many.
        unlabeled: If given, each minibatch has a third part: the same number of these rows.
        transform_generator: CPU generator of random augmentations; torch's global one if not given.
        rank: Number of this device, from 0. All devices shuffle in the same way. Each device takes one of each ``size``
            minibatches in a row.
        size: Number of devices. The minibatches of an epoch are rounded up to a multiple of it. Each device gets at
            least ``least`` minibatches.
        in_order: Whether each pass has the samples in order, without a shuffle.
        as_pairs: Whether minibatches are pairs of inputs and targets, with the unlabeled rows as a third part if given.
            Otherwise a minibatch is the collated items of a dataset, see :meth:`Rows.whole_batches`.
    """

    def __init__(
        self,
        rows: Rows,
        targets: Tensor,
        batch_size: int,
        group: int | None = None,
        generator: torch.Generator | None = None,
        least: int = 1,
        unlabeled: EndlessRows | None = None,
        transform_generator: torch.Generator | None = None,
        rank: int = 0,
        size: int = 1,
        as_pairs: bool = True,
        in_order: bool = False,
    ) -> None:
        self._in_order = in_order
        self._as_pairs = as_pairs or unlabeled is not None
        self._rows = rows
        self._targets = targets
        self._batch_size = batch_size
        self._group = group
        self._generator = generator
        per_pass = len(minibatches_of(torch.arange(len(targets)), batch_size))
        self._num_minibatches = max(least, -(-per_pass // size))
        self._unlabeled = unlabeled
        self._transform_generator = transform_generator
        self._rank = rank
        self._size = size

    def __len__(self) -> int:
        """Number of items in an epoch."""
        return -(-self._num_minibatches // (self._group or 1))

    def __iter__(self) -> Iterator[Any]:
        minibatches = self._minibatches()
        if self._group is None:
            yield from minibatches
        else:
            while group := list(islice(minibatches, self._group)):
                yield group

    def _minibatches(self) -> Iterator[Any]:
        # Worker processes may read rows ahead. So inputs and targets iterate over the order separately.
        all_devices = islice(self._passes(), self._num_minibatches * self._size)
        if not self._as_pairs and hasattr(self._rows, "whole_batches"):
            own = _one_of_each(self._size, self._rank, all_devices)
            with_targets = ((indices, self._targets.index_select(0, indices)) for indices in own)
            return self._rows.whole_batches(with_targets, self._transform_generator)
        order, order_again, order_of_all = tee(all_devices, 3)
        inputs = self._rows.batches(_one_of_each(self._size, self._rank, order), self._transform_generator)
        order_again = _one_of_each(self._size, self._rank, order_again)
        targets = (self._targets.index_select(0, indices) for indices in order_again)
        if self._unlabeled is None:
            return zip(inputs, targets, strict=True)
        sizes = (len(indices) for indices in order_of_all)
        unlabeled = self._unlabeled.batches(sizes, self._transform_generator, self._rank, self._size)
        return zip(inputs, targets, unlabeled, strict=True)

    def _passes(self) -> Iterator[Tensor]:
        num = len(self._targets)
        while True:
            order = torch.arange(num) if self._in_order else torch.randperm(num, generator=self._generator)
            yield from minibatches_of(order, self._batch_size)


def _one_of_each(size: int, rank: int, order: Iterator[Tensor]) -> Iterator[Tensor]:
    """Yields tensor number ``rank`` of every ``size`` tensors in a row; all of them are consumed together."""
    while together := tuple(islice(order, size)):
        yield together[rank]


def minibatches_of(order: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """Splits a pass into minibatches. A single sample that is left over joins the minibatch before it.

    Batch normalisation raises an error for a minibatch of one sample, and the number of labels must not depend on that.

    Example:
        >>> [len(minibatch) for minibatch in minibatches_of(torch.arange(9), 4)]
        [4, 5]
    """
    parts = order.split(batch_size)
    if batch_size > 1 and len(parts) > 1 and len(parts[-1]) == 1:
        return (*parts[:-2], torch.cat(parts[-2:]))
    return parts
