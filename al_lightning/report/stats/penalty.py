"""Pairwise penalty matrix: how often each method beats each other one along the curve."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from al_lightning.errors import InputError
from al_lightning.report.stats.checks import Floats, check_num_labeled, check_share, check_values
from al_lightning.report.stats.paired import differences, t_statistic

SATURATED = 0.99  # of the final accuracy


def penalty_budgets(num_labeled: ArrayLike, random: ArrayLike, query_size: int) -> Floats:
    """Label counts at which methods are compared, ever wider apart, until random sampling saturates.

    They are n0 and n0 + query_size * 2^m, m = 0, 1, ..., before the first round at which the mean accuracy of random
    sampling reaches 99 % of that of its last round. The initial one, at which methods that share it cannot differ, is
    one of them, as in the authors' code.

    Args:
        num_labeled: Label counts, shape ``(R,)``, strictly ascending.
        random: Curves of random sampling, shape ``(S, R)``.
        query_size: Number of queries of a round, at least 1.

    Returns:
        Label counts, shape ``(Q,)``, at least the initial one.

    Raises:
        InputError: If the counts are not ascending or not of the curves, one of the budgets is not among them, or a
            value is not finite.

    Reference:
        Ash, Zhang, Krishnamurthy, Langford and Agarwal, "Deep Batch Active Learning by Diverse, Uncertain Gradient
        Lower Bounds", ICLR 2020.

    Example:
        >>> penalty_budgets([500, 600, 700, 800, 900], [[0.5, 0.6, 0.7, 0.75, 0.8]], 100).tolist()
        [500.0, 600.0, 700.0]
    """
    curves = check_values(random, "random", 2)
    labels = check_num_labeled(num_labeled, curves.shape[1])
    if query_size < 1:
        raise InputError(f"Expected `query_size` to be at least 1, but got {query_size}.")
    mean = curves.mean(axis=0)
    (saturated,) = np.nonzero(mean >= SATURATED * mean[-1])
    end = labels[saturated[0]]
    num_doublings = int(np.log2(max(end - labels[0], 1))) + 2  # enough to pass the end
    budgets = labels[0] + np.concatenate([[0], query_size * 2.0 ** np.arange(num_doublings)])
    return _check_budgets(budgets[(budgets < end) | (budgets == labels[0])], labels)


def penalty_matrix(
    num_labeled: ArrayLike,
    accuracy: Mapping[str, ArrayLike],
    budgets: ArrayLike | None = None,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Share of budgets at which the method of a row beats that of a column.

    It beats it where its mean accuracy is higher and the two-sided paired t test is significant. The mean of a column,
    its own zero included, says how often that method is beaten: lower is better.

    Nothing is adjusted for the number of tests, so that some entries are above 0 by chance alone, and budgets are
    correlated: this describes, and does not prove.

    Args:
        num_labeled: Label counts, shape ``(R,)``, strictly ascending.
        accuracy: Curves of each method, shape ``(S, R)``, by name; row s is of the same seed in all of them.
        budgets: Label counts to compare at, by default all; those of the paper are :func:`penalty_budgets`.
        alpha: Level of each test.

    Returns:
        Matrix with methods as its index and as its columns, entries in [0, 1], zeros in the diagonal.

    Raises:
        InputError: If there is no method or only one seed, the shapes are not the same, the counts are not ascending,
            a budget is not one of them, or a value is not finite.

    Reference:
        Ash, Zhang, Krishnamurthy, Langford and Agarwal, "Deep Batch Active Learning by Diverse, Uncertain Gradient
        Lower Bounds", ICLR 2020.

    Example:
        >>> curves = {"good": [[0.5, 0.8], [0.5, 0.9]], "bad": [[0.5, 0.6], [0.5, 0.7]]}
        >>> penalty_matrix([500, 600], curves)
              good  bad
        good   0.0  0.5
        bad    0.0  0.0
    """
    check_share(alpha, "alpha")
    if not accuracy:
        raise InputError("Expected `accuracy` to be of at least one method, but got none.")
    curves = {name: check_values(values, name, 2) for name, values in accuracy.items()}
    num_seeds, num_rounds = next(iter(curves.values())).shape
    if num_seeds == 1:
        raise InputError("Expected `accuracy` to be of at least 2 seeds, but got 1.")
    labels = check_num_labeled(num_labeled, num_rounds)
    chosen = labels if budgets is None else _check_budgets(check_values(budgets, "budgets", 1), labels)
    rounds = np.searchsorted(labels, chosen)
    critical = stats.t.ppf(1 - alpha / 2, num_seeds - 1)
    wins = [
        [float((t_statistic(differences(a, b, num_dims=2))[rounds] > critical).mean()) for b in curves.values()]
        for a in curves.values()
    ]
    return pd.DataFrame(wins, index=list(curves), columns=list(curves))


def _check_budgets(budgets: Floats, labels: Floats) -> Floats:
    """Raises InputError unless each budget is one of the label counts; returns them."""
    missing = budgets[~np.isin(budgets, labels)]
    if len(missing):
        raise InputError(f"Expected budgets to be label counts of rounds, but got {missing[0]:g}.")
    return budgets
