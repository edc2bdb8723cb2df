"""A grid on which sums of numbers are exact."""

import numpy as np

from al_lightning.report.stats.checks import Floats

GRID_BITS = 40
SMALLEST_EXPONENT = -1022  # of a normal float64


def to_grid(values: Floats, scale: float) -> Floats:
    """Rounds values to a power of two that is about 2^-40 of a scale.

    Means of accuracies that are equal on paper may differ by rounding. If rounding breaks a tie, an exact p-value
    changes, or a difference of 0 becomes significant. On the grid equal values are equal. The sum of up to 4,096 of
    them has no rounding error, with any signs and in any order.

    Args:
        values: Float array of any shape, finite, at most about ``2 * scale`` in magnitude.
        scale: The largest magnitude of what the values were computed from, at least 0.

    Returns:
        Array of the same shape; no value has moved by more than ``2**-40 * scale``.

    Example:
        >>> 0.3 - 0.2 == 0.2 - 0.1
        False
        >>> a, b = to_grid(np.array([0.3 - 0.2, 0.2 - 0.1]), scale=0.3)
        >>> bool(a == b)
        True
    """
    step = _step(scale)
    return np.rint(values / step) * step


def largest_tie(num_values: int, scale: float) -> float:
    """How far apart on the grid two sums can be that are equal on paper.

    Sums on the grid are exact, but their values are rounded. The sum 0.0079 + 0.1704 - 0.0042 - 0.1741 is 0 on paper,
    and may be a few steps of the grid. Count sums as equal if they differ by at most this.

    Args:
        num_values: Number of values of each sum, at least 1.
        scale: The scale given to :func:`to_grid`.

    Example:
        >>> on_paper = np.array([0.0079, 0.1704, -0.0042, -0.1741])
        >>> total = to_grid(on_paper, scale=0.9).sum()
        >>> bool(abs(total) <= largest_tie(4, scale=0.9))
        True
    """
    return num_values * _step(scale)


def _step(scale: float) -> float:
    """Distance of neighbours on the grid."""
    exponent = int(np.frexp(scale)[1])
    return float(np.ldexp(1.0, max(exponent - GRID_BITS, SMALLEST_EXPONENT)))
