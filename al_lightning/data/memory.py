"""Decides whether a data set is held in memory, or read from disk in every epoch."""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor
from torch.utils.data import Dataset

from al_lightning.data.datasets import DatasetBlocks, Datasets, num_samples
from al_lightning.data.disk_rows import DiskRows
from al_lightning.data.inputs import tensors_of
from al_lightning.data.source import Arrays

BYTES = 4  # of a float32


def hold(
    pool: Dataset,
    test: Dataset,
    train_targets: Tensor,
    test_targets: Tensor,
    max_memory: float,
    num_workers: int,
    augmented: Dataset | None = None,
    num_values: int | None = None,
) -> Arrays | Datasets:
    """Reads a data set into memory if it fits and is not augmented.

    Args:
        pool: Training samples as they are scored, see :class:`~al_lightning.data.Datasets`; at least one.
        test: Test samples.
        train_targets: Class indices, int64, shape ``(N,)``.
        test_targets: Class indices, int64, shape ``(M,)``.
        max_memory: GiB that all inputs may take as float32.
        num_workers: Processes that read samples ahead if they are not in memory.
        augmented: The training samples as they are trained on, if they are augmented at random.
        num_values: Number of values of an input, if it is known. Otherwise the first training sample is read.
    """
    if num_values is None:
        num_values = sum(part.numel() for part in tensors_of(next(iter(DatasetBlocks(pool, torch.tensor([0]))))))
    num_bytes = BYTES * num_values * (num_samples(pool) + num_samples(test))
    if augmented is None and num_bytes <= max_memory * 2**30:
        return Arrays(in_memory(pool), train_targets, in_memory(test), test_targets)
    return Datasets(pool if augmented is None else augmented, test, pool, train_targets, test_targets, num_workers)


def in_memory(dataset: Dataset) -> Tensor:
    """Reads all inputs of a dataset.

    Args:
        dataset: Map-style, see :class:`~al_lightning.data.datasets.DatasetBlocks`.

    Returns:
        Float tensor of shape ``(N, ...)``. If there are no samples, and so no shape is known, ``(0,)``.
    """
    blocks = dataset.blocks() if isinstance(dataset, DiskRows) else iter(DatasetBlocks(dataset))
    inputs, stop = torch.empty(0), 0
    for block in cast(Iterator[Tensor], blocks):  # joining blocks at the end would need twice the memory
        if stop == 0:
            inputs = block.new_empty(num_samples(dataset), *block.shape[1:])
        inputs[stop : stop + len(block)] = block
        stop += len(block)
    return inputs
