"""Label efficiency: how many labels random sampling needs for one of a strategy."""

from dataclasses import dataclass
from functools import lru_cache
from math import inf, isnan, nan
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from al_lightning.errors import InputError
from al_lightning.report.stats.checks import Floats, check_num_labeled, check_share, check_values

ROUNDING = 1e-9
"""Tolerance of accuracies. Where a curve is flat at the target, rounding must not decide where it gets there."""


class LabelsToReach(NamedTuple):
    """Number of labels with which a curve reaches a target.

    Attributes:
        labels: The number; the last label count if the target is not reached.
        censored: Whether it is not reached, so that more labels than these are needed.
        at_once: Whether the first round reaches it, so that fewer labels than these may be enough.
    """

    labels: float
    censored: bool
    at_once: bool


@dataclass(frozen=True)
class LabelEfficiency:
    """Labels of random sampling over labels of a strategy, at a target accuracy.

    Attributes:
        ratio: The label efficiency, above 1 if the strategy saves labels. It may be a bound, see :attr:`bound`. It is
            NaN if both reach the target at once, or neither reaches it.
        low: Lower end of the bootstrap interval, NaN with one seed.
        high: Upper end. It is infinite if random sampling misses the target, or the strategy has it at once, in too
            many resamples.
        strategy: Labels of the strategy.
        random: Labels of random sampling.
    """

    ratio: float
    low: float
    high: float
    strategy: LabelsToReach
    random: LabelsToReach

    @property
    def bound(self) -> str | None:
        """``at most`` or ``at least`` if the ratio is a bound of the efficiency, which may be less, or more."""
        least, most = _range(self.strategy, self.random)
        if least == most or isnan(self.ratio):
            return None
        return "at most" if least == 0 else "at least"


def label_efficiency(
    num_labeled: ArrayLike,
    strategy: ArrayLike,
    random: ArrayLike,
    target: float,
    num_resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> LabelEfficiency:
    """Label efficiency of a strategy at a target accuracy, with a percentile bootstrap over paired seeds.

    Fix the target beforehand, such as the accuracy of random sampling with 10,000 labels: the largest efficiency of all
    targets is biased upwards. The interval takes the target as known.

    A resample may only bound the efficiency. The ratio of the label counts is a lower bound if random sampling
    misses the target, or the strategy has it in the first round. In the reverse case it is an upper bound. The
    interval takes the lowest and the highest efficiency that each resample allows, so that censoring never shortens it.

    Args:
        num_labeled: Label counts, shape ``(R,)``, strictly ascending.
        strategy: Curves of the strategy, shape ``(S, R)``.
        random: Curves of random sampling on the same seeds and rounds, shape ``(S, R)``.
        target: Accuracy to be reached.
        num_resamples: Number of resamples of the seeds.
        seed: Seed of the resampling.
        level: Level of the interval.

    Returns:
        The efficiency, its interval, and the labels of both with whether they are censored.

    Raises:
        InputError: If the shapes are not ``(S, R)``, the counts are not ascending, a value is not finite, there is no
            resample or ``level`` is not in (0, 1).

    Example:
        >>> random = np.array([[0.5, 0.6, 0.7, 0.8], [0.5, 0.6, 0.7, 0.8]])
        >>> strategy = np.array([[0.5, 0.7, 0.8, 0.8], [0.5, 0.7, 0.8, 0.8]])
        >>> label_efficiency([100, 200, 300, 400], strategy, random, target=0.7).ratio
        1.5
    """
    check_share(level, "level")
    strategy, random = check_values(strategy, "strategy", 2), check_values(random, "random", 2)
    if strategy.shape != random.shape:
        raise InputError(
            f"Expected `random` to be of the shape of `strategy`, {strategy.shape}, but got {random.shape}."
        )
    if num_resamples < 1:
        raise InputError(f"Expected `num_resamples` to be at least 1, but got {num_resamples}.")
    num_seeds, num_rounds = strategy.shape
    labels, target = check_num_labeled(num_labeled, num_rounds), _check_target(target)

    fits = np.array([isotonic_regression(curves.mean(axis=0)).x for curves in (strategy, random)])
    of_strategy, of_random = _labels_to_reach(labels, fits, target)
    low = high = nan
    if num_seeds > 1:
        low, high = _interval(labels, strategy, random, target, num_resamples, seed, level)
    least, most = _range(of_strategy, of_random)
    ratio = nan if (least, most) == (0, inf) else of_random.labels / of_strategy.labels
    return LabelEfficiency(ratio, low, high, of_strategy, of_random)


def _interval(
    labels: Floats, strategy: Floats, random: Floats, target: float, num_resamples: int, seed: int, level: float
) -> tuple[float, float]:
    """Percentiles of the lowest and of the highest efficiency that each resample allows."""
    reached = (
        _labels_to_reach(labels, _resampled_fits(curves.tobytes(), len(curves), num_resamples, seed), target)
        for curves in (strategy, random)
    )
    lows, highs = np.array([_range(*both) for both in zip(*reached, strict=True)]).T
    # percentiles that are one of the values: none is between a finite one and infinity
    low = np.quantile(lows, (1 - level) / 2, method="lower")
    return float(low), float(np.quantile(highs, (1 + level) / 2, method="higher"))


@lru_cache(maxsize=8)  # a report asks for several targets, and for the baseline with each arm
def _resampled_fits(curves: bytes, num_seeds: int, num_resamples: int, seed: int) -> Floats:
    """Monotone fits of the mean curves of resamples of the seeds, ``(num_resamples, R)``.

    Args:
        curves: Bytes of the curves, ``(S, R)``.
        num_seeds: S.
        num_resamples: Number of resamples.
        seed: Seed of the resampling, which is the same for all curves: resamples are paired.
    """
    values = np.frombuffer(curves).reshape(num_seeds, -1)
    counts = np.random.default_rng(seed).multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=num_resamples)
    return np.array([isotonic_regression(curve).x for curve in counts @ values / num_seeds])


def _range(strategy: LabelsToReach, random: LabelsToReach) -> tuple[float, float]:
    """The lowest and the highest efficiency that the labels of both allow."""
    ratio = random.labels / strategy.labels
    least = 0.0 if strategy.censored or random.at_once else ratio
    return least, inf if random.censored or strategy.at_once else ratio


def _labels_to_reach(labels: Floats, fits: Floats, target: float) -> list[LabelsToReach]:
    """Returns the smallest number of labels with which each of B monotone fits, ``(B, R)``, reaches a target.

    A fit is the closest ascending curve in least squares (pool adjacent violators), linear between label counts.
    Without the fit, the first round that is above the target by chance would decide.

    Reference:
        Beck, Sivasubramanian, Dani, Ramakrishnan and Iyer, "Effective Evaluation of Deep Active Learning on Image
        Classification Tasks", 2021.
    """
    found = []
    for fit, reached in zip(fits, (fits < target - ROUNDING).sum(axis=1).tolist(), strict=True):
        if reached == len(fit):
            found.append(LabelsToReach(float(labels[-1]), True, False))
        elif reached == 0:
            found.append(LabelsToReach(float(labels[0]), False, True))
        else:
            weight = min((target - fit[reached - 1]) / (fit[reached] - fit[reached - 1]), 1.0)
            number = labels[reached - 1] + weight * (labels[reached] - labels[reached - 1])
            found.append(LabelsToReach(float(number), False, False))
    return found


def _check_target(target: float) -> float:
    """Raises InputError unless the target is finite; returns it."""
    if not np.isfinite(target):
        raise InputError(f"Expected `target` to be finite, but got {target}.")
    return float(target)
