"""Checks of what the statistics are given."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from al_lightning.errors import InputError

Floats = NDArray[np.float64]


def check_values(values: ArrayLike, name: str, num_dims: int) -> Floats:
    """Raises InputError unless values are finite, at least one, in an array of so many dimensions; returns it."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != num_dims or array.size == 0:
        raise InputError(f"Expected `{name}` to be a filled array of {num_dims} dimensions, but got {array.shape}.")
    if not np.isfinite(array).all():
        raise InputError(f"Expected `{name}` to be finite, but got {array[~np.isfinite(array)][0]}.")
    return array


def check_num_labeled(num_labeled: ArrayLike, num_rounds: int) -> Floats:
    """Raises InputError unless there are R strictly ascending label counts, all above 0; returns them."""
    labels = check_values(num_labeled, "num_labeled", 1)
    if len(labels) != num_rounds:
        raise InputError(f"Expected `num_labeled` to be of {num_rounds} rounds, as the curve, but got {len(labels)}.")
    if (np.diff(labels, prepend=0) <= 0).any():
        raise InputError(f"Expected `num_labeled` to be above 0 and strictly ascending, but got {labels.tolist()}.")
    return labels


def check_share(value: float, name: str) -> None:
    """Raises InputError unless a level, a power or an alpha is strictly between 0 and 1."""
    if not 0 < value < 1:
        raise InputError(f"Expected `{name}` to be in (0, 1), but got {value}.")
