"""The tables of an analysis show the planted differences, and no others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from al_lightning.errors import InputError
from al_lightning.report.analysis import Analysis, analyse
from al_lightning.report.endpoints import endpoint_values
from al_lightning.report.study import read_study
from tests.report.made_up_runs import learning_curve, settings, write_run, write_study

pytestmark = pytest.mark.filterwarnings("error")
GAIN = 0.01


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Random, a strategy that is one point better from its first query on, and one that is the same as random."""
    arms = {
        "random": ({}, learning_curve()),
        "margin": ({"strategy": "Margin"}, learning_curve(GAIN)),
        "entropy": ({"strategy": "Entropy"}, learning_curve(0.0)),
    }
    return analyse(read_study([write_study(tmp_path_factory.mktemp("runs"), arms)]))


def row(table, **conditions):
    for column, value in conditions.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_endpoints_are_the_declared_ones_and_the_primary_comes_first(analysis: Analysis) -> None:
    assert list(endpoint_values(analysis.study)) == [
        "accuracy, mean of 5 rounds, 9,600 to 10,000 labels",
        "AUBC 500-10,500",
        "early AUBC 500-2,000",
        "late AUBC 8,000-10,000",
        "last round, 10,500",
    ]


def test_a_planted_difference_is_found_and_covered(analysis: Analysis) -> None:
    found = row(analysis.endpoints, arm="margin", endpoint="accuracy, mean of 5 rounds, 9,600 to 10,000 labels")
    assert found.difference_low < GAIN < found.difference_high
    assert found.difference_high - found.difference_low < 0.002
    assert found.p <= found.p_holm < 0.001
    assert found.p_sign_flip == 2 / 2**10
    assert found.best == 1


def test_identical_methods_are_not_told_apart(analysis: Analysis) -> None:
    found = row(analysis.endpoints, arm="entropy", endpoint="accuracy, mean of 5 rounds, 9,600 to 10,000 labels")
    assert found.difference_low < 0 < found.difference_high
    assert found.p_holm > 0.05
    assert found.best == 0


def test_the_final_accuracy_is_the_mean_of_the_last_five_rounds_up_to_10_000_labels(analysis: Analysis) -> None:
    curves = analysis.study.accuracy["margin"]
    found = row(analysis.endpoints, arm="margin", endpoint="accuracy, mean of 5 rounds, 9,600 to 10,000 labels")
    assert found["mean"] == pytest.approx(curves[:, 91:96].mean())
    assert row(analysis.endpoints, arm="margin", endpoint="last round, 10,500")["mean"] == curves[:, -1].mean()


def test_fits_cut_short_are_said_where_they_differ_between_arms(tmp_path: Path) -> None:
    arms = {name: ({"strategy": name.title()}, learning_curve()) for name in ("random", "margin", "entropy")}
    study = read_study([write_study(tmp_path, arms)])
    assert analyse(study).notes == study.notes == ()
    for run in study.runs["margin"]:  # of rounds 91 to 95 the last four, and one that does not count
        run.rounds.loc[[90, 92, 93, 94, 95], "converged"] = False
    assert analyse(study).notes == (
        "Of the fits with 9,600 to 10,000 labels these ended at the cap of epochs, not converged: 80 % of margin; 0 % "
        "of entropy, random. The effect on the differences is not known.",
    )
    for runs in study.runs.values():  # all alike: no difference between arms comes from it
        for run in runs:
            run.rounds["converged"] = False
    assert analyse(study).notes == ()


def test_fits_that_fell_are_said_and_a_median_stands_beside_the_mean(tmp_path: Path) -> None:
    arms = {"random": ({}, learning_curve()), "margin": ({"strategy": "Margin"}, learning_curve(GAIN))}
    study = read_study([write_study(tmp_path, arms, num_seeds=3)])
    median = "accuracy, median of 5 rounds, 9,600 to 10,000 labels"
    run = study.runs["margin"][1]
    run.rounds.loc[[40, 100], "test_acc"] -= 0.1  # neither counts for the primary endpoint
    assert median not in endpoint_values(study)
    run.rounds.loc[93, "test_acc"] -= 0.1
    found = analyse(replace(study))  # a copy, which has no curves yet
    assert found.notes == (
        "Of the 303 fits of margin, 3 fell more than 2 points below the fits around them, 1 of them with 9,600 to "
        "10,000 labels. Means count these fits in full; summary.json lists them under falls.",
    )
    assert found.falls[["arm", "seed", "num_labeled"]].to_numpy().tolist() == [
        ["margin", 1, 4_500],
        ["margin", 1, 9_800],
        ["margin", 1, 10_500],
    ]
    assert (found.falls["around"] - found.falls["accuracy"]).to_numpy() == pytest.approx(0.1, abs=0.002)
    endpoints = found.endpoints["endpoint"].unique()
    assert list(endpoints[:2]) == ["accuracy, mean of 5 rounds, 9,600 to 10,000 labels", median]
    by_mean, by_median = (row(found.endpoints, arm="margin", endpoint=endpoint) for endpoint in endpoints[:2])
    assert by_mean.difference == pytest.approx(GAIN - 0.1 / 15, abs=0.001)
    assert by_median.difference == pytest.approx(GAIN, abs=0.001)


