"""Runs of people: what was asked and answered, without a test set, while questions are open, and with skips."""

from math import isnan, nan, sqrt
from pathlib import Path

import numpy as np
import pytest

from al_lightning.errors import InputError
from al_lightning.report.analysis import Analysis, analyse
from al_lightning.report.people import by_run
from al_lightning.report.study import read_study
from tests.report.made_up_runs import settings, write_run
from tests.report.people_runs import ROUNDS, correct, people_settings, write_people_run

pytestmark = pytest.mark.filterwarnings("error")


def analysed(path: Path, **kwargs: object) -> Analysis:
    return analyse(read_study([write_people_run(path, **kwargs)]))  # type: ignore[arg-type]


def wilson(k: int, n: int) -> tuple[float, float]:
    """Wilson's interval from its formula."""
    z, p = 1.959963984540054, k / n
    middle, half = p + z**2 / (2 * n), z * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)


def test_each_round_has_its_answers_its_agreement_and_its_cost(tmp_path: Path) -> None:
    table = analysed(tmp_path / "photos").asked
    assert table["round"].tolist() == [0, 1, 2]
    assert table["num_labeled"].tolist() == [3, 6, 10]
    assert table["asked"].tolist() == [4, 4, 4]
    assert table["labeled"].tolist() == [3, 3, 4]
    assert table["skipped"].tolist() == [1, 1, 0]
    assert table["agreed"].tolist()[1:] == [2 / 3, 1]  # a skip is no disagreement
    assert isnan(table["agreed"][0])  # nothing had predicted the first labels
    assert table.loc[1, ["agreed_low", "agreed_high"]].tolist() == pytest.approx(wilson(2, 3))
    assert table.loc[2, ["agreed_low", "agreed_high"]].tolist() == pytest.approx(wilson(4, 4))
    assert table["fit"].tolist() == [1, 2, 3]
    assert table[["score", "select", "test"]].to_numpy().tolist() == [[0.5, 0.25, 0.125]] * 3


def test_each_class_is_counted_by_its_name_also_one_that_nobody_gave(tmp_path: Path) -> None:
    table = analysed(tmp_path / "photos").classes
    assert table["name"].tolist() == ["kühl", "hot dog", "two"]
    assert table["labels"].tolist() == [5, 5, 0]
    assert table["share"].tolist() == [0.5, 0.5, 0]


def test_classes_without_names_have_their_numbers(tmp_path: Path) -> None:
    table = analysed(tmp_path / "photos", identity={"samples": "x"}).classes
    assert table["name"].tolist() == ["0", "1"]
    found = analysed(tmp_path / "other", answers=ROUNDS[:1], identity={"samples": "x"}).findings
    assert found[0] == "The run has 3 labels and 1 finished round; people skipped 1 sample."


def test_without_a_test_set_there_is_no_table_of_accuracies(tmp_path: Path) -> None:
    found = analysed(tmp_path / "photos")
    assert (found.bands, len(found.endpoints), len(found.efficiency), len(found.falls)) == ({}, 0, 0, 0)
    assert "There is no test set, so that the accuracy is not known." in found.notes
    assert not any("one seed" in note for note in found.notes)  # there is nothing to lead
    assert found.cost["fit"].tolist() == [2]
    assert found.balance["num_labeled"].tolist() == [3, 6, 10]
    assert found.findings == (
        "The run has 10 labels and 3 finished rounds; people skipped 2 samples.",
        "The most frequent class is kühl with 5 labels, the rarest is two with 0.",
        "The model predicted 100 % of the answers of round 2 (95 % interval 51 % to 100 %), after 67 % in round 1.",
        "The strategy asks for samples that are hard for the model, so this share is no estimate of the accuracy.",
    )


def test_with_a_test_set_the_accuracy_is_that_with_the_last_labels(tmp_path: Path) -> None:
    found = analysed(tmp_path / "photos", accuracy=[0.5, 0.6, 0.9])
    assert found.findings[-1] == "With 10 labels, photos has the accuracy 0.9000 on the test set (one seed)."
    assert found.asked["test_acc"].tolist() == [0.5, 0.6, 0.9]
    assert found.bands["photos"]["mean"].tolist() == [0.5, 0.6, 0.9]


def test_agreement_of_a_random_query_estimates_the_accuracy(tmp_path: Path) -> None:
    found = analysed(tmp_path / "photos", settings=people_settings("Random"))
    assert "The samples were drawn at random, so this share estimates the accuracy on the pool." in found.findings


def test_open_questions_are_counted_and_answered_ones_are_not(tmp_path: Path) -> None:
    path = tmp_path / "photos"
    found = analysed(path, num_open=3, num_partly=1)
    assert found.findings[-1] == f"3 questions are open in round 3: al-lightning label {path}"
    found = analysed(tmp_path / "other", num_open=1)
    assert "1 question is open in round 3" in found.findings[-1]


