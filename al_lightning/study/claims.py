"""The claims of the document that this project comes from: for each a test, and a verdict by a stated rule.

A claim is tested on the arms that share the training recipe of the baseline; the rules are those of ``docs/study.md``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import combinations, permutations
from math import isfinite, isnan
from typing import Any

import numpy as np

from al_lightning.study.analysis import (
    FINAL,
    LAST_ROUNDS,
    MARGIN,
    Analysis,
    analyse,
    bought,
    diagnostic_curves,
    endpoint_values,
    part_ranges,
    seeds_to_resolve,
)
from al_lightning.study.curves import aubc, final_accuracy, first_lasting_lead, pointwise_band, simultaneous_band
from al_lightning.study.multiple import beats_all, best_probability, holm
from al_lightning.study.paired import Contrast, contrast, tost
from al_lightning.study.runs import Run, Study

REPLICATED, CONTRADICTED, INCONCLUSIVE, UNTESTED = "replicated", "contradicted", "inconclusive", "not tested"
DESCRIBED = "descriptive"
ALPHA = 0.05
HEURISTICS = ("LeastConfidence", "Margin", "Entropy")
TIER = ("BADGE", *HEURISTICS)
NEARLY_RANDOM = 0.5
"""A rank correlation between two mask sets below this counts as nearly random."""
FIRST_ACCURACY = (0.45, 0.55)
"""What "about 50 %" is taken to mean."""
TWENTYFOLD = (10, 40)
"""What "about 20 times" is taken to mean."""
CHEAP = 0.1
"""Querying is cheap if it takes less than this share of a run."""
FAR_OUT = 0.9
"""A query with a mean percentile above this has little else than the farthest out tenth of the pool."""
OTHER_CORE_SETS = {"loop.strategy.features", "loop.strategy.trim"}
"""Settings that an arm of Core-Set as it is in the paper does not have."""
FIRST_PLANTED = 60_000
"""Training-set index of the first planted image of PlantedFashionMNIST."""


@dataclass(frozen=True)
class Claim:
    """A claim and what the runs say of it."""

    id: str
    claim: str
    statistic: str
    interval: str
    verdict: str
    note: str


@dataclass(frozen=True)
class Finding:
    """What a test of a claim found."""

    statistic: str
    interval: str = ""
    verdict: str = UNTESTED
    note: str = ""


@dataclass(frozen=True)
class Evidence:
    """A study, with its arms by what they query."""

    analysis: Analysis
    factorial: Sequence[Run] = ()
    """Runs of round 0 that differ in epochs, dropout and how the test set is evaluated."""
    planted: Study | None = None
    """Runs on a pool with ambiguous and foreign images, if the study's own is none."""
    budget: int = FINAL
    """Labels with which the final accuracy is taken."""

    @property
    def study(self) -> Study:
        return self.analysis.study

    @cached_property
    def recipe(self) -> Mapping[str, Any]:
        """How the arms are trained that the claims are about: as the baseline, or else as BALD, which needs dropout."""
        usual = self.study.recipe(self.analysis.baseline)
        balds = [arm for arm in self.study.arms if self._strategy(arm) == "BALD"]
        if not balds or any(self.study.recipe(arm) == usual for arm in balds):
            return usual
        return self.study.recipe(balds[0])

    @cached_property
    def arms(self) -> dict[str, str]:
        """Arms with that recipe, by the class of their strategy."""
        return self._arms_with(self.recipe)

    @cached_property
    def without_dropout(self) -> dict[str, str]:
        """Arms that differ from these in having no dropout, likewise; none if these have none."""
        return self._arms_with({**self.recipe, "model.dropout": 0}) if self.recipe.get("model.dropout") else {}

    @cached_property
    def semi_supervised(self) -> dict[str, str]:
        """CSAL, and arms that are trained as it is, likewise."""
        for arm in self.study.arms:
            recipe = self.study.recipe(arm)
            if recipe["model"] == "al_lightning.MixMatch" and self._strategy(arm) == "Consistency":
                return self._arms_with(recipe)
        return {}

    @property
    def core_sets(self) -> dict[str, dict[str, Any]]:
        """All arms of Core-Set with that recipe, also those on other features, and their settings."""
        arms = [arm for arm in self.study.arms if self.study.recipe(arm) == self.recipe]
        return {arm: self.study.method(arm) for arm in arms if self._strategy(arm) == "CoreSet"}

    def _arms_with(self, recipe: Mapping[str, Any]) -> dict[str, str]:
        """One arm for each class of strategy: of several, the one with the shortest name, `bald` before `bald_t100`."""
        arms = [
            arm
            for arm in self.study.arms
            if self.study.recipe(arm) == recipe and not OTHER_CORE_SETS & self.study.method(arm).keys()
        ]
        return {self._strategy(arm): arm for arm in sorted(arms, key=lambda arm: (-len(arm), arm))}

    def _strategy(self, arm: str) -> str:
        return str(self.study.method(arm)["loop.strategy"]).rsplit(".", 1)[-1]

    def missing(self, strategies: Sequence[str]) -> list[str]:
        return [strategy for strategy in strategies if strategy not in self.arms]

    def curves(self, strategy: str) -> np.ndarray:
        return self.study.accuracy[self.arms[strategy]]

    def part(self, name: str) -> dict[str, np.ndarray] | None:
        """Areas under the early or late part of the curves, by strategy; ``None`` if the runs do not cover it."""
        for part, low, high in part_ranges(self.study):
            if part == name:
                return {s: aubc(self.study.num_labeled, self.curves(s), low, high) for s in self.arms}
        return None

    @cached_property
    def final(self) -> dict[str, np.ndarray] | None:
        """Accuracies with 10,000 labels, or another budget, by arm; ``None`` if the runs end before."""
        if self.budget not in self.study.num_labeled:
            return None
        labels = self.study.num_labeled
        last = min(LAST_ROUNDS, int((labels <= self.budget).sum()))
        return {a: final_accuracy(labels, c, at=self.budget, last=last) for a, c in self.study.accuracy.items()}

    @property
    def last(self) -> int:
        return int(self.study.num_labeled[-1])


