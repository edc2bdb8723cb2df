"""Studies: what is compared can be compared, and what cannot is refused by name."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from al_lightning.errors import InputError
from al_lightning.report.study import read_study
from al_lightning.run_folder import Query, RunFolder
from tests.report.made_up_runs import learning_curve, settings, write_run, write_study
from tests.report.people_runs import ROUNDS, people_settings, write_people_run

ACCURACY = [0.7, 0.75, 0.8]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    arms = {"random": ({}, learning_curve()), "margin": ({"strategy": "Margin"}, learning_curve(0.01))}
    return write_study(tmp_path / "runs", arms, num_seeds=3, num_rounds=4)


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
    read = read_study([study])
    assert read.seeds == (0, 2)
    (note,) = (note for note in read.notes if "seed" in note)
    assert note == "Not all arms have all seeds, and these are left out: seed 7 of margin; seed 1 of random."


def test_arms_that_have_the_same_seeds_left_out_are_named_together(tmp_path: Path) -> None:
    for strategy, seeds in (("BADGE", (0, 1, 5, 6)), ("Margin", (0, 1, 5, 6)), ("Random", (0, 1))):
        for seed in seeds:
            folder = tmp_path / strategy.lower() / f"seed{seed}"
            write_run(folder, settings(strategy, seed, num_rounds=1), [0.78, 0.79])
    (note,) = (note for note in read_study([tmp_path]).notes if "seeds" in note)
    assert note == "Not all arms have all seeds, and these are left out: seeds 5, 6 of badge, margin."


def test_seeds_are_chosen_and_with_them_the_rounds_in_common(study: Path) -> None:
    """Other seeds do not cut the rounds, and may be of another protocol."""
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
    assert any("The report uses the first 2, which all have" in note and "margin" in note for note in read.notes)
    words = "1 of 2 runs are in progress, or were stopped, before the 3 planned rounds: the numbers will change."
    assert words in read.notes
    assert not any("in progress" in note for note in read_study([tmp_path], arms=["random"]).notes)


def test_a_run_that_was_told_to_do_less_than_others_is_said_to(tmp_path: Path) -> None:
    write_run(tmp_path / "random" / "seed0", settings(num_rounds=2), ACCURACY)
    write_run(tmp_path / "margin" / "seed0", settings("Margin", num_rounds=1), ACCURACY[:2])
    assert any("1 of 2 runs are in progress, or were stopped, before the 3" in n for n in read_study([tmp_path]).notes)


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


def test_a_run_without_a_finished_round_is_left_out_and_named(study: Path) -> None:
    folder = RunFolder.open(study / "bald" / "seed0", settings("BALD"))
    folder.commit(queries=[Query(0, 0, 7, 3, None)])
    folder.close()
    read = read_study([study])
    assert read.arms == ["margin", "random"]
    assert any("bald" in note and "no finished round yet" in note for note in read.notes)


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


def batch(size: int, **trainer: int) -> dict:
    given = settings("Margin", num_rounds=2, **trainer)
    given["data"]["init_args"]["batch_size"] = size
    return given


def test_arms_may_differ_in_a_setting_of_training_when_asked_to(tmp_path: Path) -> None:
    for arm, size in (("small", 32), ("large", 256)):
        write_run(tmp_path / arm / "seed0", batch(size), ACCURACY)
    with pytest.raises(
        InputError,
        match=r"`data.batch_size` is 256 in .*large.* and 32 in .*small.*; to compare .*: --vary data.batch_size.$",
    ):
        read_study([tmp_path])
    read = read_study([tmp_path], vary=["data.batch_size"])
    assert read.recipe("small") != read.recipe("large")
    assert read.recipe("small")["data.batch_size"] == 32
    assert "data.batch_size" not in read.protocol
    assert read.protocol["data"] == "al_lightning.FashionMNIST"


def test_each_setting_that_differs_has_to_be_asked_for(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "seed0", batch(32, max_epochs=5), ACCURACY)
    write_run(tmp_path / "b" / "seed0", batch(64, max_epochs=9), ACCURACY)
    with pytest.raises(InputError, match="to compare them anyway: --vary trainer.max_epochs.$"):
        read_study([tmp_path], vary=["data.batch_size"])
    with pytest.raises(InputError, match="anyway: --vary data.batch_size --vary trainer.max_epochs.$"):
        read_study([tmp_path])
    read = read_study([tmp_path], vary=["data.batch_size", "trainer.max_epochs"])
    assert read.varied == ("data.batch_size", "trainer.max_epochs")


def test_an_augmentation_is_one_setting_with_all_its_arguments(tmp_path: Path) -> None:
    for arm, transform in (
        ("plain", None),
        ("flipped", {"class_path": "torchvision.transforms.v2.RandomRotation", "init_args": {"degrees": 9}}),
    ):
        given = settings(num_rounds=2)
        given["data"]["init_args"]["train_transform"] = transform
        write_run(tmp_path / arm / "seed0", given, ACCURACY)
    with pytest.raises(InputError, match="anyway: --vary data.train_transform.$"):
        read_study([tmp_path])
    read = read_study([tmp_path], vary=["data.train_transform"])
    assert read.recipe("flipped")["data.train_transform.degrees"] == 9
    assert not any(name.startswith("data.train_transform") for name in read.protocol)


def test_runs_of_one_arm_may_not_differ_even_when_asked_to(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "seed0", batch(32), ACCURACY)
    write_run(tmp_path / "a" / "seed1", {**batch(64), "seed_everything": 1}, ACCURACY)
    with pytest.raises(InputError, match="runs of `a` that differ in their seeds only, but `data.batch_size` is 32"):
        read_study([tmp_path], vary=["data.batch_size"])


@pytest.mark.parametrize("name", ["data", "data.num_initial", "loop.query_size", "seed_everything", "trainer"])
def test_what_arms_cannot_be_paired_over_is_never_varied(study: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"`--vary` to name a setting of the training, .*, but got `{name}`"):
        read_study([study], vary=[name])


def test_a_setting_that_no_run_has_is_not_varied(study: Path) -> None:
    with pytest.raises(
        InputError, match="setting of the runs, but got `trainer.max_epoch`; did you mean trainer.max_e"
    ):
        read_study([study], vary=["trainer.max_epoch"])


def test_a_refusal_that_no_option_lifts_names_none(tmp_path: Path) -> None:
    given = settings("Margin", num_rounds=2, max_epochs=5)
    given["loop"]["query_size"] = 50
    write_run(tmp_path / "a" / "seed0", given, ACCURACY)
    write_run(tmp_path / "b" / "seed0", settings(num_rounds=2), ACCURACY)
    with pytest.raises(InputError, match="but `loop.query_size` is 50 in [^;]* and 100 in [^;]*seed0.$"):
        read_study([tmp_path])


def test_runs_of_people_that_cannot_be_paired_are_reported_one_by_one(tmp_path: Path) -> None:
    write_people_run(tmp_path / "wine")
    other = write_people_run(tmp_path / "photos", people_settings(initial="balanced"))
    with pytest.raises(InputError, match="one protocol, .*; a report of one run of people works by itself.$"):
        read_study([tmp_path])
    assert read_study([other]).arms == ["photos"]
    shutil.rmtree(other)
    write_people_run(tmp_path / "photos", answers=[ROUNDS[0], ROUNDS[2], ROUNDS[1]])
    with pytest.raises(InputError, match="same numbers of labels .*; a report of one run of people works by itself.$"):
        read_study([tmp_path])
