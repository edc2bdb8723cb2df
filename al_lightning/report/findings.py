"""What came out, in plain sentences: who leads and how surely, or that nothing is shown to differ."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from math import isnan

import numpy as np
import pandas as pd

from al_lightning.report.endpoints import endpoint_values, seeds_to_resolve
from al_lightning.report.stats.curves import pointwise_band
from al_lightning.report.stats.multiple import best_probability, holm
from al_lightning.report.stats.paired import contrast
from al_lightning.report.study import Study

ALPHA = 0.05
LEAST_SEEDS = 3
"""With fewer seeds a p-value is worth nothing: two differences say next to nothing about their spread."""
MOST_SEEDS = 1_000
"""More seeds than these are not a plan."""
RANDOM = "al_lightning.Random"


def findings(study: Study, baseline: str, endpoints: pd.DataFrame, asked: pd.DataFrame) -> tuple[str, ...]:
    """Returns the sentences with which a report opens.

    A difference counts as shown if the p-value of the paired t test is below 0.05 after Holm's correction, and there
    are at least three seeds. The leader is chosen by the data. So it is compared under a correction for all pairs of
    arms.

    Args:
        study: The runs.
        baseline: The arm that the others are compared with.
        endpoints: The table :attr:`~al_lightning.report.analysis.Analysis.endpoints`.
        asked: The table :attr:`~al_lightning.report.analysis.Analysis.asked`.
    """
    sentences = list(_of_people(study, asked))
    if study.is_tested:
        sentences += _of_one(study) if len(study.arms) == 1 else _of_accuracy(study, baseline, endpoints)
    return tuple(sentences)


def smallest_p(num_seeds: int) -> float:
    """Returns the smallest p-value of the two-sided sign-flip test: two of the 2^S flips are as extreme as the data.

    Example:
        >>> smallest_p(5), smallest_p(6)
        (0.0625, 0.03125)
    """
    return 2 / 2**num_seeds


def least_seeds(num_tests: int) -> int:
    """Returns the fewest seeds with which the exact sign-flip test of some tests can be below 0.05 by Holm.

    Example:
        >>> least_seeds(1), least_seeds(25)
        (6, 10)
    """
    return next(n for n in range(1, 64) if num_tests * smallest_p(n) < ALPHA)


# --------------------------------------------------------------------------------------------------------- of accuracy


def _of_one(study: Study) -> Iterator[str]:
    """With one arm there is nothing to compare."""
    (arm,) = study.arms
    last = pointwise_band(study.accuracy[arm][:, -1:]).within(0, 1)
    seeds = "one seed" if len(study.seeds) == 1 else f"{len(study.seeds)} seeds"
    interval = "" if isnan(last.low[0]) else f", 95 % interval {last.low[0]:.4f} to {last.high[0]:.4f}"
    yield (
        f"With {study.num_labeled[-1]:,} labels, {arm} has the accuracy {last.mean[0]:.4f} on the test set "
        f"({seeds}{interval})."
    )
    if not study.is_of_people:
        yield "There is one arm: runs of another strategy with the same seeds would tell what its queries are worth."


def _of_accuracy(study: Study, baseline: str, endpoints: pd.DataFrame) -> Iterator[str]:
    """Compares the arms by the primary endpoint."""
    endpoint, values = next(iter(endpoint_values(study).items()))
    num_seeds = len(study.seeds)
    ranking = sorted(values, key=lambda arm: -values[arm].mean())
    leader = ranking[0]
    seeds = "one seed" if num_seeds == 1 else f"{num_seeds} seeds"
    yield f"{leader} has the highest mean, {values[leader].mean():.4f}: {endpoint}; {seeds}."
    last = {arm: float(study.accuracy[arm][:, -1].mean()) for arm in ranking}
    first = max(ranking, key=lambda arm: last[arm])
    if last[first] > last[leader]:  # the rounds before may have decided, above all in short runs
        yield f"With the last labels, {study.num_labeled[-1]:,}, {first} has the highest accuracy, {last[first]:.4f}."
    if num_seeds < LEAST_SEEDS:
        yield from _of_too_few(values, leader, ranking[1], num_seeds)
        return
    pairs = list(combinations(ranking, 2))
    contrasts = {pair: contrast(values[pair[0]], values[pair[1]]) for pair in pairs}
    p = dict(zip(pairs, holm([found.p_t for found in contrasts.values()]).tolist(), strict=True))
    behind = [arm for arm in ranking[1:] if p[leader, arm] < ALPHA]
    level = [arm for arm in ranking[1:] if arm not in behind]
    nearest = contrasts[leader, ranking[1]]
    lead = (
        f"{nearest.mean:.4f} above {ranking[1]} (95 % interval {nearest.low:+.4f} to {nearest.high:+.4f}, Holm's p "
        f"{_p(p[leader, ranking[1]])}, exact p {_p(nearest.p_sign_flip)})"
    )
    if min(p.values()) >= ALPHA:
        yield f"Nothing is shown to differ: {leader} is {lead}. This does not show that the arms are equal."
    elif not level:
        yield f"{leader} is shown to be better than {_all(behind)}: it is {lead}."
    elif behind:
        yield f"{leader} is shown to be better than {_all(behind)}, but not than {_all(level)}: it is {lead}."
    else:
        yield f"{leader} is not shown to be better than any other arm: it is {lead}."
    share = best_probability(np.stack([values[arm] for arm in ranking]))[0]
    yield f"In {100 * share:.0f} % of the resamples of the seeds, {leader} has the highest mean."
    yield from _against(baseline, endpoint, endpoints, ranking)
    if level:
        yield _seeds_needed(values, leader, level[0], len(pairs))
    if num_seeds < least_seeds(len(pairs)):
        yield (
            f"With {num_seeds} seeds the exact sign-flip test cannot go below {smallest_p(num_seeds):.4g}, so the "
            f"verdicts rest on the t test, which assumes normal differences. {least_seeds(len(pairs))} seeds let the "
            f"exact test decide {_pairs(len(pairs))}."
        )


def _of_too_few(values: Mapping[str, np.ndarray], leader: str, second: str, num_seeds: int) -> Iterator[str]:
    """One seed has no test, and the p-values of two are worth nothing."""
    gap = float(values[leader].mean() - values[second].mean())
    words = "one seed shows nothing" if num_seeds == 1 else "p-values of two seeds are worth nothing"
    num_pairs = len(values) * (len(values) - 1) // 2
    yield f"Nothing is shown to differ: {leader} is {gap:.4f} above {second}, but {words}. The lead may be chance."
    yield (
        f"At least {LEAST_SEEDS} seeds tell something, and {least_seeds(num_pairs)} seeds let the exact sign-flip test "
        f"decide {_pairs(num_pairs)}."
    )


def _against(baseline: str, endpoint: str, endpoints: pd.DataFrame, ranking: list[str]) -> Iterator[str]:
    """Compares the arms with the baseline, with the p-values of the table."""
    if len(ranking) < 3:  # the leader's sentence says it
        return
    rows = endpoints[endpoints["endpoint"] == endpoint].set_index("arm").loc[ranking].drop(index=baseline)
    shown = rows["p_holm"] < ALPHA
    parts = {
        "better": rows.index[shown & (rows["difference"] > 0)],
        "worse": rows.index[shown & (rows["difference"] < 0)],
        "not shown to differ": rows.index[~shown],
    }
    listed = "; ".join(f"{word}: {_all(list(arms))}" for word, arms in parts.items() if len(arms))
    yield f"Compared with {baseline}: {listed}."


def _seeds_needed(values: Mapping[str, np.ndarray], leader: str, other: str, num_pairs: int) -> str:
    """Says how many seeds would tell two arms apart, if the difference is as it seems."""
    needed = seeds_to_resolve(values[leader], values[other], ALPHA / num_pairs)
    if isnan(needed):
        return f"{leader} and {other} have the same mean: more seeds are not known to tell them apart."
    number = max(needed, least_seeds(num_pairs))
    about = f"about {number:.0f}" if number <= MOST_SEEDS else f"more than {MOST_SEEDS:,}"
    return (
        f"If the true difference of {leader} and {other} is as large as the one seen, {about} seeds would show it in "
        "four of five studies."
    )


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.3f}"


def _pairs(number: int) -> str:
    return "the comparison" if number == 1 else f"all {number} comparisons"


def _all(names: list[str]) -> str:
    return ", ".join(names)


# ----------------------------------------------------------------------------------------------------------- of people


def _of_people(study: Study, asked: pd.DataFrame) -> Iterator[str]:
    several = len(study.all_runs) > 1
    for run in study.all_runs:
        if not run.is_of_people:
            continue
        rows = asked[(asked["arm"] == run.arm) & (asked["seed"] == run.seed)]
        name = f"{run.arm}, seed {run.seed}" if several else "The run"
        labeled, skipped = int(rows["labeled"].sum()), int(rows["skipped"].sum())
        rounds = len(run.rounds)
        yield (
            f"{name} has {labeled:,} label{'s' * (labeled != 1)} and {rounds} finished round{'s' * (rounds != 1)}"
            f"{f'; people skipped {skipped:,} sample' if skipped else ''}{'s' * (skipped > 1)}."
        )
        corrected = int(rows["corrected"].sum())
        if corrected:
            were = "answers were" if corrected > 1 else "answer was"
            yield f"{corrected:,} {were} corrected later. The classes below are those of today."
        yield from _of_classes(run.queries["label"].to_numpy(int), run.class_names)
        yield from _of_agreement(rows[rows["agreed"].notna()], run.settings.get("loop.strategy") == RANDOM)
        num_open = int(run.asked["label"].isna().sum())
        if num_open:
            are = "questions are" if num_open > 1 else "question is"
            yield f"{num_open} {are} open in round {int(run.asked['round'].max())}: al-lightning label {run.path}"


def _of_classes(labels: np.ndarray, names: tuple[str, ...] | None) -> Iterator[str]:
    """Says which classes are rare."""
    number = np.bincount(labels, minlength=len(names or ())).tolist()
    if len(number) < 2:
        return
    if min(number) == max(number):
        yield f"Each of the {len(number)} classes has {number[0]:,} label{'s' * (number[0] != 1)}."
        return
    least, most = number.index(min(number)), number.index(max(number))
    name = {k: names[k] if names and k < len(names) else str(k) for k in (least, most)}
    yield (
        f"The most frequent class is {name[most]} with {number[most]:,} labels, the rarest is {name[least]} with "
        f"{number[least]:,}."
    )


def _of_agreement(rows: pd.DataFrame, is_random: bool) -> Iterator[str]:
    """Says how often the model predicted the answer."""
    if rows.empty:
        return
    first, last = rows.iloc[0], rows.iloc[-1]
    before = f", after {100 * first['agreed']:.0f} % in round {int(first['round'])}" if len(rows) > 1 else ""
    yield (
        f"The model predicted {100 * last['agreed']:.0f} % of the answers of round {int(last['round'])} (95 % interval "
        f"{100 * last['agreed_low']:.0f} % to {100 * last['agreed_high']:.0f} %){before}."
    )
    if is_random:
        yield "The samples were drawn at random, so this share estimates the accuracy on the pool."
    else:
        yield "The strategy asks for samples that are hard for the model, so this share is no estimate of the accuracy."
