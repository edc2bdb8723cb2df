"""Own data by flags alone, whole runs through the command line."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_wine

from al_lightning.cli import main
from tests.data.test_images import save_digits

SHORT = ("--loop.num_rounds", "2", "--loop.query_size", "7", "--trainer.max_epochs", "5")


def run(tmp_path: Path, *flags: str) -> list[dict[str, str]]:
    main(["fit", *SHORT, *flags, "--loop.run_dir", str(tmp_path / "run"), "--trainer.enable_progress_bar", "false"])
    with (tmp_path / "run" / "rounds.csv").open() as file:
        rounds = list(csv.DictReader(file))
    assert len(rounds) == 3
    assert all(0 <= float(row["test_acc"]) <= 1 for row in rounds)
    return rounds


def write_images(tmp_path: Path) -> list[str]:
    save_digits(tmp_path / "photos", 150, classes=tuple(range(10)))
    flags = ["--data", "ImageFolder", "--data.root", str(tmp_path / "photos"), "--data.image_size", "8"]
    return [*flags, "--data.channels", "1", "--data.num_initial", "30"]


def write_table(tmp_path: Path) -> list[str]:
    inputs, targets = load_wine(return_X_y=True)
    np.savez(tmp_path / "wine.npz", x=inputs, y=targets)
    return ["--data", "NumpyFiles", "--data.path", str(tmp_path / "wine.npz"), "--data.num_initial", "30"]


@pytest.mark.parametrize("strategy", ["BADGE", "BALD", "CoreSet"])
@pytest.mark.parametrize("write", [write_images, write_table], ids=["images", "table"])
def test_a_run_on_files(tmp_path: Path, write, strategy: str) -> None:
    rounds = run(tmp_path, *write(tmp_path), "--loop.strategy", strategy)
    assert [row["num_labeled"] for row in rounds] == ["30", "37", "44"]


def test_a_pool_on_disk_gives_the_run_of_one_in_memory(tmp_path: Path) -> None:
    """Worker processes read the same bits."""
    flags = write_images(tmp_path)
    queries = []
    for name, more in (("memory", ()), ("disk", ("--data.max_memory", "0", "--data.num_workers", "2"))):
        (tmp_path / name).mkdir()
        run(tmp_path / name, *flags, *more, "--loop.strategy", "Margin", "--trainer.max_epochs", "2")
        queries.append((tmp_path / name / "run" / "queries.csv").read_text())
    assert queries[0] == queries[1]


def test_augmented_images_are_had_by_a_flag_and_a_run_of_them_repeats(tmp_path: Path) -> None:
    flags = write_images(tmp_path)
    transform = json.dumps({"class_path": "torchvision.transforms.v2.RandomRotation", "init_args": {"degrees": 20.0}})
    queries = []
    for name, workers in (("one", "0"), ("two", "2")):
        (tmp_path / name).mkdir()
        more = ("--data.train_transform", transform, "--data.num_workers", workers, "--loop.strategy", "Margin")
        run(tmp_path / name, *flags, *more, "--trainer.max_epochs", "2")
        queries.append((tmp_path / name / "run" / "queries.csv").read_text())
    assert queries[0] == queries[1]


def test_the_demonstration_needs_nothing(tmp_path: Path) -> None:
    rounds = run(tmp_path, "--config", "configs/digits.yaml", "--loop.num_rounds", "2", "--trainer.max_epochs", "50")
    assert float(rounds[0]["test_acc"]) > 0.6


def test_another_data_set_under_the_same_name_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    flags = write_images(tmp_path)
    run(tmp_path, *flags)
    next((tmp_path / "photos").rglob("*.png")).unlink()
    with pytest.raises(SystemExit):
        run(tmp_path, *flags)
    assert "samples were added, removed or renamed" in capsys.readouterr().err