def judge(analysis: Analysis, factorial: Sequence[Run] = (), planted: Study | None = None) -> list[Claim]:
    """Tests all claims.

    Args:
        analysis: The study.
        factorial: Runs of round 0 with other epochs, dropout and evaluation, for claim C2b.
        planted: Runs on PlantedFashionMNIST, for claim C11.
    """
    evidence = Evidence(analysis, factorial, planted)
    claims = []
    for (id, claim), rule in RULES.items():
        found = rule(evidence)
        num_seeds = len((planted if id == "C11" and planted is not None else evidence.study).seeds)
        if num_seeds == 1 and found.verdict not in (UNTESTED, DESCRIBED) and id not in WITHOUT_SEEDS:
            found = Finding(found.statistic, "", INCONCLUSIVE, "one seed shows nothing")
        claims.append(Claim(id, claim, **vars(found)))
    return claims


# ---------------------------------------------------------------------------------------------------------- the rules


def _budget(evidence: Evidence) -> Finding:
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
    """Whether it matters which of the two budgets was meant."""
    sentences = []
    for id, rule in (("C4", _best_at_the_end), ("C6", _second_tier)):
        verdicts = [rule(replace(evidence, budget=budget)).verdict for budget in (FINAL, total)]
        same = verdicts[0] == verdicts[1]
        sentences.append(f"{id} is {verdicts[0]} with either" if same else f"{id} is {' or '.join(verdicts)}")
    return f"with {FINAL:,} or {total:,} labels: {', '.join(sentences)}"


def _first_accuracy(evidence: Evidence) -> Finding:
    values = evidence.study.accuracy[evidence.analysis.baseline][:, 0]
    band = pointwise_band(values[:, None])
    low, high = float(band.low[0]), float(band.high[0])
    same = all(np.array_equal(evidence.curves(s)[:, 0], values) for s in evidence.arms)
    verdict = REPLICATED if low <= FIRST_ACCURACY[1] and high >= FIRST_ACCURACY[0] else CONTRADICTED
    note = "the same to the bit for all strategies: nothing was queried yet" if same else "it differs between arms"
    if isnan(low):
        verdict = INCONCLUSIVE
    return Finding(f"round 0: {band.mean[0]:.3f}", f"[{low:.3f}, {high:.3f}]", verdict, note)


def _under_training(evidence: Evidence) -> Finding:
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
    return all(settings.get(name) == value for name, value in protocol.items() if name.split(".")[0] == "data")


def _cell(run: Run) -> str:
    settings = run.settings
    samples = int(settings.get("model.test_samples") or 0)
    evaluation = {0: "off", 1: "one pass"}.get(samples, f"mean of {samples} passes")
    epochs = settings.get("trainer.max_epochs")
    return f"{epochs} epochs, p {settings.get('model.dropout')}, dropout at test {evaluation}"