def test_bands_hold_the_means_and_round_0_does_not_differ(analysis: Analysis) -> None:
    band = analysis.bands["margin"]
    assert np.allclose(band["mean"], analysis.study.accuracy["margin"].mean(axis=0))
    assert (band["difference"][0], band["simultaneous_low"][0], band["simultaneous_high"][0]) == (0, 0, 0)
    assert (band["simultaneous_low"][1:] > 0).all()
    inner = band["difference_high"] - band["difference_low"]
    outer = band["simultaneous_high"] - band["simultaneous_low"]
    assert (outer[1:] > inner[1:]).all()


def test_the_better_arm_reaches_randoms_accuracy_with_fewer_labels(analysis: Analysis) -> None:
    found = row(analysis.efficiency, arm="margin", target_labels=5_000)
    # 0.035 log(n / 500) + 0.01 of the one is 0.035 log(5000 / 500) of the other
    expected = 5_000 / np.exp(GAIN / 0.035)
    assert found.labels == pytest.approx(expected, rel=0.05)
    assert found.low < 5_000 / expected < found.high
    assert (found.censored, found.at_once, found.bound) == (False, False, "")
    assert found.ratio == found.baseline_labels / found.labels
    assert row(analysis.efficiency, arm="random", target_labels=5_000).ratio == 1


def test_a_flat_curve_needs_fewer_labels_for_the_same(tmp_path: Path) -> None:
    """The labels of the baseline are those with which it first reaches the target."""
    for seed in range(2):
        for arm, accuracy in (("random", [0.5] + [0.7] * 20), ("margin", [0.6] + [0.8] * 20)):
            write_run(tmp_path / arm / f"seed{seed}", settings(arm.capitalize(), seed, num_rounds=20), accuracy)
    found = row(analyse(read_study([tmp_path])).efficiency, arm="margin", target_labels=2_500)
    assert (found.target_accuracy, found.baseline_labels, found.labels) == (0.7, 600, 550)
    assert found.ratio == found.low == found.high == 600 / 550


def test_calibration_is_of_the_same_seeds_in_all_arms(tmp_path: Path) -> None:
    """Runs that were begun before there was any have none of their first rounds."""
    arms = {"random": ({}, learning_curve()), "margin": ({"strategy": "Margin"}, learning_curve(GAIN))}
    arms |= {"old": ({"strategy": "Entropy"}, learning_curve())}
    study = write_study(tmp_path, arms, num_seeds=3, num_rounds=4)
    old = [(f"old/seed{seed}", "01234") for seed in range(3)]
    for path, missing in [("random/seed0", "012"), ("margin/seed1", "0"), *old]:
        file = study / path / "calibration.csv"
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(line for line in lines if line.split(",")[0] not in missing))
    found = analyse(read_study([study]))
    assert found.calibration.groupby(["arm", "num_labeled"])["count"].sum().to_dict() == {
        (arm, labels): seeds * sum(range(10, 160, 10))
        for arm in ("margin", "random")
        for labels, seeds in ((500, 1), (700, 2), (900, 3))
    }
    assert [note for note in found.notes if "Calibration" in note] == [
        "Calibration with 500 labels is of seed 2 only: no other seed has it in all arms that have any.",
        "Calibration with 700 labels is of seeds 1, 2 only: no other seed has it in all arms that have any.",
    ]
    (study / "margin/seed2/calibration.csv").write_text(lines[0])
    found = analyse(read_study([study]))
    assert set(found.calibration["num_labeled"]) == {700, 900}
    assert "Calibration with 500 labels is left out: no seed has it in all arms that have any." in found.notes
    assert not any("Calibration" in note for note in analyse(read_study([study / "old"])).notes)


