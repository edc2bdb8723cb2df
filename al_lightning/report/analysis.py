"""Analysis: all tables of a report."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, product
from math import nan

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from al_lightning.errors import InputError
from al_lightning.report.baseline import find_baseline
from al_lightning.report.calibration import calibration_table, notes_on_calibration
from al_lightning.report.endpoints import endpoint_table, primary_rounds
from al_lightning.report.findings import findings
from al_lightning.report.logged import diagnostic_table, metric_table
from al_lightning.report.machines import machine_table
from al_lightning.report.people import asked_table, class_table
from al_lightning.report.read_run import Run
from al_lightning.report.stats.collapsed_fits import FALL, falls, median_around
from al_lightning.report.stats.curves import pointwise_band, simultaneous_band
from al_lightning.report.stats.efficiency import label_efficiency
from al_lightning.report.stats.penalty import penalty_matrix
from al_lightning.report.stats.queries import ClassBalance, capped_share, class_balance, overlap
from al_lightning.report.study import Study

TARGETS = (2_500, 5_000, 10_000)
"""Labels of the baseline. Its accuracies with them are the targets of the label efficiency."""
EFFICIENCY = [
    *("arm", "target_labels", "target_accuracy", "baseline_labels", "labels"),
    *("ratio", "low", "high", "censored", "at_once", "bound"),
]
"""Columns of :attr:`Analysis.efficiency`."""
UNEQUAL_CAPS = 10
"""The report has a note if arms differ by this many percent in their shares of fits cut short."""


@dataclass(frozen=True)
class Analysis:
    """Tables about a study of K arms, S seeds and R rounds. An unknown value is NaN.

    Runs without a test set have no ``bands`` and no rows in the tables of accuracies.
    """

    study: Study
    baseline: str
    """The arm that the others are compared with."""
    notes: tuple[str, ...]
    """Sentences that readers need beside the tables: about runs left out, fits cut short and fits that fell."""
    findings: tuple[str, ...]
    """What came out, in sentences: see :mod:`~al_lightning.report.findings`."""
    bands: Mapping[str, pd.DataFrame]
    """By arm, one row a round. ``num_labeled, mean, low, high`` are of the test accuracy: pointwise 95 % intervals.
    ``difference, difference_low, difference_high`` are of the paired difference to the baseline, pointwise too.
    ``simultaneous_low, simultaneous_high`` is the band of the difference that holds at all rounds together."""
    endpoints: pd.DataFrame
    """One row an arm and endpoint, or further metric: ``arm, endpoint, mean, low, high, difference, difference_low,
    difference_high, p, p_holm, p_sign_flip, p_same, seeds_needed, best``. The difference is to the baseline. ``p_same``
    is small if the difference is shown to be within ``MARGIN``. ``seeds_needed`` would find a true difference as large
    as the one seen in 80 % of studies. ``best`` is the share of resamples of the seeds in which the arm has the top
    mean. It is NaN for a further metric, because a higher value may be worse."""
    efficiency: pd.DataFrame
    """One row an arm and target: ``arm, target_labels, target_accuracy, baseline_labels, labels, ratio, low, high,
    censored, at_once, bound``. The target is the accuracy of the baseline with ``target_labels``. The baseline needs
    ``baseline_labels`` for it, which are fewer where its curve is flat, and the arm needs ``labels``. ``ratio`` is the
    former over the latter. ``censored``: the arm does not reach the target, so it needs more labels. ``at_once``: its
    first round reaches the target, so it may need fewer. ``bound`` is ``at most`` or ``at least`` if the ratio is a
    bound, and else empty."""
    penalty: pd.DataFrame
    """Pairwise penalty matrix: the share of budgets at which the arm of the row beats the arm of the column."""
    overlap: pd.DataFrame
    """Share of the labels that two arms have both bought by the last common round, mean over the seeds."""
    balance: pd.DataFrame
    """One row an arm and round: ``arm, num_labeled, entropy, least, most``, means over the seeds. ``entropy`` is of the
    classes of the labels bought, in [0, 1]. ``least`` and ``most`` are shares of the rarest and most frequent class."""
    calibration: pd.DataFrame
    """One row an arm, round of interest and bin: ``arm, num_labeled, bin, count, confidence, accuracy``."""
    cost: pd.DataFrame
    """One row an arm: ``arm, fit, score, select, test, total, capped``. The parts are median seconds of a round,
    ``total`` is hours of a run. ``capped`` is the share of rounds that ended at the cap of epochs."""
    diagnostics: pd.DataFrame
    """One row an arm, diagnostic and round: ``arm, num_labeled, name, mean, low, high``."""
    metrics: pd.DataFrame
    """One row an arm, further metric of rounds.csv and round, with the same columns."""
    falls: pd.DataFrame
    """One row a fit that fell far below the fits around it: ``arm, seed, num_labeled, accuracy, around``. ``around`` is
    the running median of :mod:`~al_lightning.report.stats.collapsed_fits`."""
    asked: pd.DataFrame
    """One row a round of each run with people: ``arm, seed, round, num_labeled, asked, labeled, skipped, agreed,
    agreed_low, agreed_high, corrected, test_acc, fit, score, select, test``. ``agreed`` is the share of the labels of
    today that the model had predicted, with Wilson's 95 % interval. ``corrected`` counts the answers of the round that
    were corrected later. The parts are seconds of the fit with these labels."""
    classes: pd.DataFrame
    """One row a class of each run with people: ``arm, seed, name, labels, share``."""
    machines: pd.DataFrame
    """One row for each set of versions and hardware, with the rounds that they made."""


def analyse(study: Study, baseline: str | None = None) -> Analysis:
    """Computes the tables.

    Args:
        study: The runs.
        baseline: The arm to compare with, by default that of
            :func:`~al_lightning.report.baseline.find_baseline`.

    Raises:
        InputError: If there is no such arm.
    """
    if baseline is None:
        baseline = find_baseline(study)
    if baseline not in study.arms:
        raise InputError(f"Expected the baseline to be one of {', '.join(study.arms)}, but got `{baseline}`.")
    endpoints, asked = endpoint_table(study, baseline), asked_table(study)
    return Analysis(
        study=study,
        baseline=baseline,
        notes=(*study.notes, *_notes_on_caps(study), *_notes_on_falls(study), *notes_on_calibration(study)),
        findings=findings(study, baseline, endpoints, asked),
        bands={arm: _bands(study, arm, baseline) for arm in study.arms} if study.is_tested else {},
        endpoints=endpoints,
        efficiency=_efficiency(study, baseline),
        penalty=_penalty(study),
        overlap=_overlap(study),
        balance=_balance(study),
        calibration=calibration_table(study),
        cost=_cost(study),
        diagnostics=diagnostic_table(study),
        metrics=metric_table(study),
        falls=_falls(study),
        asked=asked,
        classes=class_table(study),
        machines=machine_table(study),
    )


def _notes_on_caps(study: Study) -> list[str]:
    """Says which fits were cut short: they and converged fits differ by more than their queries."""
    chosen = primary_rounds(study)
    shares = {
        arm: round(100 * capped_share(study.curves(arm, "converged")[:, chosen] > 0).mean()) for arm in study.arms
    }
    if max(shares.values()) - min(shares.values()) < UNEQUAL_CAPS:
        return []
    by_share = [
        f"{share} % of {', '.join(arm for arm in study.arms if shares[arm] == share)}"
        for share in sorted(set(shares.values()), reverse=True)
    ]
    return [
        f"Of the fits with {_range(study, chosen)} labels these ended at the cap of epochs, not "
        f"converged: {'; '.join(by_share)}. The effect on the differences is not known."
    ]


def _notes_on_falls(study: Study) -> list[str]:
    """Says which fits fell: a mean counts a failed fit in full."""
    chosen = primary_rounds(study)
    notes = []
    for arm, curves in study.accuracy.items() if study.is_tested else ():
        found = falls(curves)
        if found.any():
            notes.append(
                f"Of the {found.size:,} fits of {arm}, {found.sum()} fell more than {100 * FALL:g} points below the "
                f"fits around them, {found[:, chosen].sum()} of them with {_range(study, chosen)} labels. Means count "
                f"these fits in full; summary.json lists them under falls."
            )
    return notes


def _range(study: Study, chosen: np.ndarray) -> str:
    """Returns the labels of some rounds as text."""
    first, last = (f"{study.num_labeled[r]:,}" for r in (chosen[0], chosen[-1]))
    return f"{first} to {last}"


def _bands(study: Study, arm: str, baseline: str) -> pd.DataFrame:
    curves, others = study.accuracy[arm], study.accuracy[baseline]
    band, difference = pointwise_band(curves).within(0, 1), pointwise_band(curves - others).within(-1, 1)
    together = simultaneous_band(curves, others).within(-1, 1) if len(curves) > 1 else difference
    return pd.DataFrame(
        {
            "num_labeled": study.num_labeled,
            "mean": band.mean,
            "low": band.low,
            "high": band.high,
            "difference": difference.mean,
            "difference_low": difference.low,
            "difference_high": difference.high,
            "simultaneous_low": together.low,
            "simultaneous_high": together.high,
        }
    )


def _efficiency(study: Study, baseline: str) -> pd.DataFrame:
    labels, random = study.num_labeled, study.accuracy[baseline]
    targets = [n for n in TARGETS if n in labels] or [int(labels[-1])]
    if len(labels) == 1 or not study.is_tested:  # one round does not tell how many labels a target takes
        return pd.DataFrame(columns=EFFICIENCY)
    rising = isotonic_regression(random.mean(axis=0)).x  # a spike as a target might never be reached again
    rows = []
    for arm, n in product(study.arms, targets):
        target = float(rising[labels == n][0])
        found = label_efficiency(labels, study.accuracy[arm], random, target)
        rows.append(
            {
                "arm": arm,
                "target_labels": n,
                "target_accuracy": target,
                "baseline_labels": found.random.labels,
                "labels": found.strategy.labels,
                "ratio": found.ratio,
                "low": found.low,
                "high": found.high,
                "censored": found.strategy.censored,
                "at_once": found.strategy.at_once,
                "bound": found.bound or "",
            }
        )
    return pd.DataFrame(rows, columns=EFFICIENCY)


def _penalty(study: Study) -> pd.DataFrame:
    if len(study.seeds) > 1 and study.is_tested:
        return penalty_matrix(study.num_labeled, study.accuracy)
    return pd.DataFrame(nan, index=study.arms, columns=study.arms)  # one seed shows nothing


def bought(run: Run, study: Study) -> np.ndarray:
    """Returns the training-set indices of the last common round, in the order bought."""
    return run.queries["index"][run.queries["round"] < study.num_rounds].to_numpy(int)


def _overlap(study: Study) -> pd.DataFrame:
    table = pd.DataFrame(1.0, index=study.arms, columns=study.arms)
    for a, b in combinations(study.arms, 2):
        pairs = zip(study.runs[a], study.runs[b], strict=True)
        shares = [_shared(x, y, study) for x, y in pairs]
        table.loc[a, b] = table.loc[b, a] = float(np.mean(shares))
    return table


def _shared(run: Run, other: Run, study: Study) -> float:
    """Share of the labels after the initial set that two runs have both bought; NaN if there are none."""
    first = int((run.queries["round"] == 0).sum())
    a, b = bought(run, study), bought(other, study)
    last = min(len(a), len(b))  # corrections may have made it fewer in one
    return float(overlap(a, b, [last], first)[0]) if last > first else nan


def _balance(study: Study) -> pd.DataFrame:
    labels = [int(label) for run in study.all_runs for label in run.queries["label"].unique()]
    num_classes = 1 + max([1, *labels])
    tables = []
    for arm, runs in study.runs.items():
        found = [_balance_of(run, num_classes, study.num_rounds) for run in runs]
        shares = np.mean([balance.shares for balance in found], axis=0)  # (R, C)
        columns = {
            "entropy": np.mean([balance.entropy for balance in found], axis=0),
            "least": shares.min(axis=1),
            "most": shares.max(axis=1),
        }
        tables.append(pd.DataFrame({"arm": arm, "num_labeled": study.num_labeled, **columns}))
    return pd.concat(tables, ignore_index=True)


def _balance_of(run: Run, num_classes: int, num_rounds: int) -> ClassBalance:
    """Returns the classes of the labels by round. People may skip a whole query, so that a round adds none."""
    if run.queries.empty:  # all labels were corrected to skips
        return ClassBalance(np.full((num_rounds, num_classes), nan), np.full(num_rounds, nan))
    by_round = np.searchsorted(run.queries["round"].to_numpy(int), np.arange(num_rounds), side="right")
    budgets, rounds = np.unique(np.maximum(by_round, 1), return_inverse=True)
    found = class_balance(run.queries["label"].to_numpy(int), num_classes, budgets)
    return ClassBalance(found.shares[rounds], found.entropy[rounds])


def _falls(study: Study) -> pd.DataFrame:
    rows = []
    for arm, curves in study.accuracy.items() if study.is_tested else ():
        around = median_around(curves)
        for s, r in np.argwhere(falls(curves)):
            rows.append((arm, study.seeds[s], int(study.num_labeled[r]), curves[s, r], around[s, r]))
    return pd.DataFrame(rows, columns=["arm", "seed", "num_labeled", "accuracy", "around"])


def _cost(study: Study) -> pd.DataFrame:
    rows = []
    for arm in study.arms:
        parts = {part: study.curves(arm, f"seconds_{part}") for part in ("fit", "score", "select", "test")}
        rows.append(
            {
                "arm": arm,
                **{part: float(np.median(seconds)) for part, seconds in parts.items()},
                "total": float(np.sum(list(parts.values()), axis=(0, 2)).mean()) / 3600,
                "capped": float(capped_share(study.curves(arm, "converged") > 0).mean()),
            }
        )
    return pd.DataFrame(rows)
