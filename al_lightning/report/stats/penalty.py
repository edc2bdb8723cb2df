"""Pairwise penalty matrix: how often each method beats each other one along the curve."""

from collections.abc import Mapping

import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from al_lightning.errors import InputError
from al_lightning.report.stats.checks import check_num_labeled, check_share, check_values
from al_lightning.report.stats.paired import differences, t_statistic


def penalty_matrix(num_labeled: ArrayLike, accuracy: Mapping[str, ArrayLike], alpha: float = 0.05) -> pd.DataFrame:
    """Share of budgets at which the method of a row beats the method of a column.

    A method beats another where its mean accuracy is higher and the two-sided paired t test is significant. The mean of
    a column, with the zero of its diagonal, says how often that method is beaten: lower is better.

    The matrix describes and does not prove. The tests are not adjusted for their number, so that some entries are above
    0 by chance. The budgets are correlated.

    Args:
        num_labeled: Label counts, shape ``(R,)``, strictly ascending.
        accuracy: Curves of each method, shape ``(S, R)``, by name; row s is of the same seed in all of them.
        alpha: Level of each test.

    Returns:
        Matrix with methods as its index and as its columns, entries in [0, 1], zeros in the diagonal.

    Raises:
        InputError: If there is no method or only one seed, the shapes are not the same, the counts are not ascending,
            or a value is not finite.

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
    check_num_labeled(num_labeled, num_rounds)
    critical = stats.t.ppf(1 - alpha / 2, num_seeds - 1)
    wins = [
        [float((t_statistic(differences(a, b, num_dims=2)) > critical).mean()) for b in curves.values()]
        for a in curves.values()
    ]
    return pd.DataFrame(wins, index=list(curves), columns=list(curves))