def _lags_early(evidence: Evidence) -> Finding:
    if evidence.missing(["BALD", *HEURISTICS]):
        return _no_arms(["BALD", *HEURISTICS], evidence)
    values = evidence.part("early AUBC")
    if values is None:
        return _too_short(evidence, 4 * int(evidence.study.num_labeled[0]))
    found = {s: contrast(values["BALD"], values[s]) for s in HEURISTICS}
    adjusted = _adjusted(found)
    if all(c.low > -MARGIN for c in found.values()):  # also if it is a lag, but a tiny one
        verdict = CONTRADICTED
    elif all(c.mean < 0 and adjusted[s] < ALPHA for s, c in found.items()):
        verdict = REPLICATED
    else:
        verdict = INCONCLUSIVE
    note = f"BALD minus each; Random {_plain(contrast(values['BALD'], values['Random']))}" if "Random" in values else ""
    return Finding(_listed(found), _intervals(found, adjusted), verdict, note)


def _best_at_the_end(evidence: Evidence) -> Finding:
    if "BALD" not in evidence.arms or len(evidence.arms) < 2:
        return _no_arms(["BALD", "Random", *TIER, "CoreSet"], evidence)
    if evidence.final is None:
        return _too_short(evidence, FINAL)
    bald = evidence.arms["BALD"]
    values = {arm: v for arm, v in evidence.final.items() if evidence.study.recipe(arm) == evidence.recipe}
    others = {arm: v for arm, v in values.items() if arm != bald}
    found = {arm: contrast(values[bald], v) for arm, v in others.items()}
    adjusted = _adjusted(found)
    missing = evidence.missing(["Random", *TIER, "CoreSet"])
    if any(c.mean < 0 and adjusted[arm] < ALPHA for arm, c in found.items()):
        verdict = CONTRADICTED
    elif beats_all(values[bald], others, ALPHA).beats_all and not missing:
        verdict = REPLICATED
    else:
        verdict = INCONCLUSIVE
    runner_up = max(others, key=lambda arm: float(others[arm].mean()))
    best = "n/a"
    if len(evidence.study.seeds) > 1:
        best = f"{best_probability(np.stack(list(values.values())))[list(values).index(bald)]:.2f}"
    same = tost(values[bald], others[runner_up], MARGIN)
    relation = "the same as" if same.equivalent else "not shown to be the same as"
    note = f"P(best) {best}; {relation} {runner_up}, the best of the others"
    if isfinite(needed := seeds_to_resolve(values[bald], others[runner_up])):
        note += f"; {needed:.0f} seeds would resolve their gap of {found[runner_up].mean:+.4f}"
    if missing:
        note += f"; not compared with {', '.join(missing)}"
    return Finding(_listed(found), _intervals(found, adjusted), verdict, note)


def _dropout_explains(evidence: Evidence) -> Finding:
    common = [s for s in evidence.arms if s in evidence.without_dropout]
    if not common:
        return Finding("", note="needs arms with `model.dropout` 0, as in configs/study.yaml")
    endpoint, values = next(iter(endpoint_values(evidence.study).items()))
    found = {s: contrast(values[evidence.arms[s]], values[evidence.without_dropout[s]]) for s in common}
    adjusted = _adjusted(found)
    lifts = [c.mean > 0 and adjusted[s] < ALPHA for s, c in found.items()]
    sinks = [c.high < MARGIN for c in found.values()]
    verdict = REPLICATED if all(lifts) else CONTRADICTED if all(sinks) else INCONCLUSIVE
    note = f"dropout {evidence.recipe['model.dropout']} minus none; {endpoint}"
    return Finding(_listed(found), _intervals(found, adjusted), verdict, note)


