"""Loggers, profilers and callbacks that only watch do not identify a run."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from al_lightning.cli import main
from al_lightning.errors import InputError
from al_lightning.run_folder import comparable_settings
from al_lightning.run_folder.fingerprint.watching import callbacks_that_count, is_watching

PACKAGE = "lightning.pytorch.callbacks"
LOGGER = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": "logs", "name": "mine"}}


def of(name: str, **init_args: Any) -> dict[str, Any]:
    return {"class_path": f"{PACKAGE}.{name}", "init_args": init_args}


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("LearningRateMonitor", {"logging_interval": "step"}, True),
        ("lr_monitor.LearningRateMonitor", {}, True),
        ("ModelCheckpoint", {"monitor": "train_loss"}, True),
        ("Timer", {"interval": "step"}, True),
        ("Timer", {"duration": "00:00:10:00"}, False),
        ("EarlyStopping", {"monitor": "train_loss"}, False),
        ("StochasticWeightAveraging", {"swa_lrs": 0.1}, False),
        ("LambdaCallback", {}, False),
        ("SpikeDetection", {}, False),
    ],
)
def test_what_only_watches(name: str, arguments: dict[str, Any], expected: bool) -> None:
    assert is_watching(f"{PACKAGE}.{name}", arguments) == expected
    assert not is_watching(f"mine.{name}", arguments)


def test_the_other_callbacks_of_a_config_count() -> None:
    stopping = of("EarlyStopping", monitor="train_loss")
    assert callbacks_that_count([of("RichProgressBar"), stopping, of("Timer")]) == [stopping]
    assert callbacks_that_count(of("ModelSummary")) is None
    assert callbacks_that_count([]) is callbacks_that_count(None) is None
    assert callbacks_that_count(stopping) == [stopping]


def test_settings_of_loggers_and_profilers_are_not_compared() -> None:
    bare = {"trainer": {"max_epochs": 3, "logger": False, "profiler": None, "callbacks": None}}
    watched = {
        "trainer": {
            "max_epochs": 3,
            "logger": LOGGER,
            "profiler": {"class_path": "lightning.pytorch.profilers.SimpleProfiler", "init_args": {"filename": "x"}},
            "callbacks": [of("DeviceStatsMonitor")],
        }
    }
    expected = {"trainer.max_epochs": 3, "trainer.callbacks": None}
    assert comparable_settings(bare) == comparable_settings(watched) == expected
    swa = {"trainer": {"max_epochs": 3, "callbacks": [of("StochasticWeightAveraging", swa_lrs=0.1)]}}
    assert comparable_settings(swa) != expected


def test_a_setting_whose_name_only_begins_like_a_free_one_counts() -> None:
    assert comparable_settings({"data": {"rooted": 1}, "trainer": {"loggers": 2}}) == {
        "data.rooted": 1,
        "trainer.loggers": 2,
    }


def test_a_run_goes_on_with_and_without_watchers_and_is_compared_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = ["--data", "al_lightning.Digits", "--model.input_dim", "64", "--data.num_initial", "20"]
    tiny += ["--loop.query_size", "5", "--trainer.max_epochs", "1"]
    watch = ["--trainer.callbacks+=LearningRateMonitor", "--trainer.logger", "CSVLogger"]
    watch += ["--trainer.logger.save_dir", "logs", "--trainer.logger.name", "mine", "--trainer.profiler", "simple"]
    plain = ["fit", *tiny, "--loop.run_dir", "runs/random/seed0"]
    main([*plain, "--loop.num_rounds", "0"])
    main([*plain, *watch, "--loop.num_rounds", "1"])
    main([*plain, "--loop.num_rounds", "2"])
    assert len(Path("runs/random/seed0/rounds.csv").read_text().splitlines()) == 4
    main(
        ["fit", *tiny, *watch, "--loop.strategy", "Entropy", "--loop.num_rounds", "2", "--loop.run_dir", "runs/e/seed0"]
    )
    assert yaml.safe_load(Path("runs/e/seed0/config.yaml").read_text())["trainer"]["callbacks"]
    main(["report", "runs"])
    swa = ["--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs", "0.1"]
    with pytest.raises(SystemExit):
        main([*plain, *swa, "--loop.num_rounds", "3"])


def test_a_callback_that_counts_is_named(tmp_path: Path) -> None:
    from al_lightning.run_folder import Query, Round, RunFolder

    settings = {"seed_everything": 0, "trainer": {"callbacks": [of("TQDMProgressBar")]}}
    folder = RunFolder.open(tmp_path, settings)
    folder.commit([Round(0, 1, 0.1, 0, 0, 0, 0, 1, True, 0, 0, 0, 0)], [Query(0, 0, 0, 0, None)])
    folder.close()
    settings = {"seed_everything": 0, "trainer": {"callbacks": [of("SpikeDetection")]}}
    with pytest.raises(InputError, match=r"`trainer.callbacks` \(None there, .*SpikeDetection"):
        RunFolder.open(tmp_path, settings)
