"""Rows of an array on disk, as a dataset that is read in blocks."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

BLOCK_VALUES = 2**18
"""Values to read in one step. As float32 they take 1 MiB, so all steps of their scaling find them in the cache."""


class DiskRows(Dataset):
    """Chosen rows of an array on disk.

    A block of rows is read at once. Its values are the same bits as those of the rows one by one.

    Args:
        array: Numbers of shape ``(N, ...)``, such as the result of ``np.load`` with ``mmap_mode``.
        make: Makes the inputs of a block of rows, float32 of the same shape, each row by itself.
        rows: Rows that are samples 0 to M - 1, int64, shape ``(M,)``; all rows if not given.

    Example:
        >>> array = np.arange(6).reshape(3, 2)
        >>> data = DiskRows(array, lambda block: torch.from_numpy(block).float(), torch.tensor([2, 0]))
        >>> len(data), data[0], data.take(torch.tensor([1, 0]))
        (2, tensor([4., 5.]), tensor([[0., 1.],
                [4., 5.]]))
    """

    def __init__(self, array: np.ndarray, make: Callable[[np.ndarray], Tensor], rows: Tensor | None = None) -> None:
        self._array = np.asarray(array)  # a memmap makes a new memmap of each block, which takes longer
        self._make = make
        self._rows = rows

    def __len__(self) -> int:
        return len(self._array if self._rows is None else self._rows)

    def __getitem__(self, index: int) -> Tensor:
        return self.take(torch.tensor([index]))[0]

    def take(self, indices: Tensor) -> Tensor:
        """Reads the samples at these indices, int64, shape ``(B,)``. Returns float32 of shape ``(B, ...)``."""
        rows = indices if self._rows is None else self._rows[indices]
        return self._make(_rows_of(self._array, rows))

    def blocks(self) -> Iterator[Tensor]:
        """Reads all samples in order, in blocks of about 1 MiB."""
        size = max(1, BLOCK_VALUES // max(1, self._array[:1].size))
        for indices in torch.arange(len(self)).split(size):
            yield self.take(indices)


def _rows_of(array: np.ndarray, rows: Tensor) -> np.ndarray:
    """Rows of an array, each of them in one piece of memory."""
    if len(rows) and bool((rows.diff() == 1).all()):  # a slice copies nothing
        first = int(rows[0])
        return np.ascontiguousarray(array[first : first + len(rows)])
    return np.ascontiguousarray(array[rows.numpy()])
