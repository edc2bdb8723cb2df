"""Analysis: all that a report says of a study, as tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, product
from math import nan

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from al_lightning.errors import InputError
from al_lightning.report.baseline import find_baseline
from al_lightning.report.read_run import Run
from al_lightning.report.stats.collapsed_fits import FALL, falls, median_around
from al_lightning.report.stats.curves import aubc, final_accuracy, pointwise_band, simultaneous_band
from al_lightning.report.stats.efficiency import label_efficiency
from al_lightning.report.stats.multiple import best_probability, holm
from al_lightning.report.stats.paired import contrast, differences, seeds_needed, tost
from al_lightning.report.stats.penalty import penalty_matrix
from al_lightning.report.stats.queries import capped_share, class_balance, overlap
from al_lightning.report.study import Study

FINAL = 10_000
"""The pre-declared budget of the final accuracy, and the end of the late part of the curves."""
LATE = 8_000
LAST_ROUNDS = 5
MARGIN = 0.003
"""Differences of accuracy up to this are of no practical importance."""
TARGETS = (2_500, 5_000, 10_000)
"""Label efficiency is reported at the accuracies that the baseline has with so many labels."""
EFFICIENCY = [
    *("arm", "target_labels", "target_accuracy", "baseline_labels", "labels"),
    *("ratio", "low", "high", "censored", "at_once", "bound"),
]
"""Columns of :attr:`Analysis.efficiency`."""
UNEQUAL_CAPS = 10
"""Shares of fits cut short, in percent, that differ by so much between arms are worth a note."""


@dataclass(frozen=True)
class Analysis:
    """Tables about a study of K arms, S seeds and R rounds. A value that cannot be had is NaN."""

    study: Study
    baseline: str
    """The arm that the others are compared with."""
    notes: tuple[str, ...]
    """What has to be known beside the figures: the notes of the study, and whether fits of some arms were cut short, or
    fell."""
    bands: Mapping[str, pd.DataFrame]
    """By arm, one row a round: ``num_labeled, mean, low, high`` of the test accuracy (pointwise 95 % t intervals), and
    of the paired difference to the baseline ``difference``, ``difference_low`` and ``difference_high`` (pointwise) and
    ``simultaneous_low`` and ``simultaneous_high``."""
    endpoints: pd.DataFrame
    """One row an arm and endpoint: ``arm, endpoint, mean, low, high, difference, difference_low, difference_high, p,
    p_holm, p_sign_flip, p_same, seeds_needed, best``: the difference is to the baseline; ``p_same`` is small if it is
    shown to be within :data:`MARGIN`; ``seeds_needed`` would find a true difference as large as the one seen in 80 % of
    studies; ``best`` is the share of resamples of the seeds in which the arm has the top mean."""
    efficiency: pd.DataFrame
    """One row an arm and target: ``arm, target_labels, target_accuracy, baseline_labels, labels, ratio, low, high,
    censored, at_once, bound``: the accuracy that the baseline has with ``target_labels``, how many of these it needs
    for it (fewer, if its curve is flat there), how many labels the arm needs, and the former over the latter. Where
    ``censored``, the arm does not get there, and more labels are needed than these; where ``at_once``, it starts there,
    and no more are. ``bound`` is ``at most`` or ``at least`` where the ratio is one, and else empty."""
    penalty: pd.DataFrame
    """Pairwise penalty matrix: the share of budgets at which the row's arm beats the column's."""
    overlap: pd.DataFrame
    """Mean share of the labels bought by the last common round that two arms have in common."""
    balance: pd.DataFrame
    """One row an arm and round: ``arm, num_labeled, entropy`` of the classes of the labels bought, in [0, 1], and
    ``least`` and ``most``, the shares of the rarest and the most frequent class; means over the seeds."""
    calibration: pd.DataFrame
    """One row an arm, round of interest and bin: ``arm, num_labeled, bin, count, confidence, accuracy``."""
    cost: pd.DataFrame
    """One row an arm: ``arm, fit, score, select, test``, median seconds of a round, ``total`` hours of a run, and
    ``capped``, the share of rounds that hit the cap of epochs."""
    diagnostics: pd.DataFrame
    """One row an arm, round and figure: ``arm, num_labeled, name, mean, low, high``."""
    falls: pd.DataFrame
    """One row a fit far below those around it (:mod:`~al_lightning.report.stats.collapsed_fits`): ``arm, seed,
    num_labeled, accuracy, around``, the last the running median."""


def analyse(study: Study, baseline: str | None = None) -> Analysis:
    """Computes the tables.

    Args:
        study: The runs.
        baseline: The arm to compare with: the one whose strategy is Random if not given; see
            :func:`~al_lightning.report.baseline.find_baseline`.

    Raises:
        InputError: If there is no such arm.
    """
    if baseline is None:
        baseline = find_baseline(study)
    if baseline not in study.arms:
        raise InputError(f"Expected the baseline to be one of {', '.join(study.arms)}, but got `{baseline}`.")
    return Analysis(
        study=study,
        baseline=baseline,
        notes=(*study.notes, *_notes_on_caps(study), *_notes_on_falls(study), *_notes_on_calibration(study)),
        bands={arm: _bands(study, arm, baseline) for arm in study.arms},
        endpoints=_endpoints(study, baseline),
        efficiency=_efficiency(study, baseline),
        penalty=_penalty(study),
        overlap=_overlap(study),
        balance=_balance(study),
        calibration=_calibration(study),
        cost=_cost(study),
        diagnostics=_diagnostics(study),
        falls=_falls(study),
    )


def endpoint_values(study: Study) -> dict[str, dict[str, np.ndarray]]:
    """Returns what is compared, primary endpoint first: by name, then by arm, a value for each seed, ``(S,)``.

    The primary one is the accuracy with 10,000 labels, or with as many as there are if these are fewer, as the mean of
    the last five rounds up to there. If some of these fits fell, their median stands beside it. The others are areas
    under the learning curve, all of it and its early and late parts, and the accuracy of the last round.
    """
    labels, last = study.num_labeled, int(study.num_labeled[-1])
    final, rounds = _primary(study)
    chosen = _primary_rounds(study)
    values = {
        f"accuracy at {final:,} labels, mean of {rounds} round{'s' * (rounds != 1)}": {
            arm: final_accuracy(labels, curves, at=final, last=rounds) for arm, curves in study.accuracy.items()
        }
    }
    if any(falls(curves)[:, chosen].any() for curves in study.accuracy.values()):
        values[f"accuracy at {final:,} labels, median of {rounds} rounds"] = {
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


def _primary(study: Study) -> tuple[int, int]:
    """Returns the labels of the primary endpoint, and the number of rounds up to there that it is the mean of."""
    labels = study.num_labeled
    final = FINAL if FINAL in labels else int(labels[-1])
    return final, min(LAST_ROUNDS, int((labels <= final).sum()))


def _primary_rounds(study: Study) -> np.ndarray:
    """Returns which rounds the primary endpoint is the mean of."""
    final, rounds = _primary(study)
    return np.flatnonzero(study.num_labeled <= final)[-rounds:]


def _notes_on_caps(study: Study) -> list[str]:
    """A difference between fits that converged and fits that were cut short is not one of queries alone."""
    chosen = _primary_rounds(study)
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
        f"converged: {'; '.join(by_share)}. What that does to the differences is not known."
    ]


def _notes_on_falls(study: Study) -> list[str]:
    """A mean counts a fit in full that training has failed."""
    chosen = _primary_rounds(study)
    notes = []
    for arm, curves in study.accuracy.items():
        found = falls(curves)
        if found.any():
            notes.append(
                f"Of the {found.size:,} fits of {arm} {found.sum()} fell more than {100 * FALL:g} points below the "
                f"ones around, {found[:, chosen].sum()} of them with {_range(study, chosen)} labels: means count them "
                f"in full. They are listed in summary.json, under falls."
            )
    return notes


def _range(study: Study, chosen: np.ndarray) -> str:
    """Returns the labels of some rounds as text."""
    first, last = (f"{study.num_labeled[r]:,}" for r in (chosen[0], chosen[-1]))
    return f"{first} to {last}"


def part_ranges(study: Study) -> list[tuple[str, int, int]]:
    """Returns the early part of the curves, to four times the initial labels, and the late one, if they are covered."""
    first, last = int(study.num_labeled[0]), int(study.num_labeled[-1])
    ranges = [("early AUBC", first, 4 * first), ("late AUBC", LATE, FINAL)]
    return [(name, low, high) for name, low, high in ranges if first <= low and high <= last]


def _bands(study: Study, arm: str, baseline: str) -> pd.DataFrame:
    curves, others = study.accuracy[arm], study.accuracy[baseline]
    band, difference = pointwise_band(curves), pointwise_band(curves - others)
    together = simultaneous_band(curves, others) if len(curves) > 1 else difference
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


def _endpoints(study: Study, baseline: str) -> pd.DataFrame:
    rows = []
    for endpoint, by_arm in endpoint_values(study).items():
        best = best_probability(np.stack(list(by_arm.values()))) if len(study.seeds) > 1 else [nan] * len(by_arm)
        contrasts = {arm: contrast(values, by_arm[baseline]) for arm, values in by_arm.items() if arm != baseline}
        adjusted = dict(zip(contrasts, _holm([found.p_t for found in contrasts.values()]), strict=True))
        for (arm, values), probability in zip(by_arm.items(), best, strict=True):
            band = pointwise_band(values[:, None])
            found = contrasts.get(arm)
            rows.append(
                {
                    "arm": arm,
                    "endpoint": endpoint,
                    "mean": band.mean[0],
                    "low": band.low[0],
                    "high": band.high[0],
                    "difference": found.mean if found else nan,
                    "difference_low": found.low if found else nan,
                    "difference_high": found.high if found else nan,
                    "p": found.p_t if found else nan,
                    "p_holm": adjusted.get(arm, nan),
                    "p_sign_flip": found.p_sign_flip if found else nan,
                    "p_same": tost(values, by_arm[baseline], MARGIN).p if found else nan,
                    "seeds_needed": seeds_to_resolve(values, by_arm[baseline]),
                    "best": float(probability),
                }
            )
    return pd.DataFrame(rows)


def seeds_to_resolve(a: np.ndarray, b: np.ndarray) -> float:
    """Seeds that find a true difference as large as the one seen, with 80 % power; NaN if none was seen."""
    gaps = differences(a, b)
    if len(gaps) < 2 or gaps.mean() == 0 or gaps.std() == 0:
        return nan
    return seeds_needed(float(gaps.std(ddof=1)), abs(float(gaps.mean())))


def _holm(p: list[float]) -> list[float]:
    return holm(p).tolist() if p and np.isfinite(p).all() else p


def _efficiency(study: Study, baseline: str) -> pd.DataFrame:
    labels, random = study.num_labeled, study.accuracy[baseline]
    targets = [n for n in TARGETS if n in labels] or [int(labels[-1])]
    if len(labels) == 1:  # what is reached at once says nothing of how many labels that takes
        targets = []
    rising = isotonic_regression(random.mean(axis=0)).x  # a target that is a spike is never reached again
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
    if len(study.seeds) > 1:
        return penalty_matrix(study.num_labeled, study.accuracy)
    return pd.DataFrame(nan, index=study.arms, columns=study.arms)  # one seed shows nothing


def bought(run: Run, study: Study) -> np.ndarray:
    """Training-set indices in the order bought, as far as the last common round trains on them."""
    return run.queries["index"].to_numpy(int)[: study.num_labeled[-1]]


def _overlap(study: Study) -> pd.DataFrame:
    table = pd.DataFrame(1.0, index=study.arms, columns=study.arms)
    first, last = int(study.num_labeled[0]), int(study.num_labeled[-1])
    for a, b in combinations(study.arms, 2):
        pairs = zip(study.runs[a], study.runs[b], strict=True)
        shares = [overlap(bought(x, study), bought(y, study), [last], first)[0] for x, y in pairs]
        table.loc[a, b] = table.loc[b, a] = float(np.mean(shares)) if last > first else nan
    return table


def _balance(study: Study) -> pd.DataFrame:
    num_classes = max(2, 1 + max(int(run.queries["label"].max()) for runs in study.runs.values() for run in runs))
    tables = []
    for arm, runs in study.runs.items():
        found = [class_balance(run.queries["label"].to_numpy(int), num_classes, study.num_labeled) for run in runs]
        shares = np.mean([balance.shares for balance in found], axis=0)  # (R, C)
        columns = {
            "entropy": np.mean([balance.entropy for balance in found], axis=0),
            "least": shares.min(axis=1),
            "most": shares.max(axis=1),
        }
        tables.append(pd.DataFrame({"arm": arm, "num_labeled": study.num_labeled, **columns}))
    return pd.concat(tables, ignore_index=True)


def _falls(study: Study) -> pd.DataFrame:
    rows = []
    for arm, curves in study.accuracy.items():
        around = median_around(curves)
        for s, r in np.argwhere(falls(curves)):
            rows.append((arm, study.seeds[s], int(study.num_labeled[r]), curves[s, r], around[s, r]))
    return pd.DataFrame(rows, columns=["arm", "seed", "num_labeled", "accuracy", "around"])


def _calibrated_seeds(study: Study) -> dict[int, list[int]]:
    """The first, the middle and the last common round, and the seeds with bins of it in all arms that have any bins.

    Runs that were begun with an older version have none of their first rounds, or none at all.
    """
    rounds = sorted({0, (study.num_rounds - 1) // 2, study.num_rounds - 1})
    having = {
        (arm, run.seed): set(run.calibration["round"].unique()) for arm, runs in study.runs.items() for run in runs
    }
    arms = [arm for arm in study.arms if any(having[arm, seed] for seed in study.seeds)]
    return {r: [seed for seed in study.seeds if arms and all(r in having[arm, seed] for arm in arms)] for r in rounds}


def _notes_on_calibration(study: Study) -> list[str]:
    """Which seeds the calibration of a round is of, if not of all."""
    if all(run.calibration.empty for runs in study.runs.values() for run in runs):
        return []  # the page says so
    notes = []
    for r, seeds in _calibrated_seeds(study).items():
        if len(seeds) < len(study.seeds):
            whose = f"of seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))} only" if seeds else "left out"
            reason = "no other seed has it" if seeds else "no seed has it"
            notes.append(
                f"Calibration with {study.num_labeled[r]:,} labels is {whose}: {reason} in all arms that have any."
            )
    return notes


def _calibration(study: Study) -> pd.DataFrame:
    """Pools the bins of the first, the middle and the last common round, of the same seeds in all arms."""
    seeds = _calibrated_seeds(study)
    tables = []
    for arm, runs in study.runs.items():
        table = pd.concat(
            [_bins_of(run, [r for r in seeds if run.seed in seeds[r]]) for run in runs], ignore_index=True
        )
        weighted = table[["confidence", "accuracy"]].mul(table["count"], axis=0)
        sums = pd.concat([table[["round", "bin", "count"]], weighted], axis=1).groupby(["round", "bin"]).sum()
        means = sums[["confidence", "accuracy"]].div(sums["count"], axis=0)
        found = pd.concat([sums["count"], means], axis=1).reset_index()
        found.insert(0, "num_labeled", [int(study.num_labeled[int(r)]) for r in found.pop("round")])
        found.insert(0, "arm", arm)
        tables.append(found)
    return pd.concat(tables, ignore_index=True)


def _bins_of(run: Run, rounds: list[int]) -> pd.DataFrame:
    return run.calibration[run.calibration["round"].isin(rounds)]


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


def _diagnostics(study: Study) -> pd.DataFrame:
    tables = []
    for arm, runs in study.runs.items():
        for name in sorted(set().union(*(run.diagnostics["name"] for run in runs))):
            labels, curves = diagnostic_curves(study, arm, name)
            if not len(labels):
                continue
            band = pointwise_band(curves)
            found = {"num_labeled": labels, "name": name, "mean": band.mean, "low": band.low, "high": band.high}
            tables.append(pd.DataFrame({"arm": arm, **found}))
    columns = ["arm", "num_labeled", "name", "mean", "low", "high"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def diagnostic_curves(study: Study, arm: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns a figure that a strategy reports, in the Q rounds in which all seeds have it and it is a number.

    Returns:
        Labels in these rounds, ``(Q,)``, and the figure, ``(S, Q)``.
    """
    columns = [
        run.diagnostics[run.diagnostics["name"] == name].drop_duplicates("round").set_index("round")["value"]
        for run in study.runs[arm]
    ]
    table = pd.concat(columns, axis=1, join="inner").astype(float).sort_index()  # of runs without any it is of objects
    table = table[np.isfinite(table).all(axis=1) & (table.index < study.num_rounds)]
    return study.num_labeled[table.index.to_numpy(int)], table.to_numpy(float).T