def _crosses(evidence: Evidence) -> Finding:
    if "BALD" not in evidence.arms or evidence.missing(HEURISTICS):
        return _no_arms(["BALD", *HEURISTICS], evidence)
    early, late = evidence.part("early AUBC"), evidence.part("late AUBC")
    if early is None or late is None:
        return _too_short(evidence, FINAL)
    found = {
        name: contrast(part["BALD"], np.mean([part[s] for s in HEURISTICS], axis=0))
        for name, part in (("early", early), ("late", late))
    }
    signs, adjusted = {"early": -1, "late": 1}, _adjusted(found)
    if all(signs[name] * c.mean > 0 and c.p_t < ALPHA for name, c in found.items()):
        verdict = REPLICATED
    elif any(signs[name] * c.mean < 0 and adjusted[name] < ALPHA for name, c in found.items()):
        verdict = CONTRADICTED
    else:
        verdict = INCONCLUSIVE
    mean = np.mean([evidence.curves(s) for s in HEURISTICS], axis=0)
    lead = None
    if len(evidence.study.seeds) > 1:
        lead = first_lasting_lead(evidence.study.num_labeled, simultaneous_band(evidence.curves("BALD"), mean))
    note = "no lasting lead by the simultaneous band" if lead is None else f"a lasting lead from {lead:,.0f} labels on"
    gaps = [part["BALD"] - np.mean([part[s] for s in HEURISTICS], axis=0) for part in (late, early)]
    note = f"BALD minus the mean of the heuristics; late minus early {_plain(contrast(*gaps))}; {note}"
    return Finding(_listed(found), _intervals(found), verdict, note)


def _second_tier(evidence: Evidence) -> Finding:
    if evidence.missing([*TIER, "Random", "BALD"]):
        return _no_arms([*TIER, "Random", "BALD"], evidence)
    if evidence.final is None:
        return _too_short(evidence, FINAL)
    values = {s: evidence.final[arm] for s, arm in evidence.arms.items()}
    pairs = list(combinations(TIER, 2))
    steps = [(s, "Random") for s in TIER] + [("BALD", s) for s in TIER]  # each is claimed to be above
    found = {f"{a} - {b}": contrast(values[a], values[b]) for a, b in steps}
    adjusted = _adjusted(found)
    holds = all(contrast(values[a], values[b], alternative="greater").p_t < ALPHA for a, b in steps)
    holds &= all(tost(values[a], values[b], MARGIN).equivalent for a, b in pairs)
    apart = {
        f"{a} > {b}": contrast(values[a] - MARGIN, values[b], alternative="greater") for a, b in permutations(TIER, 2)
    }
    fails = any(c.mean < 0 and adjusted[name] < ALPHA for name, c in found.items())
    fails |= any(p < ALPHA for p in _adjusted(apart).values())
    verdict = REPLICATED if holds else CONTRADICTED if fails else INCONCLUSIVE
    spread = max(abs(float((values[a] - values[b]).mean())) for a, b in pairs)
    note = f"largest gap within the tier {spread:.4f}; CSAL is compared with its own controls, see C6b"
    return Finding(_listed(found), _intervals(found, adjusted), verdict, note)


def _csal(evidence: Evidence) -> Finding:
    arms = evidence.semi_supervised
    if not {"Consistency", "Random", "Margin"} <= arms.keys():
        return Finding("", note="needs CSAL and its controls, Random and Margin with the same MixMatch")
    endpoint, values = next(iter(endpoint_values(evidence.study).items()))
    found = {f"{s} with MixMatch": contrast(values[arms["Consistency"]], values[arms[s]]) for s in ("Random", "Margin")}
    adjusted = _adjusted(found)
    if all(c.mean > 0 and adjusted[s] < ALPHA for s, c in found.items()):
        verdict = REPLICATED
    elif any(c.mean < 0 and adjusted[s] < ALPHA for s, c in found.items()):
        verdict = CONTRADICTED
    else:
        verdict = INCONCLUSIVE
    return Finding(_listed(found), _intervals(found, adjusted), verdict, f"CSAL minus its controls; {endpoint}")


def _core_set(evidence: Evidence) -> Finding:
    if evidence.missing(["CoreSet", "Random"]):
        return _no_arms(["CoreSet", "Random"], evidence)
    labels = evidence.study.num_labeled
    if len(labels) == 1:
        return _too_short(evidence, int(labels[0]) + 1)
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
    return Finding(f"AUBC {found.mean:+.4f}", _interval(found), verdict, note)


def _twentyfold(evidence: Evidence) -> Finding:
    if evidence.missing(["BALD", "Entropy"]):
        return _no_arms(["BALD", "Entropy"], evidence)
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
    note = f"T = {samples} as one matrix product; for T whole passes see the README; {share:.1%} of a run is querying"
    return Finding(f"{ratio:.2f} times entropy", "median over rounds and seeds", verdict, note)