def test_answers_that_no_fit_has_seen_yet_are_shown_without_its_cost(tmp_path: Path) -> None:
    found = analysed(tmp_path / "photos", num_fitted=2, accuracy=[0.5, 0.6, nan])
    assert found.asked["num_labeled"].tolist() == [3, 6, 10]
    assert np.isnan(found.asked["fit"].tolist()).tolist() == [False, False, True]
    assert found.study.num_labeled.tolist() == [3, 6]


def test_a_query_that_was_skipped_as_a_whole_leaves_the_curves_out(tmp_path: Path) -> None:
    answers = [ROUNDS[0], [(-1, 0)] * 4, ROUNDS[2]]
    found = analysed(tmp_path / "photos", answers=answers, accuracy=[0.5, 0.6, 0.7])
    assert found.study.num_labeled.tolist() == [3, 3, 7]
    assert found.bands == {}
    assert any("A whole query was skipped" in note for note in found.notes)
    assert found.asked["skipped"].tolist() == [1, 4, 0]


def test_a_run_without_a_planned_end_is_never_unfinished(tmp_path: Path) -> None:
    found = analysed(tmp_path / "photos", settings=people_settings(num_rounds=None))
    assert found.study.all_runs[0].num_rounds == 3
    assert not any("in progress" in note for note in found.notes)


def test_a_run_that_waits_for_its_first_labels_is_said_to_wait(tmp_path: Path) -> None:
    path = write_people_run(tmp_path / "photos", answers=(), num_open=4)
    with pytest.raises(Exception, match=f"found none, because it waits for labels: al-lightning label {path}.$"):
        read_study([path])


def test_runs_of_people_are_told_apart(tmp_path: Path) -> None:
    for seed in range(2):
        write_people_run(tmp_path / "photos" / f"seed{seed}", people_settings(seed=seed))
    found = analyse(read_study([tmp_path]))
    assert list(by_run(found.asked)) == [("photos", 0), ("photos", 1)]
    assert [len(rows) for rows in by_run(found.classes).values()] == [3, 3]
    assert found.findings[0].startswith("photos, seed 0 has 10 labels")


def test_simulated_runs_ask_no_people(tmp_path: Path) -> None:
    write_run(tmp_path / "random" / "seed0", settings(num_rounds=1), [0.7, 0.75])
    found = analyse(read_study([tmp_path]))
    assert (len(found.asked), len(found.classes)) == (0, 0)


def test_corrections_count_as_labels_of_today(tmp_path: Path) -> None:
    """Sample 5 was called hot dog, as nobody had predicted, and is kühl, as the model said."""
    path = write_people_run(tmp_path / "photos", accuracy=[0.5, 0.6, 0.9])
    correct(path, (5, "two"))
    correct(path, (5, "kühl"))  # the later one counts
    found = analyse(read_study([path]))
    assert found.asked["corrected"].tolist() == [0, 1, 0]
    assert found.asked["agreed"].tolist()[1:] == [1, 1]
    assert found.classes["labels"].tolist() == [6, 4, 0]
    assert found.asked["num_labeled"].tolist() == [3, 6, 10]
    assert "1 answer was corrected later. The classes below are those of today." in found.findings
    assert found.study.all_runs[0].all_queries["label"][5] == 1  # queries.csv stays what it was


@pytest.mark.parametrize(("index", "name", "labels"), [(5, "skip", [5, 4, 0]), (7, "two", [5, 5, 1])])
def test_a_label_may_become_a_skip_and_a_skip_a_label(tmp_path: Path, index: int, name: str, labels: list[int]) -> None:
    path = write_people_run(tmp_path / "photos", accuracy=[0.5, 0.6, 0.9])
    correct(path, (index, name))
    found = analyse(read_study([path]))
    assert found.classes["labels"].tolist() == labels
    assert found.bands["photos"]["num_labeled"].tolist() == [3, 6, 10]  # the rounds are what they were
    assert found.balance["num_labeled"].tolist() == [3, 6, 10]


def test_labels_that_are_all_corrected_to_skips_leave_a_report(tmp_path: Path) -> None:
    path = write_people_run(tmp_path / "photos", answers=ROUNDS[:1])
    correct(path, (0, "skip"), (1, "skip"), (3, "skip"))
    found = analyse(read_study([path]))
    assert found.classes["labels"].tolist() == [0, 0, 0]
    assert found.balance["entropy"].isna().all()
    assert "Each of the 3 classes has 0 labels." in found.findings


def test_a_correction_that_names_no_class_is_refused(tmp_path: Path) -> None:
    path = write_people_run(tmp_path / "photos")
    correct(path, (5, "cow"))
    with pytest.raises(InputError, match="names of classes in .*answers.csv, but got 'cow'"):
        read_study([path])
