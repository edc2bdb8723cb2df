"""What a report opens with: planted leads are called leads, and chance is not."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from al_lightning.report.analysis import analyse
from al_lightning.report.findings import ALPHA, least_seeds, smallest_p
from al_lightning.report.study import Study, read_study
from tests.report.made_up_runs import settings, write_published_run

pytestmark = pytest.mark.filterwarnings("error")
Found = Callable[[dict[str, Sequence[float]]], tuple[str, ...]]


def study_of(tmp_path: Path, finals: dict[str, Sequence[float]]) -> Study:
    """Runs of two rounds; ``finals`` are the means of both by arm and seed."""
    strategies = {"random": "Random", "margin": "Margin", "entropy": "Entropy"}
    for arm, accuracies in finals.items():
        for seed, accuracy in enumerate(accuracies):
            given = settings(strategies[arm], seed, num_rounds=1)
            write_published_run(tmp_path / arm / f"seed{seed}", given, [accuracy, accuracy])
    return read_study([tmp_path])


@pytest.fixture
def found(tmp_path: Path) -> Found:
    return lambda finals: analyse(study_of(tmp_path, finals)).findings


def test_the_fewest_seeds_are_those_with_which_the_exact_test_can_decide() -> None:
    assert [smallest_p(n) for n in (1, 2, 5, 6)] == [1, 0.5, 0.0625, 0.03125]
    # evaluation by hand: six seeds for one test, and ten seeds allow at most 25 tests by Holm
    assert [least_seeds(k) for k in (1, 2, 25, 26)] == [6, 7, 10, 11]
    for num_tests in range(1, 60):
        n = least_seeds(num_tests)
        assert num_tests * smallest_p(n) < ALPHA <= num_tests * smallest_p(n - 1)


def test_a_lead_that_is_large_in_all_seeds_is_shown(found: Found) -> None:
    random = [0.70, 0.72, 0.71, 0.73, 0.70, 0.72]
    gaps = [0.05, 0.051, 0.049, 0.05, 0.052, 0.048]
    sentences = found({"random": random, "margin": [r + gap for r, gap in zip(random, gaps, strict=True)]})
    assert (
        sentences[0] == "margin has the highest mean, 0.7633: accuracy, mean of 2 rounds, 500 to 600 labels; 6 seeds."
    )
    assert sentences[1].startswith(
        "margin is shown to be better than random: it is 0.0500 above random (95 % interval "
    )
    assert sentences[1].endswith("Holm's p below 0.001, exact p 0.031).")
    assert sentences[2] == "In 100 % of the resamples of the seeds, margin has the highest mean."
    assert len(sentences) == 3  # the exact test can decide, and no more seeds are needed


def test_a_lead_by_chance_is_not_shown_and_says_how_many_seeds_would_show_it(found: Found) -> None:
    gaps = np.array([0.02, -0.02, 0.03, -0.01, 0.01, -0.02])
    random = np.full(6, 0.7)
    sentences = found({"random": random.tolist(), "margin": (random + gaps).tolist()})
    assert sentences[1].startswith("Nothing is shown to differ: margin is 0.0017 above random (95 % interval -0.0")
    assert sentences[1].endswith("This does not show that the arms are equal.")
    # the fewest seeds with a power of 80 %, by the noncentral t distribution
    effect = gaps.mean() / gaps.std(ddof=1)
    power = [stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, effect * np.sqrt(n)) for n in (2, 999, 1_000)]
    assert power[1] < power[2]
    needed = next(n for n in range(2, 5_000) if stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, effect * n**0.5) >= 0.8)
    words = f"about {needed}" if needed <= 1_000 else "more than 1,000"
    assert sentences[3] == (
        f"If the true difference of margin and random is as large as the one seen, {words} seeds would show it in four "
        "of five studies."
    )


def test_never_fewer_seeds_are_called_enough_than_the_exact_test_needs(found: Found) -> None:
    sentences = found({"random": [0.7, 0.7, 0.7], "margin": [0.72, 0.71, 0.71]})
    assert "Nothing is shown to differ" in sentences[1]
    assert any("about 6 seeds would show it" in sentence for sentence in sentences)
    assert sentences[-1] == (
        "With 3 seeds the exact sign-flip test cannot go below 0.25, so the verdicts rest on the t test, which assumes "
        "normal differences. 6 seeds let the exact test decide the comparison."
    )


@pytest.mark.parametrize(("num_seeds", "words"), [(1, "one seed shows nothing"), (2, "two seeds are worth nothing")])
def test_one_or_two_seeds_show_nothing_however_large_the_lead(found: Found, num_seeds: int, words: str) -> None:
    sentences = found({"random": [0.5, 0.5][:num_seeds], "margin": [0.9, 0.9001][:num_seeds]})
    assert sentences[1].startswith("Nothing is shown to differ: margin is 0.400")
    assert words in sentences[1]
    assert (
        sentences[2]
        == "At least 3 seeds tell something, and 6 seeds let the exact sign-flip test decide the comparison."
    )
    assert not any("shown to be better" in sentence for sentence in sentences)


def test_a_leader_that_another_arm_is_level_with_is_shown_to_be_better_than_the_rest_only(found: Found) -> None:
    random = np.array([0.70, 0.72, 0.71, 0.73, 0.70, 0.72, 0.71])
    margin = np.add(random, [0.05, 0.051, 0.049, 0.05, 0.052, 0.048, 0.05])
    entropy = np.subtract(margin, [0.002, -0.001, 0.002, -0.001, 0.001, 0.000, -0.002])
    sentences = found({"random": random.tolist(), "margin": margin.tolist(), "entropy": entropy.tolist()})
    assert sentences[1].startswith(
        "margin is shown to be better than random, but not than entropy: it is 0.0001 above "
    )
    assert "Compared with random: better: margin, entropy." in sentences
    assert any("difference of margin and entropy" in sentence for sentence in sentences)


def test_another_arm_that_is_ahead_with_the_last_labels_is_named(tmp_path: Path) -> None:
    for arm, accuracy in (("random", [0.5, 0.9]), ("margin", [0.8, 0.85])):
        write_published_run(tmp_path / arm / "seed0", settings(arm.capitalize(), num_rounds=1), accuracy)
    sentences = analyse(read_study([tmp_path])).findings
    assert sentences[0].startswith("margin has the highest mean, 0.8250")
    assert sentences[1] == "With the last labels, 600, random has the highest accuracy, 0.9000."


def test_arms_with_the_same_values_are_told_apart_by_no_number_of_seeds(found: Found) -> None:
    sentences = found({"random": [0.7, 0.8, 0.75], "margin": [0.7, 0.8, 0.75]})
    assert "have the same mean: more seeds are not known to tell them apart." in sentences[3]


def test_one_arm_has_its_accuracy_and_nothing_is_compared(found: Found) -> None:
    sentences = found({"margin": [0.9, 1.0]})
    # the interval of two seeds reaches from 0.315 to 1.585
    assert sentences == (
        "With 600 labels, margin has the accuracy 0.9500 on the test set (2 seeds, 95 % interval 0.3147 to 1.0000).",
        "There is one arm: runs of another strategy with the same seeds would tell what its queries are worth.",
    )


def test_false_leads_are_rare(tmp_path: Path) -> None:
    """Of studies of arms that do not differ, at most about 5 % may show a lead."""
    study = study_of(tmp_path, {arm: [0.7] * 4 for arm in ("random", "margin", "entropy")})
    rng = np.random.default_rng(0)
    shown = 0
    for _ in range(100):
        chance = replace(study)
        accuracy = {arm: np.repeat(rng.normal(0.7, 0.01, (4, 1)), 2, axis=1) for arm in study.arms}
        chance.__dict__["accuracy"] = accuracy  # in place of the cached property
        shown += any("is shown to be better" in sentence for sentence in analyse_findings(chance))
    assert shown <= 11  # 100 studies at 5 %: 5, and 2.6 standard deviations


def analyse_findings(study: Study) -> tuple[str, ...]:
    from al_lightning.report.endpoints import endpoint_table
    from al_lightning.report.findings import findings
    from al_lightning.report.people import asked_table

    table = endpoint_table(study, "random")
    assert not isnan(table["p_holm"].iloc[1])
    return findings(study, "random", table, asked_table(study))
