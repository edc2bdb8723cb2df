"""Paired contrasts of two methods: the same seed shares everything but the queries."""

from dataclasses import dataclass
from math import nan
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from al_lightning.errors import InputError
from al_lightning.report.stats.checks import Floats, check_share, check_values
from al_lightning.report.stats.exact_sums import largest_tie, to_grid
from al_lightning.report.stats.sign_flips import sign_flips

Alternative = Literal["two-sided", "greater", "less"]


@dataclass(frozen=True)
class Contrast:
    """Mean of the paired differences a - b, with its interval and its p-values.

    Attributes:
        mean: Mean difference.
        low: Lower end of the t interval of the mean.
        high: Upper end.
        p_t: p-value of the paired t test.
        p_sign_flip: p-value of the sign-flip test.
    """

    mean: float
    low: float
    high: float
    p_t: float
    p_sign_flip: float


def differences(a: ArrayLike, b: ArrayLike, num_dims: int = 1) -> Floats:
    """Paired differences a - b, without their rounding errors.

    Args:
        a: Values of one method, shape ``(S,)``, or ``(S, R)`` for curves; row s is of the same seed in ``b``.
        b: Values of the other, of the same shape.
        num_dims: 1 for values, 2 for curves.

    Returns:
        Array of that shape, on the grid of :func:`~al_lightning.report.stats.exact_sums.to_grid`.

    Raises:
        InputError: If the shapes differ or are others, or a value is not finite.

    Example:
        >>> differences([0.75, 0.5], [0.5, 0.5]).tolist()
        [0.25, 0.0]
    """
    a, b = check_values(a, "a", num_dims), check_values(b, "b", num_dims)
    if a.shape != b.shape:
        raise InputError(f"Expected `b` to be of the same seeds and rounds as `a`, {a.shape}, but got {b.shape}.")
    return to_grid(a - b, scale=_scale(a, b))


def standard_error(values: Floats) -> Floats:
    """Standard error of the mean over the first axis, of at least 2 rows; 0 where all rows are equal."""
    return np.asarray(values.std(axis=0, ddof=1) / np.sqrt(len(values)))


def t_statistic(difference: Floats) -> Floats:
    """One-sample t of the mean over the first axis.

    Args:
        difference: Differences on the grid, shape ``(S, ...)``, at least 2 rows.

    Returns:
        Array of shape ``(...)``: where all rows are equal, infinite with the sign of the mean, or 0 if all are 0.
    """
    mean, error = difference.mean(axis=0), standard_error(difference)
    with np.errstate(divide="ignore"):
        return np.divide(mean, error, out=np.zeros_like(error), where=mean != 0)


def contrast(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, alternative: Alternative = "two-sided", seed: int = 0
) -> Contrast:
    """Compares two methods over paired seeds.

    The paired t test and its interval assume normal differences. The sign-flip test assumes only that, without an
    effect, each difference is as likely as its negative. Up to 16 seeds it counts all 2^S flips, and its p-value is
    exact. For more seeds the p-value is a Monte Carlo estimate with the +1 correction, see
    :func:`~al_lightning.report.stats.sign_flips.sign_flips`. Intervals and p-values are conditional on the test set:
    more seeds do not shrink its share of the error.

    Args:
        a: Values of one method, shape ``(S,)``.
        b: Values of the other on the same seeds, shape ``(S,)``.
        level: Level of the interval, which is two-sided for every alternative.
        alternative: ``"greater"`` tests whether a is above b on average, ``"less"`` whether it is below.
        seed: Seed of the random flips of more than 16 seeds.

    Returns:
        The contrast. With one seed, the interval and the p-values are NaN. If all differences are the same, the
        interval is that point, and ``p_t`` is the limit of t: 0 in the direction of the alternative. If all
        differences are 0, both p-values are 1.

    Raises:
        InputError: If the shapes are not ``(S,)``, a value is not finite, or an option is not one of those above.

    Example:
        >>> result = contrast([0.82, 0.84, 0.83, 0.85, 0.86], [0.80, 0.81, 0.82, 0.84, 0.83])
        >>> f"{result.mean:.3f} in [{result.low:.4f}, {result.high:.4f}], p {result.p_t:.4f}, {result.p_sign_flip}"
        '0.020 in [0.0076, 0.0324], p 0.0111, 0.0625'
    """
    check_share(level, "level")
    if alternative not in ("two-sided", "greater", "less"):
        raise InputError(f"Expected `alternative` to be two-sided, greater or less, but got `{alternative}`.")
    d = differences(a, b)
    num_seeds, mean = len(d), float(d.mean())
    if num_seeds == 1:
        return Contrast(mean, nan, nan, nan, nan)
    low, high = _interval(d, level)
    if not d.any():
        return Contrast(mean, low, high, 1.0, 1.0)
    sign = -1 if alternative == "less" else 1
    t, sums = sign * float(t_statistic(d)), sign * (sign_flips(num_seeds, seed) @ d)
    if alternative == "two-sided":
        t, sums = abs(t), np.abs(sums)
    p_t = float(stats.t.sf(t, num_seeds - 1)) * (2 if alternative == "two-sided" else 1)
    p_sign_flip = float((sums >= sums[0] - largest_tie(num_seeds, _scale(a, b))).mean())
    return Contrast(mean, low, high, p_t, p_sign_flip)


