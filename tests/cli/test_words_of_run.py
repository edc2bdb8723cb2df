"""A run folder in the place of all its flags."""

from pathlib import Path

import pytest
import yaml

from al_lightning.cli.words_of_run import words_of_run
from al_lightning.errors import InputError


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run on a folder of images, from the folder where it began."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    folder = tmp_path / "run"
    folder.mkdir()
    data = {"class_path": "al_lightning.ImageFolder", "init_args": {"root": "photos"}}
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": data}))
    return folder


def test_fit_goes_on_in_the_folder_with_flags_on_top(run: Path) -> None:
    words = ["--config", f"{run}/config.yaml", "--loop.run_dir", str(run)]
    assert words_of_run("fit", [str(run)]) == words
    flags = ["--trainer.max_epochs", "3"]
    assert words_of_run("fit", [str(run), *flags]) == [*words, *flags]
    assert words_of_run("fit", flags) == flags
    assert words_of_run("fit", []) == []


def test_a_run_whose_first_commit_was_cut_off_goes_on(run: Path) -> None:
    (run / "config.yaml").rename(run / "config.yaml.new")
    with pytest.raises(InputError, match="has no config.yaml"):
        words_of_run("fit", [str(run)])
    (run / "commit.json").touch()
    assert words_of_run("fit", [str(run)])[1] == f"{run}/config.yaml.new"


@pytest.mark.parametrize("command", ["test", "predict"])
def test_test_and_predict_take_the_checkpoint(run: Path, command: str) -> None:
    with pytest.raises(InputError, match="with a finished round in .*run, but it has no model.ckpt yet"):
        words_of_run(command, [str(run)])
    (run / "model.ckpt").touch()
    words = ["--config", f"{run}/config.yaml", "--ckpt_path", f"{run}/model.ckpt"]
    assert words_of_run(command, [str(run)]) == words


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("nowhere", "`RUN` to be the folder of a run, but there is no nowhere."),
        ("badge", "there is no badge; the config of this name is `--config badge`."),
        ("photos", "but photos has no config.yaml"),
    ],
)
def test_what_is_no_run_is_refused(run: Path, word: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        words_of_run("fit", [word])


def test_data_that_are_not_here_are_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = run.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with pytest.raises(
        InputError, match=r"`data.root` of the run in .*run, but there is no photos in .*elsewhere; go to"
    ):
        words_of_run("fit", [str(run)])
    flags = ["--data.root", str(run.parent / "photos")]
    assert words_of_run("fit", [str(run), *flags])[-2:] == flags