def _overhead(evidence: Evidence) -> Finding:
    if evidence.missing(["BALD", "Entropy"]) or "Consistency" not in evidence.semi_supervised:
        return Finding("", note="needs the arms BALD, CSAL and Entropy")
    arms = {"BALD": evidence.arms["BALD"], "CSAL": evidence.semi_supervised["Consistency"]}
    hours = evidence.analysis.cost.set_index("arm")["total"]
    ratios = {name: float(hours[arm] / hours[evidence.arms["Entropy"]]) for name, arm in arms.items()}
    listed = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
    return Finding(
        f"time of a run over entropy's: {listed}", verdict=DESCRIBED, note="times are of the machine as it was"
    )


def _nearly_random(evidence: Evidence) -> Finding:
    arm = evidence.arms.get("BALD")
    name = "bald_rank_correlation"
    if arm is None or not all((run.diagnostics["name"] == name).any() for run in evidence.study.runs[arm]):
        return Finding("", note="needs BALD with --loop.strategy.reliability true")
    curves, overlap = (diagnostic_curves(evidence.study, arm, n)[1] for n in (name, "bald_top_overlap"))
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


def _seeks_noise(evidence: Evidence) -> Finding:
    """Of each strategy the shares of ambiguous and foreign images among the labels it bought."""
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
    adjusted = _adjusted(found)
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
    return Finding(listed, _intervals(found, adjusted), verdict, note)


def _geometry(evidence: Evidence) -> Finding:
    """Only a network that was trained better can refute it: pixels need be no better than the features they replace."""
    features = {arm: method.get("loop.strategy.features") for arm, method in evidence.core_sets.items()}
    networks = [arm for arm, name in features.items() if name not in (None, "inputs")]
    found = _lifted(evidence, "loop.strategy.features", "distances between other features")
    if found.verdict == CONTRADICTED and not networks:
        return replace(found, verdict=INCONCLUSIVE, note=f"no features of a trained network were tried; {found.note}")
    return found


def _trimmed(evidence: Evidence) -> Finding:
    return _lifted(evidence, "loop.strategy.trim", "the farthest samples passed over")


def _lifted(evidence: Evidence, setting: str, what: str) -> Finding:
    """Whether Core-Set gets above random when one setting is another; there is nothing to explain if it is anyway."""
    variants = [arm for arm, method in evidence.core_sets.items() if OTHER_CORE_SETS & method.keys() == {setting}]
    if not variants or evidence.missing(["CoreSet", "Random"]):
        return Finding("", note=f"needs Random, Core-Set, and Core-Set with {what}, as in configs/core_set_why.yaml")
    if evidence.study.num_rounds == 1:
        return _too_short(evidence, evidence.last + 1)
    endpoint, values = next(iter(endpoint_values(evidence.study).items()))
    random, usual = (values[evidence.arms[s]] for s in ("Random", "CoreSet"))
    itself = f"Core-Set itself {_plain(contrast(usual, random))}"
    if contrast(usual, random).low > 0:
        return Finding(itself, note="there is nothing to explain: Core-Set is above random")
    found = {arm: contrast(values[arm], random) for arm in variants}
    adjusted = _adjusted(found)
    if any(c.mean > 0 and adjusted[arm] < ALPHA for arm, c in found.items()):
        verdict = REPLICATED
    elif all(c.high <= MARGIN for c in found.values()):
        verdict = CONTRADICTED
    else:
        verdict = INCONCLUSIVE
    return Finding(_listed(found), _intervals(found, adjusted), verdict, f"each minus Random; {itself}; {endpoint}")


def _outliers(evidence: Evidence) -> Finding:
    name = "core_set_outlier_percentile"
    arms = [
        arm
        for arm, method in evidence.core_sets.items()
        if not OTHER_CORE_SETS & method.keys()
        and all((run.diagnostics["name"] == name).any() for run in evidence.study.runs[arm])
    ]
    curves = diagnostic_curves(evidence.study, arms[0], name)[1] if arms else np.empty((0, 0))
    if not curves.size:
        return Finding("", note="needs Core-Set with --loop.strategy.outliers true")
    band = pointwise_band(curves.mean(axis=1, keepdims=True))
    low, high = float(band.low[0]), float(band.high[0])
    verdict = REPLICATED if low > FAR_OUT else CONTRADICTED if low <= 0.5 else INCONCLUSIVE
    early, late = curves[:, 0].mean(), curves[:, -1].mean()
    note = f"by the distance to the 20th nearest neighbour; first query {early:.3f}, last {late:.3f}, at random 0.5"
    return Finding(f"mean percentile of the queries {band.mean[0]:.3f}", f"[{low:.3f}, {high:.3f}]", verdict, note)


