"""The claims of the document that this project comes from: for each a test, and a verdict by a stated rule.

The arms of a test share the training recipe of the baseline. ``docs/study.md`` states the rules.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from al_lightning.report.analysis import Analysis
from al_lightning.report.claims import costs as rules_of_costs, curves as rules_of_curves, reasons as rules_of_reasons
from al_lightning.report.claims.evidence import DESCRIBED, INCONCLUSIVE, UNTESTED, Evidence, Finding
from al_lightning.report.read_run import Run
from al_lightning.report.study import Study


@dataclass(frozen=True)
class Claim:
    """A claim, its test and its verdict."""

    id: str
    claim: str
    statistic: str
    interval: str
    verdict: str
    note: str


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


def _untested(evidence: Evidence, note: str) -> Finding:
    return Finding("", note=note)


RULES: dict[tuple[str, str], Callable[[Evidence], Finding]] = {
    ("C1", "100 rounds of 100 queries after 500 labels make 10,000 labels"): rules_of_curves.budget,
    ("C2", "BALD starts near 50 % accuracy"): rules_of_curves.first_accuracy,
    ("C2b", "under-training or dropout at test can make about 50 % of a round 0"): rules_of_curves.under_training,
    ("C3", "BALD lags simple heuristics early"): rules_of_curves.lags_early,
    ("C4", "BALD has the highest final accuracy"): rules_of_curves.best_at_the_end,
    ("C4b", "dropout alone lifts the accuracy, whatever is queried"): rules_of_curves.dropout_explains,
    ("C5", "BALD is behind early and ahead late"): rules_of_curves.crosses,
    ("C6", "BADGE and the uncertainty heuristics are one strong second tier"): rules_of_curves.second_tier,
    ("C6b", "CSAL's consistency query beats its controls with the same training"): rules_of_curves.csal,
    ("C7", "Core-Set often matches or falls below random"): rules_of_curves.core_set,
    ("C8", "T = 20 has to make BALD's scoring about 20 times dearer than entropy's"): rules_of_costs.twentyfold,
    ("C9", "BALD and CSAL incur higher overhead"): rules_of_costs.overhead,
    ("C10", "early disagreement under dropout is nearly random"): rules_of_reasons.nearly_random,
    ("C11", "BALD avoids aleatoric noise and outliers"): rules_of_reasons.seeks_noise,
    ("C12", "Core-Set fails because the network's features have poor geometry"): rules_of_reasons.geometry,
    ("C12b", "Core-Set picks outliers"): rules_of_reasons.outliers,
    ("C12c", "Core-Set fails because it picks outliers"): rules_of_reasons.trimmed,
    ("C13", "the setup of the document is controlled, and BALD starts near 50 % in it"): rules_of_curves.same_start,
    ("C14", "BALD's score isolates epistemic uncertainty"): partial(
        _untested, note="an identity for the exact posterior; Monte Carlo dropout is an approximation of one"
    ),
    ("C15", "the uncertainty heuristics are cheap"): rules_of_costs.cheap,
}


WITHOUT_SEEDS = ("C1", "C2b", "C8", "C15")
"""Claims whose verdict needs no test over seeds."""
