"""Words of fit that ask people: completed from their run, or by defaults."""

from pathlib import Path

import pytest
import yaml

from al_lightning.cli.run_of_people import words_of_people

DATA = ["--data", "ImageFolder", "--data.root", "photos", "--data.classes", "[a,b]"]
WORDS = [*DATA, "--loop.oracle", "FileOracle"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_run(path: str, oracle: str | None = "al_lightning.FileOracle", root: str = "photos", seed: int = 0) -> str:
    config = {
        "seed_everything": seed,
        "data": {"class_path": "al_lightning.ImageFolder", "init_args": {"root": root}},
        "loop": {"oracle": None if oracle is None else {"class_path": oracle}},
    }
    Path(path).mkdir(parents=True)
    (Path(path) / "config.yaml").write_text(yaml.safe_dump(config))
    return path


def run_dir(words: list[str]) -> str:
    """The folder of the run that the words go on with, or begin."""
    return words_of_people(words)[0][-1].removeprefix("--loop.run_dir=")


def test_classes_go_before_their_arguments_and_other_choices_after_the_words() -> None:
    words, line = words_of_people([*WORDS, "--model.dropout", "0.2"])
    assert words == [
        *("--model=Backbone", "--loop.strategy=Margin"),
        *WORDS,
        *("--model.dropout", "0.2"),
        *("--data.num_initial=20", "--loop.query_size=20", "--loop.num_rounds=null", "--loop.run_dir=runs/photos"),
    ]
    assert line.count("\n") == 0
    assert "--model Backbone --loop.strategy Margin --data.num_initial 20 --loop.query_size 20" in line
    assert "--loop.num_rounds null --loop.run_dir runs/photos; " in line


def test_runs_without_people_are_left_alone() -> None:
    words = WORDS[:-2]
    assert words_of_people(words) == (words, "")
    assert words_of_people([*WORDS, "--loop.oracle", "null"]) == ([*WORDS, "--loop.oracle", "null"], "")


def test_a_run_that_is_there_gives_what_is_left_out() -> None:
    run = write_run("runs/photos")
    assert words_of_people(WORDS) == (["--config", f"{run}/config.yaml", *WORDS, f"--loop.run_dir={run}"], "")
    given = [*WORDS, "--loop.run_dir", run]
    assert words_of_people(given) == (["--config", f"{run}/config.yaml", *given], "")


def test_a_run_of_an_earlier_version_is_found_by_the_default_of_that_time() -> None:
    run = write_run("runs/core_set_backbone/seed0")
    assert run_dir([*WORDS, "--loop.strategy", "CoreSet", "--model", "Backbone"]) == run
    assert run_dir(WORDS) == "runs/photos"
    assert run_dir(WORDS) == "runs/photos"
    run = write_run("runs/random/seed0")
    assert run_dir(WORDS) == run
    assert run_dir([*WORDS, "--seed_everything", "1"]) == "runs/photos"


@pytest.mark.parametrize("other", [{"root": "/elsewhere/photos"}, {"oracle": None}, {"seed": 1}])
def test_another_run_of_the_same_name_stays_as_it_is(other: dict) -> None:
    write_run("runs/photos", **other)
    words = [*WORDS, "--seed_everything", "0"]
    assert run_dir(words) == "runs/photos-2"
    assert words_of_people(words)[1] != ""
    write_run("runs/photos-2")
    assert run_dir(words) == "runs/photos-2"
    assert words_of_people(words)[1] == ""


def test_a_folder_of_runs_of_other_seeds_is_no_run_folder() -> None:
    write_run("runs/photos/seed0", oracle=None)
    assert run_dir(WORDS) == "runs/photos-2"


def test_a_sweep_looks_for_no_run() -> None:
    write_run("runs/photos")
    words, _ = words_of_people(WORDS, may_go_on=False)
    assert words[:2] == ["--model=Backbone", "--loop.strategy=Margin"]
    assert words[-1] == "--loop.num_rounds=null"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("ImageFolder --data.root /data/My\tphotos.2/", "My_photos.2"),
        ("ImageFolder --data.root .", None),
        ("NumpyFiles --data.path data/wine.v1.npz", "wine.v1"),
        ("NumpyFiles --data.train_inputs x_train.npy", "x_train"),
        ("Torchvision --data.dataset CIFAR10", "CIFAR10"),
        ("DataModuleAdapter --data.datamodule my_module.MyPhotos", "my_photos"),
        ("my_module.MyPhotos", "my_photos"),
    ],
)
def test_a_run_folder_has_the_name_of_the_data(tmp_path: Path, data: str, name: str | None) -> None:
    words = ["--data", *data.split(" "), "--loop.oracle", "FileOracle"]
    assert run_dir(words) == f"runs/{tmp_path.name if name is None else name}"
