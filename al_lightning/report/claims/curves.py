"""Rules for claims about accuracy. Each rule takes the evidence and returns a finding."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations, permutations
from math import isfinite, isnan
from typing import Any

import numpy as np

from al_lightning.report.claims.evidence import (
    ALPHA,
    CONTRADICTED,
    HEURISTICS,
    INCONCLUSIVE,
    REPLICATED,
    UNTESTED,
    Evidence,
    Finding,
    adjusted_p,
    interval_of,
    intervals_of,
    lacks_arms,
    mean_and_interval,
    means_of,
    too_short,
)
from al_lightning.report.endpoints import FINAL, MARGIN, endpoint_values, seeds_to_resolve
from al_lightning.report.read_run import Run
from al_lightning.report.stats.curves import aubc, first_lasting_lead, pointwise_band, simultaneous_band
from al_lightning.report.stats.multiple import best_probability, p_beats_all
from al_lightning.report.stats.paired import contrast, p_equivalence
from al_lightning.run_folder.settings import differing

TIER = ("BADGE", *HEURISTICS)
DROPPED = ("Random", "Margin", "Entropy")
"""Strategies that the study runs with dropout and without."""
FIRST_ACCURACY = (0.45, 0.55)
"""The range that counts as "about 50 %"."""


def budget(evidence: Evidence) -> Finding:
    """C1: how many labels the rounds make, and whether this matters to other claims."""
    settings = evidence.study.protocol
    initial, size = int(evidence.study.num_labeled[0]), int(settings["loop.query_size"])
    total = initial + 100 * size
    reached, rest = divmod(FINAL - initial, size)
    note = f"10,000 labels are those of round {reached}" if not rest else "no round has 10,000 labels"
    if evidence.final is not None and total > FINAL and total in evidence.study.num_labeled:
        note += f"; {_at_both_budgets(evidence, total)}"
    return Finding(
        f"{initial} + 100 x {size} = {total:,}",
        verdict=REPLICATED if total == FINAL else CONTRADICTED,
        note=f"arithmetic; {note}",
    )


def _at_both_budgets(evidence: Evidence, total: int) -> str:
    """Says whether it matters which of the two budgets was meant."""
    sentences = []
    for id, rule in (("C4", best_at_the_end), ("C6", second_tier)):
        verdicts = [rule(replace(evidence, budget=budget)).verdict for budget in (FINAL, total)]
        same = verdicts[0] == verdicts[1]
        sentences.append(f"{id} is {verdicts[0]} with either" if same else f"{id} is {' or '.join(verdicts)}")
    return f"with {FINAL:,} or {total:,} labels: {', '.join(sentences)}"


def first_accuracy(evidence: Evidence) -> Finding:
    """C2: the accuracy of round 0, before any query."""
    if evidence.missing(["BALD"]):
        return lacks_arms(["BALD"], evidence)
    values = evidence.curves("BALD")[:, 0]
    band = pointwise_band(values[:, None])
    low, high = float(band.low[0]), float(band.high[0])
    same = all(np.array_equal(evidence.curves(s)[:, 0], values) for s in evidence.arms)
    verdict = REPLICATED if low <= FIRST_ACCURACY[1] and high >= FIRST_ACCURACY[0] else CONTRADICTED
    note = "the same to the bit for all strategies: nothing was queried yet" if same else "it differs between arms"
    if isnan(low):
        verdict = INCONCLUSIVE
    return Finding(f"round 0: {band.mean[0]:.3f}", f"[{low:.3f}, {high:.3f}]", verdict, note)


def under_training(evidence: Evidence) -> Finding:
    """C2b: round 0 by epochs, dropout, dropout at test, and scaling of the inputs."""
    protocol = evidence.study.protocol
    runs = [run for run in evidence.factorial if _same_data(run.settings, protocol)]
    cells: dict[str, dict[int, float]] = {}
    for run in runs:
        cells.setdefault(_cell(run), {})[run.seed] = float(run.rounds["test_acc"].iloc[0])
    if len({run.settings.get("trainer.max_epochs") for run in runs}) < 2:
        return Finding("", note="needs the runs of configs/round0.yaml: --factorial FOLDER")
    seeds = set.intersection(*(set(values) for values in cells.values()))
    if not seeds:
        return Finding("", note="needs a seed that all cells of the factorial have")
    means = {cell: float(np.mean([values[seed] for seed in seeds])) for cell, values in cells.items()}
    inside = [cell for cell, mean in means.items() if FIRST_ACCURACY[0] <= mean <= FIRST_ACCURACY[1]]
    listed = "; ".join(f"{cell}: {means[cell]:.3f}" for cell in sorted(inside, key=means.__getitem__))
    return Finding(
        f"{len(inside)} of {len(cells)} cells in [{FIRST_ACCURACY[0]}, {FIRST_ACCURACY[1]}]",
        f"all cells {min(means.values()):.3f} to {max(means.values()):.3f}, means of {len(seeds)} seeds",
        REPLICATED if inside else CONTRADICTED,
        listed or "none",
    )


def _same_data(settings: Mapping[str, Any], protocol: Mapping[str, Any]) -> bool:
    """Whether a cell has the data of the protocol, with any scaling of the grey values."""
    here, there = (
        {name: value for name, value in one.items() if name.split(".")[0] == "data" and name != "data.scaling"}
        for one in (settings, protocol)
    )
    return not differing(here, there)


def _cell(run: Run) -> str:
    settings = run.settings
    samples = int(settings.get("model.test_samples") or 0)
    evaluation = {0: "off", 1: "one pass"}.get(samples, f"mean of {samples} passes")
    epochs = settings.get("trainer.max_epochs")
    inputs = {"unit": ", inputs from 0 to 1", "raw": ", inputs from 0 to 255"}.get(settings.get("data.scaling", ""), "")
    return f"{epochs} epochs, p {settings.get('model.dropout')}, dropout at test {evaluation}{inputs}"


def lags_early(evidence: Evidence) -> Finding:
    """C3: early AUBC of BALD minus the early AUBC of each heuristic."""
    if evidence.missing(["BALD", *HEURISTICS]):
        return lacks_arms(["BALD", *HEURISTICS], evidence)
    values = evidence.part("early AUBC")
    if values is None:
        return too_short(evidence, 4 * int(evidence.study.num_labeled[0]))
    found = {s: contrast(values["BALD"], values[s]) for s in HEURISTICS}
    adjusted = adjusted_p(found)
    if all(c.low > -MARGIN for c in found.values()):  # also if it is a lag, but a tiny one
        verdict = CONTRADICTED
    elif all(c.mean < 0 and adjusted[s] < ALPHA for s, c in found.items()):
        verdict = REPLICATED
    else:
        verdict = INCONCLUSIVE
    note = (
        f"BALD minus each; Random {mean_and_interval(contrast(values['BALD'], values['Random']))}"
        if "Random" in values
        else ""
    )
    return Finding(means_of(found), intervals_of(found, adjusted), verdict, note)


def best_at_the_end(evidence: Evidence) -> Finding:
    """C4: final accuracy of BALD minus the final accuracy of each other arm."""
    if "BALD" not in evidence.arms or len(evidence.arms) < 2:
        return lacks_arms(["BALD", "Random", *TIER, "CoreSet"], evidence)
    if evidence.final is None:
        return too_short(evidence, FINAL)
    bald = evidence.arms["BALD"]
    values = {arm: v for arm, v in evidence.final.items() if evidence.study.recipe(arm) == evidence.recipe}
    others = {arm: v for arm, v in values.items() if arm != bald}
    found = {arm: contrast(values[bald], v) for arm, v in others.items()}
    adjusted = adjusted_p(found)
    missing = evidence.missing(["Random", *TIER, "CoreSet"])
    if any(c.mean < 0 and adjusted[arm] < ALPHA for arm, c in found.items()):
        verdict = CONTRADICTED
    elif p_beats_all(values[bald], others) < ALPHA and not missing:
        verdict = REPLICATED
    else:
        verdict = INCONCLUSIVE
    runner_up = max(others, key=lambda arm: float(others[arm].mean()))
    best = "n/a"
    if len(evidence.study.seeds) > 1:
        best = f"{best_probability(np.stack(list(values.values())))[list(values).index(bald)]:.2f}"
    same = p_equivalence(values[bald], others[runner_up], MARGIN) < ALPHA
    relation = "the same as" if same else "not shown to be the same as"
    note = f"P(best) {best}; {relation} {runner_up}, the best of the others"
    if isfinite(needed := seeds_to_resolve(values[bald], others[runner_up])):
        note += f"; {needed:.0f} seeds would resolve their gap of {found[runner_up].mean:+.4f}"
    if missing:
        note += f"; not compared with {', '.join(missing)}"
    return Finding(means_of(found), intervals_of(found, adjusted), verdict, note)


def dropout_explains(evidence: Evidence) -> Finding:
    """C4b: final accuracy with dropout minus the final accuracy without it, for each strategy."""
    if missing := [s for s in DROPPED if s not in evidence.arms.keys() & evidence.without_dropout.keys()]:
        return Finding("", note=f"needs {', '.join(missing)} with dropout and without, as in configs/study.yaml")
    endpoint, values = next(iter(endpoint_values(evidence.study).items()))
    found = {s: contrast(values[evidence.arms[s]], values[evidence.without_dropout[s]]) for s in DROPPED}
    adjusted = adjusted_p(found)
    lifts = [c.mean > 0 and adjusted[s] < ALPHA for s, c in found.items()]
    sinks = [c.high < MARGIN for c in found.values()]
    verdict = REPLICATED if all(lifts) else CONTRADICTED if all(sinks) else INCONCLUSIVE
    note = f"dropout {evidence.recipe['model.dropout']} minus none; {endpoint}"
    return Finding(means_of(found), intervals_of(found, adjusted), verdict, note)


def crosses(evidence: Evidence) -> Finding:
    """C5: early and late AUBC of BALD minus the mean AUBC of the heuristics."""
    if "BALD" not in evidence.arms or evidence.missing(HEURISTICS):
        return lacks_arms(["BALD", *HEURISTICS], evidence)
    early, late = evidence.part("early AUBC"), evidence.part("late AUBC")
    if early is None or late is None:
        return too_short(evidence, FINAL)
    found = {
        name: contrast(part["BALD"], np.mean([part[s] for s in HEURISTICS], axis=0))
        for name, part in (("early", early), ("late", late))
    }
    signs, adjusted = {"early": -1, "late": 1}, adjusted_p(found)
    if all(signs[name] * c.mean > 0 and c.p_t < ALPHA for name, c in found.items()):
        verdict = REPLICATED
    elif any(signs[name] * c.mean < 0 and adjusted[name] < ALPHA for name, c in found.items()):
        verdict = CONTRADICTED
    else:
        verdict = INCONCLUSIVE
    mean = np.mean([evidence.curves(s) for s in HEURISTICS], axis=0)
    note = "too few seeds for a simultaneous band"
    if len(evidence.study.seeds) > 1:
        band = simultaneous_band(evidence.curves("BALD"), mean)
        lead = first_lasting_lead(evidence.study.num_labeled, band)
        if lead is not None:
            note = f"a lasting lead from {lead:,.0f} labels on"
        elif isfinite(band.critical):
            note = "no lasting lead by the simultaneous band"
    gaps = [part["BALD"] - np.mean([part[s] for s in HEURISTICS], axis=0) for part in (late, early)]
    note = f"BALD minus the mean of the heuristics; late minus early {mean_and_interval(contrast(*gaps))}; {note}"
    return Finding(means_of(found), intervals_of(found), verdict, note)


def second_tier(evidence: Evidence) -> Finding:
    """C6: whether some strategies are the same, above Random and below BALD."""
    if evidence.missing([*TIER, "Random", "BALD"]):
        return lacks_arms([*TIER, "Random", "BALD"], evidence)
    if evidence.final is None:
        return too_short(evidence, FINAL)
    values = {s: evidence.final[arm] for s, arm in evidence.arms.items()}
    pairs = list(combinations(TIER, 2))
    steps = [(s, "Random") for s in TIER] + [("BALD", s) for s in TIER]  # each is claimed to be above
    found = {f"{a} - {b}": contrast(values[a], values[b]) for a, b in steps}
    adjusted = adjusted_p(found)
    holds = all(contrast(values[a], values[b], alternative="greater").p_t < ALPHA for a, b in steps)
    holds &= all(p_equivalence(values[a], values[b], MARGIN) < ALPHA for a, b in pairs)
    apart = {
        f"{a} > {b}": contrast(values[a] - MARGIN, values[b], alternative="greater") for a, b in permutations(TIER, 2)
    }
    fails = any(c.mean < 0 and adjusted[name] < ALPHA for name, c in found.items())
    fails |= any(p < ALPHA for p in adjusted_p(apart).values())
    verdict = REPLICATED if holds else CONTRADICTED if fails else INCONCLUSIVE
    spread = max(abs(float((values[a] - values[b]).mean())) for a, b in pairs)
    note = f"largest gap within the tier {spread:.4f}; CSAL is compared with its own controls, see C6b"
    return Finding(means_of(found), intervals_of(found, adjusted), verdict, note)


def csal(evidence: Evidence) -> Finding:
    """C6b: CSAL minus its controls, which have the same training."""
    arms = evidence.semi_supervised
    if not {"Consistency", "Random", "Margin"} <= arms.keys():
        return Finding("", note="needs CSAL and its controls, Random and Margin with the same MixMatch")
    endpoint, values = next(iter(endpoint_values(evidence.study).items()))
    found = {f"{s} with MixMatch": contrast(values[arms["Consistency"]], values[arms[s]]) for s in ("Random", "Margin")}
    adjusted = adjusted_p(found)
    if all(c.mean > 0 and adjusted[s] < ALPHA for s, c in found.items()):
        verdict = REPLICATED
    elif any(c.mean < 0 and adjusted[s] < ALPHA for s, c in found.items()):
        verdict = CONTRADICTED
    else:
        verdict = INCONCLUSIVE
    return Finding(means_of(found), intervals_of(found, adjusted), verdict, f"CSAL minus its controls; {endpoint}")


def core_set(evidence: Evidence) -> Finding:
    """C7: AUBC of Core-Set minus the AUBC of Random."""
    if evidence.missing(["CoreSet", "Random"]):
        return lacks_arms(["CoreSet", "Random"], evidence)
    labels = evidence.study.num_labeled
    if len(labels) == 1:
        return too_short(evidence, int(labels[0]) + 1)
    found = contrast(aubc(labels, evidence.curves("CoreSet")), aubc(labels, evidence.curves("Random")))
    difference = (evidence.curves("CoreSet") - evidence.curves("Random")).mean(axis=0)[1:]
    if found.high <= MARGIN:
        verdict = REPLICATED
    elif found.low > MARGIN:
        verdict = CONTRADICTED
    else:
        verdict = INCONCLUSIVE
    note = "below random; " if found.high < 0 else ""
    note += f"at or below in {np.mean(difference <= 0):.0%} of the rounds up to {evidence.last:,} labels"
    return Finding(f"AUBC {found.mean:+.4f}", interval_of(found), verdict, note)


def same_start(evidence: Evidence) -> Finding:
    """C13: in a controlled setup all strategies start alike; whether this study is controlled."""
    study, differing = evidence.study, []
    recipes: dict[str, list[str]] = {}
    for arm in study.arms:
        recipes.setdefault(str(sorted(study.recipe(arm).items())), []).append(arm)
    for first, *others in recipes.values():
        for arm in others:
            for run, other in zip(study.runs[arm], study.runs[first], strict=True):
                if run.rounds["test_acc"].iloc[0] != other.rounds["test_acc"].iloc[0]:
                    differing.append(f"round 0 of {arm} and {first} with seed {run.seed}")
    statistic = f"{len(study.arms)} arms, {len(study.seeds)} seeds: {len(differing)} differences in round 0"
    if differing:
        return Finding(statistic, "", INCONCLUSIVE, f"this study is not controlled itself: {'; '.join(differing[:3])}")
    start = first_accuracy(evidence)
    if start.verdict == UNTESTED:
        return replace(start, statistic=statistic)
    note = "with shared initial sets and training all start alike, so BALD alone cannot start near 50 %"
    return Finding(statistic, start.interval, start.verdict, f"{start.statistic}; {note}")
