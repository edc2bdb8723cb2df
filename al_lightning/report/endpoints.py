"""Endpoints: the numbers by which a report compares arms, declared before the runs were made."""

from math import nan
from typing import Any

import numpy as np
import pandas as pd

from al_lightning.report.logged import logged_curves, metric_names, range_of
from al_lightning.report.stats.collapsed_fits import falls
from al_lightning.report.stats.curves import aubc, final_accuracy, pointwise_band
from al_lightning.report.stats.multiple import best_probability, holm
from al_lightning.report.stats.paired import contrast, differences, p_equivalence, seeds_needed
from al_lightning.report.study import Study

FINAL = 10_000
"""Labels of the final accuracy, declared beforehand, and the end of the late part of the curves."""
LATE = 8_000
LAST_ROUNDS = 5
MARGIN = 0.003
"""Smaller differences of accuracy have no practical importance."""


COLUMNS = [
    *("arm", "endpoint", "mean", "low", "high", "difference", "difference_low", "difference_high"),
    *("p", "p_holm", "p_sign_flip", "p_same", "seeds_needed", "best"),
]
"""Columns of :attr:`Analysis.endpoints`."""


def endpoint_values(study: Study) -> dict[str, dict[str, np.ndarray]]:
    """Returns the endpoints by name, the primary one first: by arm, a value for each seed, ``(S,)``.

    The primary endpoint is the accuracy with 10,000 labels, or with the last labels of shorter runs. It is the mean of
    the last five rounds up to there. If one of these fits fell, the median of the five is the second endpoint. Then
    come the areas under the learning curve, its early part and its late part, and the accuracy of the last round.
    Without test accuracies there is no endpoint.
    """
    if not study.is_tested:
        return {}
    labels, last = study.num_labeled, int(study.num_labeled[-1])
    final, rounds = _primary(study)
    chosen = primary_rounds(study)
    values = {
        _endpoint("accuracy", study): {
            arm: final_accuracy(labels, curves, at=final, last=rounds) for arm, curves in study.accuracy.items()
        }
    }
    if any(falls(curves)[:, chosen].any() for curves in study.accuracy.values()):
        values[_endpoint("accuracy", study, "median")] = {
            arm: np.median(curves[:, chosen], axis=1) for arm, curves in study.accuracy.items()
        }
    ranges = [("AUBC", int(labels[0]), last), *part_ranges(study)]
    for name, low, high in ranges:
        if low < high:
            values[f"{name} {low:,}-{high:,}"] = {
                arm: aubc(labels, curves, low, high) for arm, curves in study.accuracy.items()
            }
    if rounds > 1 or last != final:
        values[f"last round, {last:,}"] = {arm: curves[:, -1] for arm, curves in study.accuracy.items()}
    return values


def metric_values(study: Study) -> dict[str, dict[str, np.ndarray]]:
    """Returns each further metric by name, then by arm, a value for each seed, ``(S,)``.

    The value is the mean of the rounds of the primary endpoint. Arms without the metric in these rounds are left out.
    """
    chosen = study.num_labeled[primary_rounds(study)]
    values: dict[str, dict[str, np.ndarray]] = {}
    for name in metric_names(study):
        by_arm = {}
        for arm in study.arms:
            labels, curves = logged_curves(study, arm, name)
            if np.isin(chosen, labels).all():
                by_arm[arm] = curves[:, np.isin(labels, chosen)].mean(axis=1)
        if by_arm:
            values[_endpoint(name, study)] = by_arm
    return values


def _endpoint(name: str, study: Study, average: str = "mean") -> str:
    """Returns, for example, ``accuracy, mean of 5 rounds, 9,600 to 10,000 labels``."""
    labels = study.num_labeled[primary_rounds(study)]
    if len(labels) == 1:
        return f"{name} at {labels[0]:,} labels"
    return f"{name}, {average} of {len(labels)} rounds, {labels[0]:,} to {labels[-1]:,} labels"


def _primary(study: Study) -> tuple[int, int]:
    """Returns the labels of the primary endpoint, and the number of rounds that it averages."""
    labels = study.num_labeled
    final = FINAL if FINAL in labels else int(labels[-1])
    return final, min(LAST_ROUNDS, int((labels <= final).sum()))


def primary_rounds(study: Study) -> np.ndarray:
    """Returns the positions of the rounds that the primary endpoint averages."""
    final, rounds = _primary(study)
    return np.flatnonzero(study.num_labeled <= final)[-rounds:]


def part_ranges(study: Study) -> list[tuple[str, int, int]]:
    """Returns the early part of the curves, up to four times the initial labels, and the late part, if covered."""
    first, last = int(study.num_labeled[0]), int(study.num_labeled[-1])
    ranges = [("early AUBC", first, 4 * first), ("late AUBC", LATE, FINAL)]
    return [(name, low, high) for name, low, high in ranges if first <= low and high <= last]


def endpoint_table(study: Study, baseline: str) -> pd.DataFrame:
    """Compares the arms by each endpoint and each further metric: :attr:`Analysis.endpoints`."""
    metrics = metric_values(study)
    rows: list[dict[str, Any]] = []
    for endpoint, by_arm in (endpoint_values(study) | metrics).items():
        best = [nan] * len(by_arm)
        if len(study.seeds) > 1 and endpoint not in metrics:  # a higher value of a metric may be worse
            best = best_probability(np.stack(list(by_arm.values()))).tolist()
        others = [arm for arm in by_arm if arm != baseline and baseline in by_arm]
        contrasts = {arm: contrast(by_arm[arm], by_arm[baseline]) for arm in others}
        adjusted = dict(zip(contrasts, _holm([found.p_t for found in contrasts.values()]), strict=True))
        for (arm, values), probability in zip(by_arm.items(), best, strict=True):
            low, high = range_of(endpoint.split(",")[0].split(" at ")[0]) if endpoint in metrics else (0.0, 1.0)
            band = pointwise_band(values[:, None]).within(low, high)
            found = contrasts.get(arm)
            width = high - low
            rows.append(
                {
                    "arm": arm,
                    "endpoint": endpoint,
                    "mean": band.mean[0],
                    "low": band.low[0],
                    "high": band.high[0],
                    "difference": found.mean if found else nan,
                    "difference_low": max(found.low, -width) if found else nan,
                    "difference_high": min(found.high, width) if found else nan,
                    "p": found.p_t if found else nan,
                    "p_holm": adjusted.get(arm, nan),
                    "p_sign_flip": found.p_sign_flip if found else nan,
                    "p_same": p_equivalence(values, by_arm[baseline], MARGIN) if found else nan,
                    "seeds_needed": seeds_to_resolve(values, by_arm[baseline]) if found else nan,
                    "best": probability,
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def seeds_to_resolve(a: np.ndarray, b: np.ndarray, alpha: float = 0.05) -> float:
    """Returns how many seeds find a true difference as large as the one seen, with 80 % power. NaN without one."""
    gaps = differences(a, b)
    if len(gaps) < 2 or gaps.mean() == 0 or gaps.std() == 0:
        return nan
    return seeds_needed(float(gaps.std(ddof=1)), abs(float(gaps.mean())), alpha=alpha)


def _holm(p: list[float]) -> list[float]:
    return holm(p).tolist() if p and np.isfinite(p).all() else p
