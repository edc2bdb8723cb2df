"""Rules for claims about time. Each rule takes the evidence and returns a finding."""

from math import isfinite

import numpy as np

from al_lightning.report.claims.evidence import (
    CONTRADICTED,
    DESCRIBED,
    HEURISTICS,
    REPLICATED,
    Evidence,
    Finding,
    lacks_arms,
)

TWENTYFOLD = (10, 40)
"""The range that counts as "about 20 times"."""
CHEAP = 0.1
"""Querying is cheap if it takes less than this share of a run."""


def twentyfold(evidence: Evidence) -> Finding:
    """C8: seconds of scoring by BALD over seconds by Entropy, and the share of a run that is querying."""
    if evidence.missing(["BALD", "Entropy"]):
        return lacks_arms(["BALD", "Entropy"], evidence)
    queries = slice(0, max(1, evidence.study.num_rounds - 1))  # nothing is scored after the last round
    seconds = {s: evidence.study.curves(evidence.arms[s], "seconds_score")[:, queries] for s in ("BALD", "Entropy")}
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = float(np.median(seconds["BALD"] / seconds["Entropy"]))
    parts = {
        p: float(evidence.study.curves(evidence.arms["BALD"], f"seconds_{p}").sum())
        for p in ("fit", "score", "select", "test")
    }
    share = (parts["score"] + parts["select"]) / sum(parts.values()) if sum(parts.values()) else float("nan")
    if not isfinite(ratio):
        return Finding("", note="the runs have no seconds of scoring")
    low, high = TWENTYFOLD
    verdict = REPLICATED if low <= ratio <= high else CONTRADICTED
    samples = evidence.study.method(evidence.arms["BALD"])["loop.strategy.num_samples"]
    note = f"T = {samples} in one product; T whole passes are in docs/performance.md; {share:.1%} of a run is querying"
    return Finding(f"{ratio:.2f} times entropy", "median over rounds and seeds", verdict, note)


def overhead(evidence: Evidence) -> Finding:
    """C9: time of a run with BALD and with CSAL over the time with Entropy. It has no verdict."""
    if evidence.missing(["BALD", "Entropy"]) or "Consistency" not in evidence.semi_supervised:
        return Finding("", note="needs the arms BALD, CSAL and Entropy")
    arms = {"BALD": evidence.arms["BALD"], "CSAL": evidence.semi_supervised["Consistency"]}
    hours = evidence.analysis.cost.set_index("arm")["total"]
    ratios = {name: float(hours[arm] / hours[evidence.arms["Entropy"]]) for name, arm in arms.items()}
    listed = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
    return Finding(
        f"time of a run over entropy's: {listed}", verdict=DESCRIBED, note="times are of the machine as it was"
    )


def cheap(evidence: Evidence) -> Finding:
    """C15: the share of a run that querying takes."""
    arms = [evidence.arms[s] for s in HEURISTICS if s in evidence.arms]
    if not arms:
        return lacks_arms(list(HEURISTICS), evidence)
    scoring = sum(
        float((evidence.study.curves(arm, "seconds_score") + evidence.study.curves(arm, "seconds_select")).sum())
        for arm in arms
    )
    total = sum(
        float(evidence.study.curves(arm, f"seconds_{part}").sum())
        for arm in arms
        for part in ("fit", "score", "select", "test")
    )
    if not total:
        return Finding("", note="the runs have no seconds")
    verdict = REPLICATED if scoring / total < CHEAP else CONTRADICTED
    return Finding(f"{scoring / total:.1%} of a run is querying", "", verdict, f"cheap is below {CHEAP:.0%}")
