"""Reading a whole dataset into memory."""

import torch
from torch import Tensor
from torch.utils.data import Dataset

from al_lightning.data.datasets import DatasetBlocks


def in_memory(dataset: Dataset, num_workers: int = 0) -> Tensor:
    """Reads all inputs of a dataset.

    Args:
        dataset: As of :class:`~al_lightning.data.datasets.DatasetBlocks`.
        num_workers: Processes that read them.

    Returns:
        Float tensor of shape ``(N, ...)``, ``(0,)`` if there are none.
    """
    blocks = DatasetBlocks(dataset, num_workers=num_workers)
    inputs, stop = torch.empty(0), 0
    for block in blocks:  # into the whole, lest it be there twice
        if stop == 0:
            inputs = block.new_empty(len(blocks), *block.shape[1:])
        inputs[stop : stop + len(block)] = block
        stop += len(block)
    return inputs
