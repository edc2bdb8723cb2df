"""Reading runs: what is compared can be compared, and what cannot is refused by name."""

import gzip
import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from al_lightning.errors import InputError
from al_lightning.run_folder import Query, Round, RunFolder
from al_lightning.study.runs import find_runs, read_run, read_study
from tests.study.planted import learning_curve, settings, write_run, write_study

ACCURACY = [0.7, 0.75, 0.8]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    arms = {"random": ({}, learning_curve()), "margin": ({"strategy": "Margin"}, learning_curve(0.01))}
    return write_study(tmp_path / "runs", arms, num_seeds=3, num_rounds=4)


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write_run(tmp_path / "bald" / "seed3", settings("BALD", 3, 2), ACCURACY, diagnostics={"x": [0.1, 0.2]})
    run = read_run(path)
    assert (run.arm, run.seed, run.num_rounds, run.is_finished) == ("bald", 3, 3, True)
    assert run.rounds["test_acc"].tolist() == ACCURACY
    assert run.settings["loop.strategy"] == "al_lightning.BALD"
    assert "loop.num_rounds" not in run.settings
    assert len(run.queries) == 700
    assert run.queries["predicted"].isna().sum() == 500
    assert run.diagnostics["value"].tolist() == [0.1, 0.2]
    assert run.calibration["count"].sum() == 3 * sum(range(10, 160, 10))


def test_a_published_run_has_compressed_tables_and_no_commit(tmp_path: Path) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY)
    before = read_run(path)
    for name in ("queries.csv", "calibration.csv"):
        (path / f"{name}.gz").write_bytes(gzip.compress((path / name).read_bytes()))
        (path / name).unlink()
    (path / "commit.json").unlink()
    after = read_run(path)
    assert after.queries.equals(before.queries)
    assert after.calibration.equals(before.calibration)


def test_arms_are_paired_by_seed_not_by_order(study: Path) -> None:
    read = read_study([study])
    assert read.arms == ["margin", "random"]
    assert read.seeds == (0, 1, 2)
    assert read.num_labeled.tolist() == [500, 600, 700, 800, 900]
    for s, seed in enumerate(read.seeds):
        assert read.runs["margin"][s].seed == read.runs["random"][s].seed == seed
    assert np.array_equal(read.accuracy["margin"][:, 0], read.accuracy["random"][:, 0])
    assert read.notes == ()


def test_seeds_that_not_all_arms_have_are_left_out_and_named(study: Path) -> None:
    (study / "margin" / "seed1").rename(study / "margin" / "seed7")
    config = study / "margin" / "seed7" / "config.yaml"
    text = config.read_text().replace("seed_everything: 1", "seed_everything: 7")
    config.write_text(text)
    (study / "margin" / "seed7" / "commit.json").unlink()
    read = read_study([study])
    assert read.seeds == (0, 2)
    assert "Seeds 7 of margin are left out: not all arms have them." in read.notes
    assert "Seeds 1 of random are left out: not all arms have them." in read.notes


def test_seeds_are_chosen_and_with_them_the_rounds_in_common(study: Path) -> None:
    """Seeds that are not asked for neither cut the rounds nor have to be of the protocol."""
    other = study / "random" / "seed1"
    shutil.rmtree(other)
    write_run(other, settings(seed=1, num_rounds=2, max_epochs=50), ACCURACY)
    read = read_study([study], seeds=[2, 0])
    assert read.seeds == (0, 2)
    assert [run.seed for run in read.runs["margin"]] == [0, 2]
    assert read.num_labeled.tolist() == [500, 600, 700, 800, 900]
    with pytest.raises(InputError, match="`--seeds` .*, but `margin` has no run with seed 3, only with 0, 1, 2"):
        read_study([study], seeds=[0, 4, 3])


def test_one_seed_is_said_to_allow_no_test(tmp_path: Path) -> None:
    write_run(tmp_path / "random" / "seed0", settings(num_rounds=2), ACCURACY)
    assert any("no test is possible" in note for note in read_study([tmp_path]).notes)


def test_unequal_rounds_are_cut_to_the_common_ones(tmp_path: Path) -> None:
    write_run(tmp_path / "random" / "seed0", settings(num_rounds=2), ACCURACY)
    write_run(tmp_path / "margin" / "seed0", settings("Margin", num_rounds=2), ACCURACY[:2])
    read = read_study([tmp_path])
    assert read.num_labeled.tolist() == [500, 600]
    assert any("the first 2, which all have, are used" in note and "margin" in note for note in read.notes)
    assert any("1 of 2 runs are in progress, or were stopped" in note for note in read.notes)


def test_labels_can_be_cut(study: Path) -> None:
    assert read_study([study], max_labels=750).num_labeled.tolist() == [500, 600, 700]
    with pytest.raises(InputError, match="`--max_labels` to be at least 500, but got 400"):
        read_study([study], max_labels=400)


def test_other_protocols_are_refused_by_the_setting_that_differs(study: Path) -> None:
    write_run(study / "entropy" / "seed0", settings("Entropy", max_epochs=100), ACCURACY)
    with pytest.raises(
        InputError, match="one protocol, but `trainer.max_epochs` is 100 in .*entropy.* and 200 in .*margin"
    ):
        read_study([study])


def test_runs_of_one_arm_have_one_method(study: Path) -> None:
    write_run(study / "random" / "seed8", settings(seed=8, dropout=0.25), ACCURACY)
    with pytest.raises(InputError, match=r"`model.dropout` is 0.5 in .* and 0.25 in .*seed8"):
        read_study([study])


