"""Rules for claims about the reasons for a result. Each rule takes the evidence and returns a finding."""

from dataclasses import replace

import numpy as np

from al_lightning.report.analysis import analyse, bought
from al_lightning.report.claims.evidence import (
    ALPHA,
    CONTRADICTED,
    INCONCLUSIVE,
    REPLICATED,
    Evidence,
    Finding,
    adjusted_p,
    intervals_of,
    mean_and_interval,
    means_of,
    too_short,
    unusual,
)
from al_lightning.report.endpoints import MARGIN, endpoint_values
from al_lightning.report.logged import logged_curves
from al_lightning.report.stats.curves import pointwise_band
from al_lightning.report.stats.paired import contrast

NEARLY_RANDOM = 0.5
"""A rank correlation between two mask sets below this counts as nearly random."""
FAR_OUT, USUAL = 0.9, 0.6
"""Limits of a query's mean percentile. Above the first, most of the query lies in the outermost tenth of the pool.
Below the second, the query lies hardly farther out than a random one, which has 0.5."""
OUTLIERS = "core_set_outlier_percentile"
FIRST_PLANTED = 60_000
"""Training-set index of the first planted image of PlantedFashionMNIST."""


def nearly_random(evidence: Evidence) -> Finding:
    """C10: how far two sets of masks agree on BALD's scores."""
    arm = evidence.arms.get("BALD")
    name = "bald_rank_correlation"
    if arm is None or not all((run.diagnostics["name"] == name).any() for run in evidence.study.runs[arm]):
        return Finding("", note="needs BALD with --loop.strategy.reliability true")
    curves, overlap = (logged_curves(evidence.study, arm, n)[1] for n in (name, "bald_top_overlap"))
    if not curves.size or not overlap.size:
        return Finding("", note="the runs have no rounds in common with BALD's reliability")
    few = max(1, min(5, curves.shape[1] // 2))
    early, late = curves[:, :few].mean(axis=1), curves[:, -few:].mean(axis=1)
    band, rise = pointwise_band(early[:, None]), contrast(late, early)
    if band.high[0] < NEARLY_RANDOM and rise.low > 0:
        verdict = REPLICATED
    elif band.low[0] > NEARLY_RANDOM:
        verdict = CONTRADICTED
    else:
        verdict = INCONCLUSIVE
    return Finding(
        f"rank correlation of two mask sets {band.mean[0]:.3f}",
        f"[{band.low[0]:.3f}, {band.high[0]:.3f}]",
        verdict,
        f"first {few} rounds; last {few}: {late.mean():.3f}; of the query the other masks ask for "
        f"{overlap[:, :few].mean():.0%} early and {overlap[:, -few:].mean():.0%} late",
    )


def seeks_noise(evidence: Evidence) -> Finding:
    """C11: shares of ambiguous and foreign images among the labels that each strategy bought."""
    planted = evidence.planted or evidence.study
    if "data.num_ambiguous" not in planted.protocol:
        return Finding("", note="needs the runs of configs/planted.yaml: --planted FOLDER")
    others = evidence if evidence.planted is None else Evidence(analyse(planted))
    protocol, initial = planted.protocol, int(planted.num_labeled[0])
    num_ambiguous, num_foreign = (int(protocol[f"data.num_{kind}"]) for kind in ("ambiguous", "foreign"))
    if others.missing(["BALD", "Entropy", "Random"]) or not num_ambiguous or not num_foreign or planted.num_rounds == 1:
        note = "needs queries by BALD, Entropy and Random in a pool with ambiguous and foreign images"
        return Finding("", note=note)
    if others.recipe != evidence.recipe:
        return Finding("", note="needs planted runs that are trained as those of the study are")
    foreign = FIRST_PLANTED + num_ambiguous
    kinds = {"ambiguous": (FIRST_PLANTED, foreign), "foreign": (foreign, foreign + num_foreign)}
    shares: dict[str, dict[str, np.ndarray]] = {}
    for kind, (low, high) in kinds.items():
        for strategy, arm in sorted(others.arms.items()):
            queried = [bought(run, planted)[initial:] for run in planted.runs[arm]]
            shares.setdefault(kind, {})[strategy] = np.array([np.mean((low <= q) & (q < high)) for q in queried])
    pairs = [(kind, other) for kind in kinds for other in ("Entropy", "Random")]
    found = {f"{kind} - {other}": contrast(shares[kind]["BALD"], shares[kind][other]) for kind, other in pairs}
    adjusted = adjusted_p(found)
    if any(c.mean > 0 and adjusted[pair] < ALPHA for pair, c in found.items()):
        verdict = CONTRADICTED
    elif all(found[f"{k} - Entropy"].mean < 0 and adjusted[f"{k} - Entropy"] < ALPHA for k in kinds):
        verdict = REPLICATED
    else:
        verdict = INCONCLUSIVE
    listed = "; ".join(
        f"{kind}: " + ", ".join(f"{s} {share.mean():.1%}" for s, share in values.items())
        for kind, values in shares.items()
    )
    total = FIRST_PLANTED + num_ambiguous + num_foreign
    note = f"share of the first {planted.num_labeled[-1] - initial:,} labels bought, {len(planted.seeds)} seeds, BALD "
    note += (
        f"minus others; of all images {num_ambiguous / total:.1%} are ambiguous and {num_foreign / total:.1%} foreign"
    )
    return Finding(listed, intervals_of(found, adjusted), verdict, note)


def geometry(evidence: Evidence) -> Finding:
    """C12: Core-Set on other features, minus Random.

    Only features of a network trained before can refute the claim. Pixels may be no better than the usual features.
    """
    features = [str(method.get("loop.strategy.features")) for method in evidence.core_sets.values()]
    networks = [name for name in features if name.endswith("PretrainedMLP")]
    found = _lifted(evidence, "loop.strategy.features", "distances between other features")
    if found.verdict == CONTRADICTED and not networks:
        return replace(found, verdict=INCONCLUSIVE, note=f"no features of a trained network were tried; {found.note}")
    return found


def trimmed(evidence: Evidence) -> Finding:
    """C12c: Core-Set without the farthest samples, minus Random."""
    found = _lifted(evidence, "loop.strategy.trim", "the farthest samples passed over")
    trimmed = [arm for arm, method in evidence.core_sets.items() if "loop.strategy.trim" in unusual(method)]
    percentiles = [logged_curves(evidence.study, arm, OUTLIERS)[1] for arm in trimmed]
    far_out = [curves.mean() for curves in percentiles if curves.size]
    if found.verdict == CONTRADICTED and min(far_out, default=1.0) > FAR_OUT:  # the query still has outliers
        left = f"{min(far_out):.3f}" if far_out else "not known"
        note = f"mean percentile of its queries {left}: outliers are not shown to be gone; {found.note}"
        return replace(found, verdict=INCONCLUSIVE, note=note)
    return found


def _lifted(evidence: Evidence, setting: str, what: str) -> Finding:
    """Tests whether Core-Set gets above random with another setting. If it is above anyway, there is no test."""
    variants = [arm for arm, method in evidence.core_sets.items() if unusual(method) == {setting}]
    if not variants or evidence.missing(["CoreSet", "Random"]):
        return Finding("", note=f"needs Random, Core-Set, and Core-Set with {what}, as in configs/core_set_why.yaml")
    if evidence.study.num_rounds == 1:
        return too_short(evidence, evidence.last + 1)
    endpoint, values = next(iter(endpoint_values(evidence.study).items()))
    random, usual = (values[evidence.arms[s]] for s in ("Random", "CoreSet"))
    itself = f"Core-Set itself {mean_and_interval(contrast(usual, random))}"
    if contrast(usual, random).low > 0:
        return Finding(itself, note="there is nothing to explain: Core-Set is above random")
    found = {arm: contrast(values[arm], random) for arm in variants}
    adjusted = adjusted_p(found)
    if any(c.mean > 0 and adjusted[arm] < ALPHA for arm, c in found.items()):
        verdict = REPLICATED
    elif all(c.high <= MARGIN for c in found.values()):
        verdict = CONTRADICTED
    else:
        verdict = INCONCLUSIVE
    return Finding(means_of(found), intervals_of(found, adjusted), verdict, f"each minus Random; {itself}; {endpoint}")


def outliers(evidence: Evidence) -> Finding:
    """C12b: how far out in the pool the queries of Core-Set lie."""
    arms = [
        arm
        for arm, method in evidence.core_sets.items()
        if not unusual(method) and all((run.diagnostics["name"] == OUTLIERS).any() for run in evidence.study.runs[arm])
    ]
    curves = logged_curves(evidence.study, arms[0], OUTLIERS)[1] if arms else np.empty((0, 0))
    if not curves.size:
        return Finding("", note="needs Core-Set with --loop.strategy.outliers true")
    band = pointwise_band(curves.mean(axis=1, keepdims=True))
    low, high = float(band.low[0]), float(band.high[0])
    verdict = REPLICATED if low > FAR_OUT else CONTRADICTED if high < USUAL else INCONCLUSIVE
    early, late = curves[:, 0].mean(), curves[:, -1].mean()
    note = f"by the distance to the 20th nearest neighbour; first query {early:.3f}, last {late:.3f}, at random 0.5"
    return Finding(f"mean percentile of the queries {band.mean[0]:.3f}", f"[{low:.3f}, {high:.3f}]", verdict, note)
