"""PlacedRows: the samples of a training set from which some have left."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from al_lightning.data.blocks import Blocks, Rows
from al_lightning.errors import InputError


class PlacedRows:
    """Samples by training-set index, where a source holds only the samples that are there.

    Args:
        rows: The samples of the source.
        indices: Their training-set indices, ascending, int64, shape ``(M,)``.
        size: Number of training-set indices, N. Indices that are not in ``indices`` belong to samples that left.
    """

    def __init__(self, rows: Rows, indices: Tensor, size: int) -> None:
        self._rows = rows
        self._position = torch.full((size,), -1)
        self._position[indices] = torch.arange(len(indices))

    def __len__(self) -> int:
        return len(self._position)

    def take(self, indices: Tensor) -> Rows:
        return self._rows.take(self._at(indices))

    def batches(self, order: Iterator[Tensor], generator: torch.Generator | None = None) -> Iterator[Any]:
        return self._rows.batches((self._at(indices) for indices in order), generator)

    def whole_batches(
        self, order: Iterator[tuple[Tensor, Tensor]], generator: torch.Generator | None = None
    ) -> Iterator[Any]:
        return self._rows.whole_batches(((self._at(indices), targets) for indices, targets in order), generator)

    def blocks(self, indices: Tensor | None = None) -> Blocks:
        """The inputs at these indices, or of all samples that are there."""
        return self._rows.blocks(None if indices is None else self._at(indices))

    def _at(self, indices: Tensor) -> Tensor:
        positions = self._position[indices]
        if (positions < 0).any():
            gone = int(indices[positions < 0][0])
            raise InputError(f"Expected the data to have sample {gone}, but it has left the data set.")
        return positions
