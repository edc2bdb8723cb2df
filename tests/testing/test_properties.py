"""Each property finds the strategies that break it, and says so by the smallest case."""

import pytest

from al_lightning.testing.properties import CONTRACT
from al_lightning.testing.verdicts import Verdict, judge
from al_lightning.testing.watched_strategy import Subject
from tests.testing import faulty

PROPERTIES = {property.code: property for property in CONTRACT}

FAULTS = [
    ("OutOfRange", "U1", "pool of 2 samples, query of 1: returned positions [2], not all from 0 to 1"),
    ("Duplicates", "U1", "pool of 3 samples, query of 2: returned positions [0, 0], some of them twice"),
    ("Floats", "U1", "pool of 2 samples, query of 1: returned torch.float32, not torch.int64"),
    ("TooFew", "U1", "pool of 2 samples, query of 1: returned a tensor of shape (0,), not (1,)"),
    ("List", "U1", "pool of 2 samples, query of 1: returned list, not a tensor"),
    ("List", "U10", "pool of 3 samples, query of 3: returned list, not a tensor"),
    (
        "AsManyAsThereAre",
        "U2",
        "pool of 0 samples, query of 1: returned positions [] instead of raising a ValueError",
    ),
    ("NeverAll", "U2", "pool of 1 sample, query of 1: raised IndexError: list index out of range"),
    ("First", "U3", "pool of 2 samples, in reverse order, query of 1: queried samples [1], and [0] in the first order"),
    (
        "GlobalTorch",
        "U4",
        "pool of 2 samples, query of 1: the query changes with the seed of a global random generator",
    ),
    (
        "GlobalNumpy",
        "U4",
        "pool of 2 samples, query of 1: the query changes with the seed of a global random generator",
    ),
    (
        "GlobalRandom",
        "U4",
        "pool of 2 samples, query of 1: the query changes with the seed of a global random generator",
    ),
    ("GlobalTorch", "U5", "pool of 2 samples, query of 1: changed the state of the global generator of torch"),
    ("GlobalNumpy", "U5", "pool of 2 samples, query of 1: changed the state of the global generator of numpy"),
    ("GlobalRandom", "U5", "pool of 2 samples, query of 1: changed the state of the global generator of random"),
    ("TrainingMode", "U5", "pool of 2 samples, query of 1: changed the training mode of `hidden`"),
    ("MovesBatchNorm", "U5", "pool of 2 samples, query of 1: changed the value of `norm.running_mean` and 2 more"),
    ("ClearsGradients", "U5", "pool of 2 samples, query of 1: changed the gradient of `hidden.weight` and 5 more"),
    ("WritesToInputs", "U5", "pool of 2 samples, query of 1: changed the inputs of the pool"),
    ("DividesBySpread", "U6a", "pool of 2 samples, all inputs identical, query of 1: raised ZeroDivisionError: "),
    ("SwallowsNaN", "U6b", "pool of 2 samples, NaN in one input, query of 1: returned positions "),
    ("StumblesOverNaN", "U6b", "pool of 2 samples, NaN in one input, query of 1: raised RuntimeError: probability"),
    ("NormalisesBlocks", "U7", "pool of 2 samples, in blocks of 1, query of 1: its scores are not those in one block"),
    ("ReadsLabels", "U8", "pool of 20 samples, all labels -1, query of 7: returned [0, 1, 2, 3, 4, 5, 6], and with"),
    ("FirstClassOnly", "U9", "pool of 2 samples, the classes in another order, query of 1: returned "),
    ("CrashesForThree", "U10", "pool of 3 samples, query of 3: raised KeyError: 3"),
    ("Counts", "U11", "pool of 2 samples, query of 1: changed its attribute `count`"),
    ("Remembers", "U11", "pool of 20 samples, after a query of another pool, query of 7: returned "),
]


def verdict_of(name: str, code: str) -> Verdict:
    faulty.SEEN.clear()
    return judge(PROPERTIES[code], Subject(getattr(faulty, name)), time_limit=60)


@pytest.mark.parametrize(("name", "code", "why"), FAULTS, ids=[f"{name}-{code}" for name, code, _ in FAULTS])
def test_a_fault_is_found_in_its_smallest_case(name: str, code: str, why: str) -> None:
    verdict = verdict_of(name, code)
    assert verdict.outcome == "FAILS"
    assert verdict.why.startswith(why)


def test_every_property_is_broken_by_some_strategy() -> None:
    assert {code for _, code, _ in FAULTS} == set(PROPERTIES)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("First", "U3"),
        ("TrainingMode", "U5"),
        ("WritesToInputs", "U5"),
        ("DividesBySpread", "U6a"),
        ("SwallowsNaN", "U6b"),
        ("FirstClassOnly", "U9"),
        ("Counts", "U11"),
    ],
)
def test_one_fault_breaks_one_property(name: str, code: str) -> None:
    assert [other for other in PROPERTIES if verdict_of(name, other).outcome == "FAILS"] == [code]


def test_a_query_that_is_no_prefix_is_noted() -> None:
    verdict = verdict_of("Backwards", "U10")
    assert verdict.outcome == "noted"
    assert verdict.why.startswith("pool of 3 samples, query of 1: returned [")


@pytest.mark.parametrize("name", ["GlobalTorch", "Remembers"])
def test_the_order_of_the_pool_is_not_asked_of_what_draws_at_random(name: str) -> None:
    verdict = verdict_of(name, "U3")
    assert verdict.outcome == "does not apply"
    assert "at random" in verdict.why


def test_nan_is_not_asked_of_what_does_not_look() -> None:
    assert verdict_of("First", "U6b").outcome == "does not apply"


def test_randomness_that_nothing_seeds_is_found() -> None:
    # by chance two queries may be equal for a pool of 2, but not for one of 300
    verdict = verdict_of("Clock", "U4")
    assert verdict.outcome == "FAILS"
    assert verdict.why.endswith("two queries with the same generator differ")


def test_scores_that_tie_are_no_fault() -> None:
    assert verdict_of("Votes", "U3").outcome == "holds"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("MembersDisagree", "an ensemble"),
        ("WithoutDropout", "a network without dropout"),
        ("Sensitive", "a network with dropout"),
    ],
)
def test_a_strategy_without_fault_holds_with_the_model_that_it_asks_for(name: str, kind: str) -> None:
    subject = Subject(getattr(faulty, name))
    verdicts = [judge(property, subject, time_limit=60) for property in CONTRACT]
    assert [(verdict.outcome, verdict.why) for verdict in verdicts] == [("holds", "")] * 12
    assert subject.kind.name == kind


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("FirstMemberOnly", ["U9"]),
        ("NeverAllOfAnEnsemble", ["U2", "U6a", "U10"]),
        ("LeavesGradients", ["U5"]),
        ("AsksForMore", ["U1", "U2", "U3", "U4", "U5", "U6a", "U6b", "U7", "U8", "U9", "U10", "U11"]),
    ],
)
def test_a_strategy_fails_for_its_own_fault_with_the_model_that_it_asks_for(name: str, codes: list[str]) -> None:
    assert [code for code in PROPERTIES if verdict_of(name, code).outcome == "FAILS"] == codes


def test_what_no_model_has_is_told() -> None:
    why = verdict_of("AsksForMore", "U1").why
    assert why.startswith("pool of 2 samples, query of 1: raised AttributeError: 'DropoutMLP' object has no attribute")
