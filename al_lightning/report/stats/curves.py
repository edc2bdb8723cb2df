"""Learning curves over the number of labels: areas, final accuracy and bands."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import integrate, stats

from al_lightning.errors import InputError
from al_lightning.report.stats.checks import Floats, check_num_labeled, check_share, check_values
from al_lightning.report.stats.paired import differences, standard_error
from al_lightning.report.stats.sign_flips import sign_flips

ROUNDING = 1e-9  # relative, of a statistic that ties with the critical value


@dataclass(frozen=True)
class Band:
    """A mean curve and a band around it.

    Attributes:
        mean: Mean over seeds, shape ``(R,)``.
        low: Lower end at each round, shape ``(R,)``.
        high: Upper end at each round, shape ``(R,)``.
        critical: Half the width of the band in standard errors of the mean.
    """

    mean: Floats
    low: Floats
    high: Floats
    critical: float

    def within(self, low: float, high: float) -> "Band":
        """Returns the band cut to a range, such as 0 to 1 for accuracies. An infinite end stays: it is no bound.

        Example:
            >>> pointwise_band([[0.9], [1.0]]).within(0, 1).high.tolist()
            [1.0]
        """
        cut = [np.where(np.isinf(end), end, np.clip(end, low, high)) for end in (self.low, self.high)]
        return Band(self.mean, cut[0], cut[1], self.critical)


def aubc(num_labeled: ArrayLike, accuracy: ArrayLike, low: float | None = None, high: float | None = None) -> Floats:
    """Area under the learning curve by the trapezoidal rule, divided by the width: the mean accuracy over labels.

    The steep part of the curves dominates differences of the whole area. So report areas of parts beside it, such as
    500 to 2,000 and 8,000 to 10,000 labels.

    Args:
        num_labeled: Label counts, shape ``(R,)``, strictly ascending, not necessarily equally spaced.
        accuracy: Curves, shape ``(..., R)``.
        low: Where the area starts, by default at the first count; between two counts the curve is interpolated.
        high: Where it ends, by default at the last count.

    Returns:
        Array of shape ``(...)``, in the range of the accuracies.

    Raises:
        InputError: If the counts are not ascending or do not cover the range, or a value is not finite.

    Example:
        >>> float(aubc([500, 600, 1000], [0.5, 0.7, 0.7]))
        0.68
        >>> float(aubc([500, 600, 1000], [0.5, 0.7, 0.7], low=600))
        0.7
    """
    curves, labels = _check_curves(num_labeled, accuracy)
    low = labels[0] if low is None else low
    high = labels[-1] if high is None else high
    if not labels[0] <= low < high <= labels[-1]:
        covered = f"{labels[0]:g} to {labels[-1]:g} labels"
        raise InputError(f"Expected `low` and `high` to be a range within {covered}, but got {low:g} to {high:g}.")
    inside = (labels > low) & (labels < high)
    points = np.concatenate([[low], labels[inside], [high]])
    ends = _interpolate(labels, curves, np.array([low, high]))
    values = np.concatenate([ends[..., :1], curves[..., inside], ends[..., 1:]], axis=-1)
    return np.asarray(integrate.trapezoid(values, points, axis=-1) / (high - low))


def final_accuracy(num_labeled: ArrayLike, accuracy: ArrayLike, at: float = 10_000, last: int = 5) -> Floats:
    """Mean accuracy of the last rounds up to a number of labels that was fixed beforehand.

    The mean damps the noise of single rounds. The best of the rounds would be biased upwards.

    Args:
        num_labeled: Label counts, shape ``(R,)``, strictly ascending.
        accuracy: Curves, shape ``(..., R)``.
        at: Label count of the last of these rounds.
        last: Number of rounds.

    Returns:
        Array of shape ``(...)``.

    Raises:
        InputError: If there is no round of ``at`` labels, or fewer than ``last`` rounds up to it.

    Example:
        >>> float(final_accuracy([500, 600, 700, 800], [0.5, 0.7, 0.8, 0.9], at=700, last=2))
        0.75
    """
    curves, labels = _check_curves(num_labeled, accuracy)
    (rounds,) = np.nonzero(labels == at)
    if len(rounds) == 0:
        counts = f"{labels[0]:g} to {labels[-1]:g}"
        raise InputError(f"Expected `at` to be the label count of a round, from {counts}, but got {at:g}.")
    stop = int(rounds[0]) + 1
    if not 1 <= last <= stop:
        raise InputError(f"Expected `last` to be from 1 to {stop}, the rounds up to {at:g} labels, but got {last}.")
    return np.asarray(curves[..., stop - last : stop].mean(axis=-1))


def pointwise_band(accuracy: ArrayLike, level: float = 0.95) -> Band:
    """The t interval of the mean at each round.

    It says nothing about all rounds together: of 100 such intervals some exclude the true mean. Use
    :func:`simultaneous_band` for "above random at some budget".

    Args:
        accuracy: Curves, shape ``(S, R)``.
        level: Level of each interval.

    Returns:
        The band; its ends and critical value are NaN with one seed.

    Raises:
        InputError: If the shape is not ``(S, R)``, a value is not finite or ``level`` is not in (0, 1).

    Example:
        >>> band = pointwise_band([[0.5, 0.7], [0.5, 0.8], [0.5, 0.9]])
        >>> band.low.round(3).tolist(), band.high.round(3).tolist()
        ([0.5, 0.552], [0.5, 1.048])
    """
    check_share(level, "level")
    curves = check_values(accuracy, "accuracy", 2)
    mean = curves.mean(axis=0)
    if len(curves) == 1:
        return Band(mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan), np.nan)
    critical = float(stats.t.ppf((1 + level) / 2, len(curves) - 1))
    # the same accuracy in all seeds has no error; np.std would leave one, of rounding
    half = np.where(np.ptp(curves, axis=0) == 0, 0.0, critical * standard_error(curves))
    return Band(mean, mean - half, mean + half, critical)


def simultaneous_band(a: ArrayLike, b: ArrayLike, level: float = 0.95, seed: int = 0) -> Band:
    """Band of the mean difference of two methods that holds at all rounds together, by sign flips.

    A flip changes the signs of whole seeds. The first critical value is the quantile, over all flips, of the largest
    absolute t of any round. If the methods do not differ, the band excludes 0 at any round with probability of at most
    1 - level. This is exact, however the rounds are correlated. It also holds for the rounds at which the methods do
    not differ, whatever they do elsewhere.

    Under large differences the first critical value is too small: the band may miss the true curve in a third of all
    studies. The second critical value is the same quantile over flips of the residuals. With it, the band covers the
    true curve at about its level. The band takes the larger of the two values.

    With few seeds the quantile does not exist. The p-values are at least 2 / 2^S, or 0.0625 for 5 seeds, so that no
    difference could be significant at 95 %. The band is then infinite at every round with a difference.

    Args:
        a: Curves of one method, shape ``(S, R)``.
        b: Curves of the other on the same seeds and rounds, shape ``(S, R)``.
        level: Level of the band.
        seed: Seed of the random flips of more than 16 seeds, see
        :func:`~al_lightning.report.stats.sign_flips.sign_flips`.

    Returns:
        The band of a - b. A round at which all differences are 0, as in round 0, is that point and takes no part.

    Raises:
        InputError: If the shapes are not ``(S, R)``, a value is not finite or ``level`` is not in (0, 1).

    Reference:
        Westfall and Young, "Resampling-Based Multiple Testing", 1993; Nichols and Holmes, "Nonparametric Permutation
        Tests for Functional Neuroimaging", 2002.

    Example:
        >>> a = [[0.5, 0.71], [0.5, 0.72], [0.5, 0.73], [0.5, 0.72], [0.5, 0.71], [0.5, 0.73]]
        >>> band = simultaneous_band(a, [[0.5, 0.7]] * 6)
        >>> band.low.round(3).tolist(), band.high.round(3).tolist()
        ([0.0, 0.008], [0.0, 0.032])
    """
    check_share(level, "level")
    d = differences(a, b, num_dims=2)
    mean, differs = d.mean(axis=0), (d != 0).any(axis=0)
    critical = max(_max_t_quantile(d, level, seed), _max_t_quantile(d - mean, level, seed))
    half = np.zeros_like(mean)
    half[differs] = np.inf if np.isinf(critical) else critical * standard_error(d[:, differs])
    return Band(mean, mean - half, mean + half, critical)


def first_lasting_lead(num_labeled: ArrayLike, band: Band) -> float | None:
    """First label count from which on a band of differences stays above 0.

    Args:
        num_labeled: Label counts, shape ``(R,)``, strictly ascending.
        band: Band of R rounds, see :func:`simultaneous_band`.

    Returns:
        The label count, or None if the band does not end above 0.

    Raises:
        InputError: If the counts are not ascending or not of the band.

    Example:
        >>> low = np.array([0.0, 0.1, -0.1, 0.1, 0.2])
        >>> first_lasting_lead([500, 600, 700, 800, 900], Band(low, low, low, 2.0))
        800.0
    """
    labels = check_num_labeled(num_labeled, len(band.low))
    (not_above,) = np.nonzero(~(band.low > 0))
    first = int(not_above[-1]) + 1 if len(not_above) else 0
    return float(labels[first]) if first < len(labels) else None


def _max_t_quantile(difference: Floats, level: float, seed: int) -> float:
    """Returns the value that the largest absolute t of any round exceeds in at most 1 - level of the flips."""
    num_seeds = len(difference)
    flips = sign_flips(num_seeds, seed)
    num_above = int((1 - level) * len(flips) + ROUNDING)
    if num_above < 2:  # flips come in pairs, s and -s, of the same absolute t
        return np.inf
    # the absolute mean over the root mean square, which flips do not change: absolute t is an ascending function of it
    root_squares = np.sqrt(num_seeds * np.square(difference).sum(axis=0))
    scaled = np.abs(flips @ difference)
    np.divide(scaled, root_squares, out=scaled, where=root_squares > 0)
    largest = min(float(np.sort(scaled.max(axis=1))[-1 - num_above]), 1.0)
    rest = 1 - largest**2
    return float(largest * np.sqrt((num_seeds - 1) / rest)) * (1 + ROUNDING) if rest > ROUNDING else np.inf


def _check_curves(num_labeled: ArrayLike, accuracy: ArrayLike) -> tuple[Floats, Floats]:
    """Raises InputError unless curves go with their label counts; returns both."""
    curves = np.asarray(accuracy, dtype=np.float64)
    curves = check_values(curves, "accuracy", max(curves.ndim, 1))
    return curves, check_num_labeled(num_labeled, curves.shape[-1])


def _interpolate(labels: Floats, curves: Floats, points: Floats) -> Floats:
    """Curves ``(..., R)``, linear between label counts, at P points within their range; ``(..., P)``."""
    right = np.clip(np.searchsorted(labels, points), 1, len(labels) - 1)
    left = right - 1
    weight = (points - labels[left]) / (labels[right] - labels[left])
    return np.asarray((1 - weight) * curves[..., left] + weight * curves[..., right])