def test_the_penalty_matrix_has_the_winner_in_its_row(analysis: Analysis) -> None:
    assert analysis.penalty.loc["margin", "random"] == pytest.approx(100 / 101)  # not in round 0
    assert analysis.penalty.loc["random", "margin"] == 0
    assert analysis.penalty.loc["entropy", "random"] < 0.15


def test_overlap_balance_cost_and_calibration(analysis: Analysis) -> None:
    assert analysis.overlap.loc["margin", "margin"] == 1
    assert analysis.overlap.loc["margin", "random"] == pytest.approx(10_000 / 59_500, rel=0.1)  # both queried at random
    assert analysis.overlap.loc["margin", "random"] == analysis.overlap.loc["random", "margin"]
    assert analysis.balance["entropy"].between(0.99, 1).all()
    classes = [run.queries["label"][:5_500].value_counts(normalize=True) for run in analysis.study.runs["margin"]]
    shares = np.mean([found.sort_index() for found in classes], axis=0)
    balance = row(analysis.balance, arm="margin", num_labeled=5_500)
    assert balance[["least", "most"]].tolist() == pytest.approx([shares.min(), shares.max()])
    cost = row(analysis.cost, arm="margin")
    assert (cost.fit, cost.score, cost.select, cost.test, cost.capped) == (2, 0.25, 0, 0.125, 0)
    assert cost.total == pytest.approx(101 * 2.375 / 3600)
    bin = row(analysis.calibration, arm="random", num_labeled=10_500, bin=14)
    assert (bin["count"], bin.confidence, bin.accuracy) == (
        10 * 150,
        pytest.approx(14.5 / 15),
        pytest.approx(14 / 15),
    )
    assert sorted(set(analysis.calibration["num_labeled"])) == [500, 5_500, 10_500]


def test_one_seed_gives_means_and_no_tests(tmp_path: Path) -> None:
    arms = {"random": ({}, learning_curve()), "margin": ({"strategy": "Margin"}, learning_curve(GAIN))}
    analysis = analyse(read_study([write_study(tmp_path, arms, num_seeds=1, num_rounds=20)]))
    found = row(analysis.endpoints, arm="margin", endpoint="accuracy, mean of 5 rounds, 2,100 to 2,500 labels")
    assert found.difference == pytest.approx(GAIN, abs=0.001)
    assert found[["difference_low", "difference_high", "p", "p_holm", "best"]].isna().all()
    assert analysis.penalty.isna().all(axis=None)


def test_one_arm_of_one_round_can_be_looked_at(tmp_path: Path) -> None:
    write_run(tmp_path / "badge" / "seed0", settings("BADGE", num_rounds=0), [0.75])
    analysis = analyse(read_study([tmp_path]))
    assert analysis.baseline == "badge"
    assert analysis.efficiency.empty
    assert analysis.endpoints["mean"].tolist() == [0.75]


def test_a_baseline_that_is_not_there_is_named(analysis: Analysis) -> None:
    with pytest.raises(InputError, match="baseline to be one of entropy, margin, random, but got `bald`"):
        analyse(analysis.study, "bald")


def test_diagnostics_are_joined_by_round(tmp_path: Path) -> None:
    for seed, figures in ((0, [0.1, float("nan"), 0.3, 0.4]), (1, [0.3, 0.2, 0.5])):
        given = settings("BALD", seed, num_rounds=3)
        write_run(tmp_path / "bald" / f"seed{seed}", given, [0.7, 0.71, 0.72, 0.73], diagnostics={"x": figures})
    table = analyse(read_study([tmp_path])).diagnostics
    assert table["num_labeled"].tolist() == [500, 700]
    assert table["mean"].tolist() == pytest.approx([0.2, 0.4])


def test_intervals_of_accuracies_stay_among_accuracies(tmp_path: Path) -> None:
    for seed, accuracy in enumerate(([0.2, 0.5], [0.9, 1.0])):
        for arm in ("random", "margin"):
            write_run(tmp_path / arm / f"seed{seed}", settings(arm.capitalize(), seed, num_rounds=1), accuracy)
    found = analyse(read_study([tmp_path]))
    assert found.bands["margin"]["low"].tolist() == [0, 0]
    assert found.bands["margin"]["high"].tolist() == [1, 1]
    assert found.endpoints["low"].min() == 0
    assert found.endpoints["high"].max() == 1
