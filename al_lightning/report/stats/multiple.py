"""More than two methods, or more than one test."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from al_lightning.errors import InputError
from al_lightning.report.stats.checks import Floats, check_values
from al_lightning.report.stats.exact_sums import largest_tie, to_grid
from al_lightning.report.stats.paired import contrast


def holm(p: ArrayLike) -> Floats:
    """Adjusts p-values for the number of tests by Holm's step-down method.

    Tests with an adjusted p-value below alpha may be called significant together. The probability of a false one among
    them is at most alpha, however the tests depend on each other.

    Args:
        p: p-values, shape ``(M,)``.

    Returns:
        Adjusted p-values in the order given, shape ``(M,)``, each at least the raw one and at most 1.

    Raises:
        InputError: If there is none, or one is not in [0, 1].

    Reference:
        Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    raw = check_values(p, "p", 1)
    if raw.min() < 0 or raw.max() > 1:
        raise InputError(f"Expected `p` to be in [0, 1], but got {raw.tolist()}.")
    order = np.argsort(raw)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1)), 1)
    return adjusted


def p_beats_all(values: ArrayLike, others: Mapping[str, ArrayLike]) -> float:
    """Tests the claim that a method is better than all others: an intersection-union test.

    The claim needs all one-sided paired t tests, so that their number needs no correction. The claim that a method is
    better than some other method does need it, see :func:`holm`.

    Args:
        values: Values of the method, higher is better, shape ``(S,)``.
        others: Values of the others on the same seeds, each of shape ``(S,)``, by name.

    Returns:
        The largest of the one-sided p-values, NaN with one seed.

    Raises:
        InputError: If there are no others, a shape is not ``(S,)`` or a value is not finite.

    Reference:
        Berger, "Multiparameter Hypothesis Testing and Acceptance Sampling", 1982.

    Example:
        >>> others = {"margin": [0.80, 0.81, 0.80], "random": [0.70, 0.72, 0.73]}
        >>> p_beats_all([0.83, 0.84, 0.85], others) < 0.05
        True
    """
    if not others:
        raise InputError("Expected `others` to be at least one method, but got none.")
    return float(np.max([contrast(values, other, alternative="greater").p_t for other in others.values()]))


def best_probability(values: ArrayLike, num_resamples: int = 10_000, seed: int = 0) -> Floats:
    """How often each method has the highest mean, when seeds are resampled.

    The bootstrap is paired: a resample takes whole seeds, with all methods. Unlike a star at the highest mean, the
    result shows how close the second was. It is a share of resamples, not a posterior probability.

    Args:
        values: Values, higher is better, shape ``(K, S)``, K methods on the same S seeds.
        num_resamples: Number of resamples.
        seed: Seed of the resampling.

    Returns:
        Shares of the resamples, shape ``(K,)``, that sum to 1; methods that tie share a resample equally.

    Raises:
        InputError: If the shape is not ``(K, S)``, a value is not finite or there is no resample.

    Example:
        >>> best_probability([[0.8, 0.9], [0.8, 0.9], [0.7, 0.6]]).tolist()
        [0.5, 0.5, 0.0]
    """
    values = check_values(values, "values", 2)
    if num_resamples < 1:
        raise InputError(f"Expected `num_resamples` to be at least 1, but got {num_resamples}.")
    num_seeds = values.shape[1]
    counts = np.random.default_rng(seed).multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=num_resamples)
    scale = float(np.abs(values).max())
    sums = to_grid(values, scale) @ counts.T  # (K, num_resamples)
    best = sums >= sums.max(axis=0) - largest_tie(num_seeds, scale)
    return np.asarray((best / best.sum(axis=0)).mean(axis=1))
