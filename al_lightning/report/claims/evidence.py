"""Evidence: a study as the rules of the claims need it, and the words of their answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from al_lightning.report.analysis import Analysis
from al_lightning.report.endpoints import FINAL, LAST_ROUNDS, part_ranges
from al_lightning.report.read_run import Run
from al_lightning.report.stats.curves import aubc, final_accuracy
from al_lightning.report.stats.multiple import holm
from al_lightning.report.stats.paired import Contrast
from al_lightning.report.study import Study

REPLICATED, CONTRADICTED, INCONCLUSIVE, UNTESTED = "replicated", "contradicted", "inconclusive", "not tested"
DESCRIBED = "descriptive"
ALPHA = 0.05
HEURISTICS = ("LeastConfidence", "Margin", "Entropy")
USUAL_CORE_SET = {"loop.strategy.features": "penultimate", "loop.strategy.trim": 0.0}
"""Settings of the Core-Set of the paper. An arm with others is another strategy."""


@dataclass(frozen=True)
class Finding:
    """The result of testing a claim."""

    statistic: str
    interval: str = ""
    verdict: str = UNTESTED
    note: str = ""


@dataclass(frozen=True)
class Evidence:
    """A study, with its arms by their strategies."""

    analysis: Analysis
    factorial: Sequence[Run] = ()
    """Runs of round 0 that differ in epochs, dropout and the evaluation on the test set."""
    planted: Study | None = None
    """Runs on a pool with ambiguous and foreign images, if the pool of the study has none."""
    budget: int = FINAL
    """Labels at which the final accuracy is taken."""

    @property
    def study(self) -> Study:
        return self.analysis.study

    @cached_property
    def trained_as(self) -> str:
        """The arm whose training the claims are about: the baseline, or BALD if no BALD has the baseline's training."""
        usual = self.study.recipe(self.analysis.baseline)
        balds = [arm for arm in self.study.arms if self._strategy(arm) == "BALD"]
        if not balds or any(self.study.recipe(arm) == usual for arm in balds):
            return self.analysis.baseline
        return balds[0]

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The training that the claims are about."""
        return self.study.recipe(self.trained_as)

    @cached_property
    def arms(self) -> dict[str, str]:
        """Arms with that recipe, by the class of their strategy."""
        return self._arms_with(self.recipe)

    @cached_property
    def without_dropout(self) -> dict[str, str]:
        """Arms with that recipe but without dropout, by the class of their strategy. None if the recipe lacks it."""
        return self._arms_with({**self.recipe, "model.dropout": 0}) if self.recipe.get("model.dropout") else {}

    @cached_property
    def semi_supervised(self) -> dict[str, str]:
        """CSAL and the arms with its training, by the class of their strategy."""
        for arm in self.study.arms:
            recipe = self.study.recipe(arm)
            if recipe["model"] == "al_lightning.MixMatch" and self._strategy(arm) == "Consistency":
                return self._arms_with(recipe)
        return {}

    @property
    def core_sets(self) -> dict[str, dict[str, Any]]:
        """All arms of Core-Set with that recipe, on any features, and their settings."""
        arms = [arm for arm in self.study.arms if self.study.recipe(arm) == self.recipe]
        return {arm: self.study.method(arm) for arm in arms if self._strategy(arm) == "CoreSet"}

    def _arms_with(self, recipe: Mapping[str, Any]) -> dict[str, str]:
        """One arm for each class of strategy: of several, the one with the shortest name, `bald` before `bald_t100`."""
        arms = [
            arm for arm in self.study.arms if self.study.recipe(arm) == recipe and not unusual(self.study.method(arm))
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


# ---------------------------------------------------------------------------------------------------------- sentences


def unusual(method: Mapping[str, Any]) -> set[str]:
    """Returns the settings that make another Core-Set of an arm. Older runs lack settings that have their default."""
    return {name for name, usual in USUAL_CORE_SET.items() if method.get(name, usual) != usual}


def adjusted_p(found: Mapping[str, Contrast]) -> dict[str, float]:
    """Returns the p-values after Holm's correction. With one seed they are NaN."""
    p = [c.p_t for c in found.values()]
    return dict(zip(found, holm(p).tolist() if np.isfinite(p).all() else p, strict=True))


def means_of(found: Mapping[str, Contrast]) -> str:
    """Differences as text, by name."""
    return ", ".join(f"{name} {c.mean:+.4f}" for name, c in found.items())


def mean_and_interval(found: Contrast) -> str:
    """One difference as text, with its interval."""
    return f"{found.mean:+.4f} {interval_of(found)}"


def interval_of(found: Contrast) -> str:
    """The 95 % interval as text."""
    return f"[{found.low:+.4f}, {found.high:+.4f}]"


def intervals_of(found: Mapping[str, Contrast], adjusted: Mapping[str, float] | None = None) -> str:
    """Intervals as text, by name, with p-values if there are any."""
    p = {name: f" p {value:.3g}" for name, value in (adjusted or {}).items()}
    return ", ".join(f"{name} {interval_of(c)}{p.get(name, '')}" for name, c in found.items())


def lacks_arms(needed: Sequence[str], evidence: Evidence) -> Finding:
    """Names the arms that a claim needs and the study lacks."""
    missing = ", ".join(s for s in needed if s not in evidence.arms)
    return Finding("", note=f"needs {missing}, trained as {evidence.trained_as} is")


def too_short(evidence: Evidence, needed: int) -> Finding:
    """Says that the runs end too early."""
    return Finding("", note=f"needs {needed:,} labels; the runs that all arms have end at {evidence.last:,}")
