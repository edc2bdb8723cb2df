"""Fits that fall: unstable training makes single fits end far below the fits around them."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from al_lightning.report.stats.checks import Floats, check_values

FALL = 0.02
"""A fit falls if its accuracy is more than this below the fits around it."""
TYPICAL_DEVIATIONS = 10
"""It must also be so many times farther below than is usual in its run: with small test sets all curves jump."""
WINDOW = 9
"""Rounds around a fit, with its own."""
BEFORE = WINDOW // 2


def median_around(accuracy: ArrayLike) -> Floats:
    """The running median of each curve, over the nine rounds around each round, and at the end over the last nine.

    Args:
        accuracy: Curves, shape ``(S, R)``.

    Returns:
        Array of shape ``(S, R)``. It is NaN in the first four rounds, where curves are steep, and with fewer than nine.

    Raises:
        InputError: If the shape is not ``(S, R)`` or a value is not finite.

    Example:
        >>> median_around([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]]).tolist()
        [[nan, nan, nan, nan, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6]]
    """
    curves = check_values(accuracy, "accuracy", 2)
    medians = np.full_like(curves, np.nan)
    if curves.shape[1] >= WINDOW:
        middle = np.median(sliding_window_view(curves, WINDOW, axis=1), axis=-1)  # (S, R - 8)
        medians[:, BEFORE:] = np.pad(middle, ((0, 0), (0, BEFORE)), mode="edge")
    return medians


def falls(accuracy: ArrayLike) -> NDArray[np.bool_]:
    """Finds the fits that fall far below the running median, in points of accuracy and compared with their run.

    A mean over rounds counts such a fit in full, a median hardly. The fit shows that training is not stable, which is
    not a property of the query.

    Args:
        accuracy: Curves, shape ``(S, R)``.

    Returns:
        Array of shape ``(S, R)``.

    Raises:
        InputError: If the shape is not ``(S, R)`` or a value is not finite.

    Example:
        >>> falls([[0.8] * 9 + [0.7] + [0.8] * 3]).nonzero()
        (array([0]), array([9]))
    """
    curves = check_values(accuracy, "accuracy", 2)
    below = median_around(curves) - curves
    found = below > FALL
    for run, deviations in zip(found, np.abs(below), strict=True):
        if run.any():
            run &= deviations > TYPICAL_DEVIATIONS * np.nanmedian(deviations)
    return found
