"""Features scaled to unit length, for strategies that compare directions."""

from functools import cached_property

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike
from al_lightning.strategies.base import check_finite
from al_lightning.strategies.geometry import checked_features

BLOCK_ROWS = 8192


class UnitRows:
    """Rows that are scaled to length 1 where they are used.

    A row of zeros has no direction. It stays as it is, at distance 1 from all others.

    Args:
        rows: Float32 or float64 on the CPU, shape ``(N, D)``.

    Example:
        >>> UnitRows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))[:]
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """

    def __init__(self, rows: Tensor) -> None:
        self._rows = rows
        self._norms = torch.empty(len(rows), dtype=torch.float64)  # (N,) one tensor: see geometry.search
        for start in range(0, len(rows), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            self._norms[block] = rows[block].double().norm(dim=1)
        self._norms[self._norms == 0] = 1.0
        check_finite(self._norms, "lengths of embeddings")

    def __len__(self) -> int:
        """Number of rows, N."""
        return len(self._rows)

    @property
    def dim(self) -> int:
        """Number of features, D."""
        return self._rows.shape[1]

    def take(self, positions: Tensor) -> "UnitRows":
        """Returns some of the rows."""
        return UnitRows(self._rows[positions])

    def double(self, index: Tensor | slice) -> Tensor:
        """Rows of length 1, float64, shape ``(K, D)``."""
        return self._rows[index].double() / self._norms[index, None]

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """Rows of length 1, float32, shape ``(K, D)``."""
        if self._rows.dtype == torch.float64:
            return self.double(index).float()
        # the length of a row of tiny numbers is no float32
        return self._rows[index] / self._norms[index, None].float() if self._is_usual else self.double(index).float()

    @cached_property
    def _is_usual(self) -> bool:
        return bool(((self._norms > 1e-30) & (self._norms < 1e30)).all())

    def whole(self) -> Tensor:
        """All rows of length 1, float32, shape ``(N, D)``, as a new tensor."""
        scaled = torch.empty(self._rows.shape, dtype=torch.float32)
        for start in range(0, len(scaled), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            scaled[block] = self.double(block)
        return scaled


def as_unit_rows(embeddings: ArrayLike, labeled_embeddings: ArrayLike) -> tuple[UnitRows, UnitRows]:
    """Returns features of the pool and of the labeled samples, which are scaled to length 1 where they are used.

    Args:
        embeddings: Features of the pool, shape ``(N, D)``: a tensor, an array of NumPy or nested lists.
        labeled_embeddings: Features of the labeled samples, shape ``(M, D)``, in one of these forms. If there are none,
            they may have any shape.

    Raises:
        InputError: If the shapes do not go together, or a value is not finite.
    """
    points, labeled = checked_features(embeddings, labeled_embeddings)
    return UnitRows(points), UnitRows(labeled)
