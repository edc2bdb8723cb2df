"""Queries: how much two runs overlap, which classes they bought, and whether their fits converged."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from al_lightning.errors import InputError
from al_lightning.report.stats.checks import Floats, check_num_labeled


@dataclass(frozen=True)
class ClassBalance:
    """Classes of the labels bought, at each of Q budgets.

    Attributes:
        shares: Share of each class, shape ``(Q, C)``.
        entropy: Entropy of the shares over its maximum, log C, shape ``(Q,)``: 1 if all classes are as frequent, 0 if
            there is but one.
    """

    shares: Floats
    entropy: Floats


def overlap(a: ArrayLike, b: ArrayLike, num_labeled: ArrayLike, num_initial: int) -> Floats:
    """Share of the labels that two runs with the same initial set both bought by each of Q budgets.

    Args:
        a: Training-set indices in the order bought by one run, the initial set first, int, shape ``(N,)``.
        b: The indices of the other run, shape ``(M,)``.
        num_labeled: Budgets, numbers of labels with the initial set, strictly ascending, shape ``(Q,)``.
        num_initial: Size of the initial set, which is left out: it is the same by design.

    Returns:
        Size of the intersection over the number that each run bought, in [0, 1], shape ``(Q,)``. The share is NaN at a
        budget at which only the initial set was bought.

    Raises:
        InputError: If an index repeats, the initial sets differ, or the budgets are not ascending or not within
            ``num_initial`` and the number of labels.

    Example:
        >>> overlap([7, 1, 2, 3, 4], [7, 1, 4, 3, 5], num_labeled=[3, 5], num_initial=1).tolist()
        [0.5, 0.75]
    """
    a, b = _check_indices(a, "a"), _check_indices(b, "b")
    bought = _check_budgets(num_labeled, num_initial, min(len(a), len(b)))
    if set(a[:num_initial]) != set(b[:num_initial]):
        raise InputError("Expected `a` and `b` to start with the same initial set, but got different ones.")
    _, when_a, when_b = np.intersect1d(a[num_initial:], b[num_initial:], assume_unique=True, return_indices=True)
    common = np.searchsorted(np.sort(np.maximum(when_a, when_b)), bought)  # bought by both before that many queries
    return _ratio(common, bought)


def class_balance(labels: ArrayLike, num_classes: int, num_labeled: ArrayLike) -> ClassBalance:
    """Classes of the labels that were bought by each budget.

    Args:
        labels: Classes in the order bought, int in [0, C), shape ``(N,)``.
        num_classes: Number of classes, C, at least 2.
        num_labeled: Budgets, numbers of labels with the initial set, strictly ascending, shape ``(Q,)``.

    Returns:
        Shares and normalised entropy.

    Raises:
        InputError: If a label is not in [0, C), there are fewer classes than 2, or the budgets are not ascending or are
            above the number of labels.

    Example:
        >>> result = class_balance([0, 0, 1, 1], 2, num_labeled=[2, 4])
        >>> result.shares.tolist(), result.entropy.tolist()
        ([[1.0, 0.0], [0.5, 0.5]], [0.0, 1.0])
    """
    classes = _check_integers(labels, "labels")
    if num_classes < 2:
        raise InputError(f"Expected `num_classes` to be at least 2, but got {num_classes}.")
    if classes.min() < 0 or classes.max() >= num_classes:
        got = f"{classes.min()} to {classes.max()}"
        raise InputError(f"Expected `labels` to be from 0 to {num_classes - 1}, but got {got}.")
    bought = _check_budgets(num_labeled, 0, len(classes))
    parts = np.split(classes, bought)[:-1]
    counts = np.cumsum([np.bincount(part, minlength=num_classes) for part in parts], axis=0)  # (Q, C)
    shares = _ratio(counts, bought[:, None])
    return ClassBalance(shares, np.asarray(stats.entropy(shares, axis=1) / np.log(num_classes)))


def capped_share(converged: ArrayLike) -> Floats:
    """Share of rounds whose fit ended at the cap of epochs, not converged.

    Args:
        converged: Whether each fit converged, bool, shape ``(..., R)``.

    Returns:
        Array of shape ``(...)``, in [0, 1].

    Raises:
        InputError: If the values are not bool or there is none.

    Example:
        >>> float(capped_share([True, True, False, True]))
        0.25
    """
    flags = np.asarray(converged)
    if flags.dtype != np.bool_ or flags.size == 0:
        raise InputError(f"Expected `converged` to be bool, at least one, but got {flags.dtype} of {flags.shape}.")
    return np.asarray(1 - flags.mean(axis=-1))


def _ratio(part: NDArray[np.number], whole: NDArray[np.number]) -> Floats:
    """Ratio that is NaN, without a warning, where both are 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(part / whole)


def _check_integers(values: ArrayLike, name: str) -> NDArray[np.integer]:
    """Raises InputError unless values are integers, at least one, in one dimension; returns them."""
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"Expected `{name}` to be integers, shape (N,), but got {array.dtype} of {array.shape}.")
    return array


def _check_indices(values: ArrayLike, name: str) -> NDArray[np.integer]:
    """Raises InputError unless values are distinct integers; returns them."""
    array = _check_integers(values, name)
    if len(np.unique(array)) < len(array):
        raise InputError(f"Expected `{name}` to be distinct indices, but got one twice.")
    return array


def _check_budgets(num_labeled: ArrayLike, num_initial: int, num_all: int) -> NDArray[np.integer]:
    """Raises InputError unless the run bought each budget; returns the numbers of labels after the initial set."""
    budgets = _check_integers(num_labeled, "num_labeled")
    check_num_labeled(budgets, len(budgets))
    if not 0 <= num_initial <= budgets[0] or budgets[-1] > num_all:
        got = f"{budgets[0]} to {budgets[-1]}"
        raise InputError(
            f"Expected `num_labeled` to be from `num_initial`, {num_initial}, to {num_all}, but got {got}."
        )
    return budgets - num_initial