def test_arms_may_differ_in_how_they_train(study: Path) -> None:
    for seed in range(3):
        write_run(study / "random_dropout0" / f"seed{seed}", settings(seed=seed, dropout=0.0, num_rounds=2), ACCURACY)
    read = read_study([study])
    assert read.recipe("random_dropout0") != read.recipe("random") == read.recipe("margin")
    assert read.protocol["trainer.max_epochs"] == 200
    assert "model.dropout" not in read.protocol


def test_arms_are_chosen_by_name(study: Path) -> None:
    assert read_study([study], arms=["random"]).arms == ["random"]
    with pytest.raises(InputError, match="arms to be among margin, random, but got `bald`"):
        read_study([study], arms=["random", "bald"])


def test_the_same_run_twice_is_refused(study: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "again" / "random" / "seed0", settings(num_rounds=4), ACCURACY)
    with pytest.raises(InputError, match="one run of `random` with seed 0, but got"):
        read_study([study, tmp_path / "again"])


def test_the_same_folder_given_twice_is_read_once(study: Path) -> None:
    assert len(find_runs([study, study / "random"])) == 6


def test_a_run_without_a_finished_round_is_left_out_and_named(study: Path) -> None:
    folder = RunFolder.open(study / "bald" / "seed0", settings("BALD"))
    folder.commit(queries=[Query(0, 0, 7, 3, None)])
    folder.close()
    read = read_study([study])
    assert read.arms == ["margin", "random"]
    assert any("bald" in note and "no finished round yet" in note for note in read.notes)


def test_empty_and_missing_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder .*nothing"):
        find_runs([tmp_path / "nothing"])
    with pytest.raises(InputError, match="Expected runs in .*, but found no rounds.csv"):
        find_runs([tmp_path])


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("rounds.csv", "a,b\n1,2\n", "the column `round` in .*rounds.csv, but it has a, b"),
        ("config.yaml", "- 1\n", "config.yaml to have the settings of a run"),
        ("config.yaml", "a: [", "config.yaml to have the settings of a run"),
        ("queries.csv", "", "queries.csv to be a table of a run"),
        ("queries.csv", "\xff\xfe", "queries.csv"),
    ],
)
def test_foreign_files_are_named(tmp_path: Path, name: str, content: str, sentence: str) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY)
    (path / "commit.json").unlink()
    (path / name).write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=sentence):
        read_study([tmp_path])


def test_an_edited_file_is_refused(tmp_path: Path) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY)
    rounds = path / "rounds.csv"
    rounds.write_text(rounds.read_text().replace("0.8,", "0.9,"))
    with pytest.raises(InputError, match="as they were committed, but one was edited or is torn"):
        read_run(path)
    assert "sha256" in json.loads((path / "commit.json").read_text())


def test_a_run_can_be_read_while_it_commits(tmp_path: Path) -> None:
    """Every reading is of one moment: as many queries as the rounds have asked for."""
    given = settings()
    path = write_run(tmp_path / "random" / "seed0", given, ACCURACY)
    folder = RunFolder.open(path, given)
    template = folder.rounds[-1]
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            last = len(folder.rounds)
            row = Round(**{**vars(template), "round": last, "num_labeled": 500 + 100 * last})
            folder.commit([row], [Query(last, i, 10_000_000 + 100 * last + i, 1, None) for i in range(100)])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        seen = [read_run(path)]
        deadline = time.monotonic() + 30
        while len(seen[-1].rounds) < len(ACCURACY) + 10 and time.monotonic() < deadline:
            seen.append(read_run(path))
    finally:
        stop.set()
        thread.join()
        folder.close()
    assert all(len(run.queries) == 500 + 100 * (len(run.rounds) - 1) for run in seen)
    assert len(seen[-1].rounds) > len(seen[0].rounds)


@pytest.mark.parametrize(
    ("name", "old", "new", "sentence"),
    [
        ("rounds.csv", "0.75,", "much,", "numbers in the column `test_acc` of .*rounds.csv"),
        ("rounds.csv", "0.75,", "nan,", "test accuracies in .*rounds.csv, but one is not a number"),
        ("rounds.csv", "1,600,", "1,400,", "more labels in each round of .*rounds.csv"),
        ("calibration.csv", "0,0,10,", "0,0,ten,", "numbers in the column `count` of .*calibration.csv"),
    ],
)
def test_values_that_are_none_are_named(tmp_path: Path, name: str, old: str, new: str, sentence: str) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY)
    (path / "commit.json").unlink()
    text = (path / name).read_text()
    assert old in text
    (path / name).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=sentence):
        read_study([tmp_path])


def test_other_initial_sets_are_refused_by_run(tmp_path: Path) -> None:
    for arm, swap in (("margin", False), ("random", True)):
        path = write_run(tmp_path / arm / "seed0", settings(arm.capitalize(), num_rounds=2), ACCURACY)
        if swap:
            (path / "commit.json").unlink()
            lines = (path / "queries.csv").read_text().splitlines()
            lines[1] = lines[1].replace(lines[1].split(",")[2], "70000")
            (path / "queries.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match="same initial set in .*random.* and .*margin.*, but they differ"):
        read_study([tmp_path])


def test_arms_that_are_not_asked_for_may_be_torn(study: Path) -> None:
    (study / "margin" / "seed0" / "rounds.csv").write_text("torn")
    assert read_study([study], arms=["random"]).arms == ["random"]
