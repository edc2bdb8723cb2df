"""Scaling of features: one shift and one number for all of them, so that their geometry stays."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from al_lightning.data.features_file import check_finite

ROWS = 4096
Scaling = Literal["center", "none", "unit"]


class FeatureScaler:
    r"""Brings features to a common size.

    - ``center``: :math:`(x - \mu) / s` with the mean :math:`\mu` of each feature, and one number :math:`s`, so that the
      mean of :math:`\lVert x \rVert^2` is D. Angles around the mean and ratios of distances stay.
    - ``unit``: :math:`x / \lVert x \rVert`. A row of zeros stays.
    - ``none``: unchanged.

    Mean and size are computed in float64. They need no labels.

    Args:
        scaling: ``center``, ``unit`` or ``none``.
        features: Numbers of shape ``(N, D)``. They may be on disk.
        rows: The rows that decide on mean and size, int64, shape ``(M,)``.

    Raises:
        InputError: If one of these rows has NaN or infinity, and ``scaling`` is ``center``.

    Example:
        >>> rows = np.array([[1.0, 0.0], [3.0, 0.0]], dtype=np.float32)
        >>> FeatureScaler("center", rows, np.array([0, 1]))(rows)
        tensor([[-1.4142,  0.0000],
                [ 1.4142,  0.0000]])
    """

    def __init__(self, scaling: Scaling, features: np.ndarray, rows: np.ndarray) -> None:
        self._scaling = scaling
        self._mean, self._size = np.zeros(features.shape[1], np.float32), np.float32(1)
        if scaling == "center" and len(rows):
            mean = sum(features[part].sum(axis=0, dtype=np.float64) for part in _parts(rows)) / len(rows)
            if not np.isfinite(mean).all():
                for part in _parts(rows):
                    check_finite(features[part], [f"row {row}" for row in part.tolist()])
            squares = sum(float(((features[part] - mean) ** 2).sum()) for part in _parts(rows)) / len(rows)
            self._mean = np.asarray(mean, np.float32)
            if squares > 0:  # otherwise all rows are equal
                self._size = np.float32(np.sqrt(squares / features.shape[1]))

    def __call__(self, rows: np.ndarray) -> Tensor:
        """Scales rows, float of shape ``(B, D)``, or one row, ``(D,)``. Returns float32 of the same shape."""
        if self._scaling == "unit":
            values = np.asarray(rows, np.float64)
            norms = np.sqrt((values * values).sum(axis=-1, keepdims=True))
            return torch.from_numpy((values / np.where(norms > 0, norms, 1)).astype(np.float32))
        if self._scaling == "none":
            return torch.from_numpy(np.array(rows, np.float32))
        return torch.from_numpy((np.array(rows, np.float32) - self._mean) / self._size)


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
