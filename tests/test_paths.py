"""~ in a path is the home folder, from the command line, from a config and from Python."""

import sys
from pathlib import Path

import numpy as np
import pytest

from al_lightning import ActiveLearningLoop, FashionMNIST, ImageFolder, NumpyFiles, Random
from al_lightning.cli import main
from al_lightning.paths import expanded

TINY = ["--data", "al_lightning.Digits", "--model.input_dim", "64", "--data.num_initial", "20"]
TINY += ["--loop.num_rounds", "1", "--loop.query_size", "5", "--trainer.max_epochs", "1"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and another one to work in."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def test_only_a_tilde_at_the_beginning_is_the_home_folder(home: Path) -> None:
    assert expanded("~/r") == f"{home}/r"
    assert (expanded("a/~/r"), expanded("r~"), expanded(None)) == ("a/~/r", "r~", None)


def test_run_dir_is_one_folder_at_home(home: Path) -> None:
    main(["fit", *TINY, "--loop.run_dir", "~/r"])
    assert (home / "r" / "model.ckpt").is_file()
    assert (home / "r" / "rounds.csv").is_file()
    assert list(Path.cwd().iterdir()) == []
    main(["test", "--config", "~/r/config.yaml", "--ckpt_path", "~/r/model.ckpt"])
    main(["report", "~/r", "--out", "~/report"])
    assert (home / "report" / "report.html").is_file()
    assert not (Path.cwd() / "~").exists()


def test_run_dir_in_a_config_is_at_home(home: Path) -> None:
    Path("c.yaml").write_text("loop: {run_dir: ~/r}\n")
    main(["fit", "--config", "c.yaml", *TINY])
    assert (home / "r" / "rounds.csv").is_file()
    assert [path.name for path in Path.cwd().iterdir()] == ["c.yaml"]


def test_a_sweep_is_at_home(home: Path, forked_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", forked_python)
    main(["sweep", "--strategies", "Random", "--out", "~/s", "--processes", "1", *TINY])
    assert (home / "s" / "random" / "seed0" / "rounds.csv").is_file()
    assert not (Path.cwd() / "~").exists()


def test_paths_of_python_objects(home: Path) -> None:
    loop = ActiveLearningLoop(Random(), run_dir="~/r", shared_dir="~/s")
    assert (loop.run_dir, loop.shared_dir) == (home / "r", home / "s")
    assert ImageFolder("~/photos").root == home / "photos"
    assert FashionMNIST("~/fashion").root == f"{home}/fashion"
    np.savez(home / "d.npz", x=np.eye(20, 3), y=np.arange(20) % 2)
    assert NumpyFiles("~/d.npz", num_initial=2).file_of(0).startswith(f"{home}/d.npz:")