def p_equivalence(a: ArrayLike, b: ArrayLike, margin: float) -> float:
    """Tests whether two methods are the same up to a margin, by two one-sided paired t tests.

    The p-value is below 0.05 if and only if the 90 % interval of the mean difference lies inside the margin.

    Args:
        a: Values of one method, shape ``(S,)``.
        b: Values of the other on the same seeds, shape ``(S,)``.
        margin: Largest mean difference that counts as none, above 0, in the unit of the values.

    Returns:
        The larger p-value of the two tests. With one seed it is NaN. If all differences are the same, it is 0 inside
        the margin and 1 elsewhere.

    Raises:
        InputError: If the shapes are not ``(S,)``, a value is not finite or ``margin`` is not above 0.

    Reference:
        Schuirmann, "A comparison of the two one-sided tests procedure and the power approach", 1987.

    Example:
        >>> a, b = [0.82, 0.84, 0.83, 0.85, 0.86], [0.83, 0.83, 0.84, 0.84, 0.86]
        >>> p_equivalence(a, b, margin=0.02) < 0.05, p_equivalence(a, b, margin=0.005) < 0.05
        (True, False)
    """
    if not 0 < margin < np.inf:
        raise InputError(f"Expected `margin` to be above 0 and finite, but got {margin}.")
    d = differences(a, b)
    if len(d) == 1:
        return nan
    if (d == d[0]).all():
        return 0.0 if abs(d[0]) < margin else 1.0
    return float(ttost_paired(d, np.zeros_like(d), -margin, margin)[0])


def seeds_needed(sd: float, delta: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Number of paired seeds with which the two-sided paired t test finds a difference.

    The power comes from the noncentral t distribution, and only a significant difference in the true direction counts.
    The formula of textbooks, ``((z_{1-alpha/2} + z_power) sd / delta)**2 + 1``, is its normal approximation. The
    formula gives about one seed less: 7, 14 and 51 in the example.

    Args:
        sd: Standard deviation of the paired differences, above 0.
        delta: Mean difference to be found, above 0, in the same unit.
        power: Probability to find it.
        alpha: Level of the test.

    Returns:
        The smallest number of seeds with at least this power, at least 2.

    Raises:
        InputError: If ``sd`` or ``delta`` is not above 0, or ``power`` or ``alpha`` not in (0, 1).

    Example:
        >>> [seeds_needed(sd=0.25, delta=delta) for delta in (0.3, 0.2, 0.1)]
        [8, 15, 52]
    """
    for name, value in (("sd", sd), ("delta", delta)):
        if not 0 < value < np.inf:
            raise InputError(f"Expected `{name}` to be above 0 and finite, but got {value}.")
    check_share(power, "power")
    check_share(alpha, "alpha")

    def enough(num_seeds: int) -> bool:
        # the other tail, of almost no probability, is NaN in SciPy for large effects
        return bool(TTestPower().power(delta / sd, num_seeds, alpha / 2, alternative="larger") >= power)

    too_few, most = 1, 2
    while not enough(most):
        too_few, most = most, 2 * most
    while most - too_few > 1:
        middle = (too_few + most) // 2
        too_few, most = (too_few, middle) if enough(middle) else (middle, most)
    return most


def _scale(a: ArrayLike, b: ArrayLike) -> float:
    """The largest magnitude of either."""
    return float(max(np.abs(a).max(), np.abs(b).max()))


def _interval(difference: Floats, level: float) -> tuple[float, float]:
    """The t interval of the mean of at least 2 differences."""
    mean = float(difference.mean())
    half = float(stats.t.ppf((1 + level) / 2, len(difference) - 1) * standard_error(difference))
    return mean - half, mean + half
