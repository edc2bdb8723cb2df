"""Minibatches of all training inputs without their labels, for a fit that needs no labels."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from al_lightning.data.blocks import Rows, minibatches_of
from al_lightning.random_streams import stream


class InputLoader:
    """Shuffled minibatches of inputs, as a Lightning dataloader for training.

    The order is a function of the seed and the epoch. So a fit that goes on from a checkpoint sees the same order as a
    fit in one piece.

    Args:
        rows: The samples.
        indices: Samples to go over, int64, shape ``(M,)``.
        batch_size: Rows in a minibatch, see :func:`~al_lightning.data.blocks.minibatches_of`.
        seed: Seed of the shuffles and of random transforms.
        rank: Number of this device, from 0. All devices shuffle in the same way. Each device takes one of each ``size``
            minibatches in a row.
        size: Number of devices. Minibatches that not all of them get are left out.
    """

    def __init__(
        self, rows: Rows, indices: Tensor, batch_size: int, seed: int = 0, rank: int = 0, size: int = 1
    ) -> None:
        self._rows = rows
        self._indices = indices
        self._batch_size = batch_size
        self._seed = seed
        self._rank = rank
        self._size = size
        self._epoch = 0

    @property
    def sampler(self) -> "InputLoader":
        """The object with ``set_epoch``. Lightning looks for this name."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Sets the number of the epoch, from 0; Lightning does so before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Number of minibatches in an epoch on this device."""
        return len(minibatches_of(self._indices, self._batch_size)) // self._size

    def __iter__(self) -> Iterator[Any]:
        # A generator begins at its first minibatch. A fit that goes on makes the iterator before it sets the epoch.
        order = torch.randperm(len(self._indices), generator=stream(self._seed, "shuffle", self._epoch))
        minibatches = minibatches_of(self._indices[order], self._batch_size)[self._rank :: self._size][: len(self)]
        transforms = stream(self._seed, "transforms", self._epoch, self._rank)
        yield from self._rows.batches(iter(minibatches), transforms)