def _same_start(evidence: Evidence) -> Finding:
    """Of a controlled setup, that no strategy can start anywhere else than the others, and whether ours is one."""
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
    start = _first_accuracy(evidence)
    note = "with shared initial sets and training all start alike, so BALD alone cannot start near 50 %"
    return Finding(statistic, start.interval, start.verdict, f"{start.statistic}; {note}")


def _cheap(evidence: Evidence) -> Finding:
    arms = [evidence.arms[s] for s in HEURISTICS if s in evidence.arms]
    if not arms:
        return _no_arms(list(HEURISTICS), evidence)
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


def _untested(evidence: Evidence, note: str) -> Finding:
    return Finding("", note=note)


RULES: dict[tuple[str, str], Callable[[Evidence], Finding]] = {
    ("C1", "100 rounds of 100 queries after 500 labels make 10,000 labels"): _budget,
    ("C2", "BALD starts near 50 % accuracy"): _first_accuracy,
    ("C2b", "under-training or dropout at test can make about 50 % of a round 0"): _under_training,
    ("C3", "BALD lags simple heuristics early"): _lags_early,
    ("C4", "BALD has the highest final accuracy"): _best_at_the_end,
    ("C4b", "dropout alone lifts the accuracy, whatever is queried"): _dropout_explains,
    ("C5", "BALD is behind early and ahead late"): _crosses,
    ("C6", "BADGE and the uncertainty heuristics are one strong second tier"): _second_tier,
    ("C6b", "CSAL's consistency query beats its controls with the same training"): _csal,
    ("C7", "Core-Set often matches or falls below random"): _core_set,
    ("C8", "T = 20 has to make BALD's scoring about 20 times dearer than entropy's"): _twentyfold,
    ("C9", "BALD and CSAL incur higher overhead"): _overhead,
    ("C10", "early disagreement under dropout is nearly random"): _nearly_random,
    ("C11", "BALD avoids aleatoric noise and outliers"): _seeks_noise,
    ("C12", "Core-Set fails because the network's features have poor geometry"): _geometry,
    ("C12b", "Core-Set picks outliers"): _outliers,
    ("C12c", "Core-Set fails because it picks outliers"): _trimmed,
    ("C13", "the setup of the document is controlled, and BALD starts near 50 % in it"): _same_start,
    ("C14", "BALD's score isolates epistemic uncertainty"): partial(
        _untested, note="an identity for the exact posterior; Monte Carlo dropout is an approximation of one"
    ),
    ("C15", "the uncertainty heuristics are cheap"): _cheap,
}


WITHOUT_SEEDS = ("C1", "C2b", "C8", "C15")
"""Claims whose verdict does not rest on a test over seeds."""

# ---------------------------------------------------------------------------------------------------------- sentences


def _adjusted(found: Mapping[str, Contrast]) -> dict[str, float]:
    """p-values after Holm's correction; those of one seed are NaN."""
    p = [c.p_t for c in found.values()]
    return dict(zip(found, holm(p).tolist() if np.isfinite(p).all() else p, strict=True))


def _listed(found: Mapping[str, Contrast]) -> str:
    return ", ".join(f"{name} {c.mean:+.4f}" for name, c in found.items())


def _plain(found: Contrast) -> str:
    return f"{found.mean:+.4f} {_interval(found)}"


def _interval(found: Contrast) -> str:
    return f"[{found.low:+.4f}, {found.high:+.4f}]"


def _intervals(found: Mapping[str, Contrast], adjusted: Mapping[str, float] | None = None) -> str:
    p = {name: f" p {value:.3g}" for name, value in (adjusted or {}).items()}
    return ", ".join(f"{name} {_interval(c)}{p.get(name, '')}" for name, c in found.items())


def _no_arms(needed: Sequence[str], evidence: Evidence) -> Finding:
    missing = ", ".join(s for s in needed if s not in evidence.arms)
    return Finding("", note=f"needs {missing}, trained as {evidence.analysis.baseline} is")


def _too_short(evidence: Evidence, needed: int) -> Finding:
    return Finding("", note=f"needs {needed:,} labels; the runs that all arms have end at {evidence.last:,}")
