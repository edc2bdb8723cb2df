"""Agreement of people: known values of kappa."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa as fleiss_of_statsmodels

from al_lightning.errors import InputError
from al_lightning.labeling.agreement import agreement, cohen_kappa, describe, fleiss_kappa
from al_lightning.run_folder.tables import Answered

WIKIPEDIA = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]
"""Fourteen people put ten samples into five classes: https://en.wikipedia.org/wiki/Fleiss%27_kappa."""


def rows(*labels: str, people: str = "abcdefgh", kind: str = "other") -> list[Answered]:
    """Each text has the labels of one sample, a letter for each person; a space is no answer."""
    return [
        Answered(1, index, f"{index}.jpg", label, kind, person)
        for index, of_sample in enumerate(labels)
        for person, label in zip(people, of_sample, strict=False)
        if label != " "
    ]


def test_fleiss_kappa_of_wikipedia() -> None:
    samples = [[str(label) for label, count in enumerate(counts) for _ in range(count)] for counts in WIKIPEDIA]
    assert fleiss_kappa(samples) == pytest.approx(0.210, abs=5e-4)
    assert fleiss_kappa(samples) == pytest.approx(fleiss_of_statsmodels(np.array(WIKIPEDIA)))


@pytest.mark.parametrize("seed", range(3))
def test_cohen_kappa_is_that_of_scikit_learn(seed: int) -> None:
    first = np.random.default_rng(seed).integers(0, 4, 50)
    second = np.where(np.random.default_rng(seed + 10).random(50) < 0.6, first, (first + seed + 1) % 4)
    samples = [{"a": str(a), "b": str(b)} for a, b in zip(first, second, strict=True)]
    assert cohen_kappa(samples, "a", "b") == pytest.approx(cohen_kappa_score(first, second))


def test_fleiss_kappa_of_unequal_numbers_by_hand() -> None:
    """Pairs that agree: 1, 1/3, 0. Classes: 5 x and 2 y of 7 answers."""
    observed, expected = (1 + 1 / 3 + 0) / 3, (5 / 7) ** 2 + (2 / 7) ** 2
    assert fleiss_kappa(["xx", "xyx", "xy"]) == pytest.approx((observed - expected) / (1 - expected))


def test_people_are_compared_where_two_of_them_answered() -> None:
    found = agreement(rows("xx", "xy", "yx", "yy", "x ", " y"))
    assert (found.people, found.num_samples, found.raw, found.name) == (("a", "b"), 4, 0.5, "Cohen's kappa")
    assert found.kappa == pytest.approx(cohen_kappa_score(list("xxyy"), list("xyxy")))
    assert found.confused == ("x", "y", 2)
    three = agreement(rows("xxy", "yy ", " xx"))
    assert (three.people, three.num_samples, three.name) == (("a", "b", "c"), 3, "Fleiss' kappa")
    assert three.raw == pytest.approx((1 / 3 + 1 + 1) / 3)
    assert three.kappa == fleiss_kappa(["xxy", "yy", "xx"])


def test_the_latest_answer_of_a_person_counts_and_answers_without_one_do_not() -> None:
    changed = [*rows("xy"), *rows("y", kind="answer"), *rows("z", people=[""])]  # type: ignore[arg-type]
    found = agreement(changed)
    assert (found.people, found.raw, found.confused) == (("a", "b"), 1.0, None)
    assert found.kappa is None
    assert "is not defined, because all answers are of one class" in describe(found)


def test_a_skip_is_a_class() -> None:
    skipped = [*rows("x"), Answered(1, 0, "", "skip", "other", "b")]
    found = agreement(skipped)
    assert (found.raw, found.confused) == (0.0, ("skip", "x", 1))
    assert "Most often confused: skip and x, in 1 pair of answers." in describe(found)


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(InputError, match="answers of two people for `--agreement`, but there are none"):
        agreement(rows("x", " y", "z"))
