"""Analysis: all that a report says of a study, as tables."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from al_lightning.study.runs import Study


@dataclass(frozen=True)
class Analysis:
    """Tables about a study of K arms, S seeds and R rounds. A value that cannot be had is NaN."""

    study: Study
    baseline: str
    """The arm that the others are compared with."""
    bands: Mapping[str, pd.DataFrame]
    """By arm, one row a round: ``num_labeled, mean, low, high`` of the test accuracy (pointwise 95 % t intervals), and
    of the paired difference to the baseline ``difference``, ``difference_low`` and ``difference_high`` (pointwise) and
    ``simultaneous_low`` and ``simultaneous_high``."""
    endpoints: pd.DataFrame
    """One row an arm and endpoint: ``arm, endpoint, mean, low, high, difference, difference_low, difference_high, p,
    p_holm, p_sign_flip, best``: the difference is to the baseline; ``best`` is the probability of the top mean."""
    efficiency: pd.DataFrame
    """One row an arm and target: ``arm, target_labels, target_accuracy, labels, ratio, low, high, censored``."""
    penalty: pd.DataFrame
    """Pairwise penalty matrix: the share of budgets at which the row's arm beats the column's."""
    overlap: pd.DataFrame
    """Mean share of the labels bought by the last common round that two arms have in common."""
    balance: pd.DataFrame
    """One row an arm and round: ``arm, num_labeled, entropy`` of the classes of the labels bought, in [0, 1]."""
    calibration: pd.DataFrame
    """One row an arm, round of interest and bin: ``arm, num_labeled, bin, count, confidence, accuracy``."""
    cost: pd.DataFrame
    """One row an arm: ``arm, fit, score, select, test``, median seconds of a round, ``total`` hours of a run, and
    ``capped``, the share of rounds that hit the cap of epochs."""
    diagnostics: pd.DataFrame
    """One row an arm, round and figure: ``arm, num_labeled, name, mean, low, high``."""
