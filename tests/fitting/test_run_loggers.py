"""A run has one run of each logger, with learning curves over the number of labels, even if it is continued."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from al_lightning import Random
from tests.digits import DigitsMLP, FlatDigits
from tests.test_loop import make_loop, make_trainer, rows, run, timeless


class Dies(Callback):
    """Ends the second epoch of the round with 60 labels: what the round has logged by then is logged again."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if len(trainer.datamodule.labeled_indices) == 60 and trainer.current_epoch == 1:
            for logger in trainer.loggers:
                logger.save()
            raise RuntimeError("died")


class Steps(DigitsMLP):
    """Logs in each step and in each epoch."""

    minibatches_per_step = 1

    def on_train_batch_end(self, *args: object) -> None:
        self.log("step_loss", self._losses["train_loss"][-1], on_step=True, on_epoch=False)


def fit(folder: Path, loggers: list[Logger], *callbacks: Callback, num_rounds: int = 2) -> None:
    loop = make_loop(folder, Random(), num_rounds=num_rounds)
    trainer = make_trainer(loop, *callbacks, logger=loggers, log_every_n_steps=1)
    loop.run(trainer, Steps(), FlatDigits(num_initial=50, batch_size=16))


def fit_interrupted(folder: Path, make: Callable[[], list[Logger]]) -> list[Logger]:
    """Round 0 in one process, half of round 1 in another, and the rest in a third."""
    fit(folder, make(), num_rounds=0)
    with pytest.raises(RuntimeError, match="died"):
        fit(folder, make(), Dies())
    last = make()
    fit(folder, last)
    return last


def learning_curve(folder: Path) -> list[tuple[int, float]]:
    return [(int(row["num_labeled"]), float(row["test_acc"])) for row in rows(folder)]


# steps of a fit: 50 and 60 labels are 4 minibatches of 16, 70 are 5; one step more between two fits, for the test
FIRST_STEPS = [0, 3 * 4 + 1, 2 * (3 * 4 + 1)]
ALL_STEPS = [*range(12), *range(13, 25), *range(26, 41)]


def test_csv_logger(tmp_path: Path) -> None:
    fit(tmp_path / "whole", [CSVLogger(tmp_path / "logs_whole")])
    fit_interrupted(tmp_path / "parts", lambda: [CSVLogger(tmp_path / "logs_parts")])
    assert timeless(tmp_path / "parts") == timeless(tmp_path / "whole")
    logged = []
    for name in ("whole", "parts"):
        assert [path.name for path in (tmp_path / f"logs_{name}" / "lightning_logs").iterdir()] == ["version_0"]
        table = rows(tmp_path / f"logs_{name}" / "lightning_logs" / "version_0", "metrics.csv")
        curve = [row for row in table if row["learning_curve/test_acc"]]
        assert [(int(row["step"]), float(row["learning_curve/test_acc"])) for row in curve] == learning_curve(
            tmp_path / name
        )
        assert [(row["round"], row["num_labeled"]) for row in curve] == [("0", "50"), ("1", "60"), ("2", "70")]
        begins = [row for row in table if row["round"] and not row["learning_curve/test_acc"]]
        assert [(row["round"], int(row["step"])) for row in begins] == list(zip("012", FIRST_STEPS, strict=True))
        assert [int(row["step"]) for row in table if row["step_loss"]] == ALL_STEPS
        steps = [int(row["step"]) for row in table if not row["learning_curve/test_acc"]]
        assert steps == sorted(steps)
        logged.append([{k: v for k, v in row.items() if "seconds" not in k} for row in table])
    assert logged[0] == logged[1]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    tags = accumulator.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in tags}


def test_tensorboard_logger(tmp_path: Path) -> None:
    fit(tmp_path / "whole", [TensorBoardLogger(tmp_path / "logs_whole")])
    fit_interrupted(tmp_path / "parts", lambda: [TensorBoardLogger(tmp_path / "logs_parts")])
    logged = []
    for name in ("whole", "parts"):
        assert [path.name for path in (tmp_path / f"logs_{name}" / "lightning_logs").iterdir()] == ["version_0"]
        found = scalars(tmp_path / f"logs_{name}" / "lightning_logs" / "version_0")
        assert found["learning_curve/test_acc"] == [
            (n, pytest.approx(acc)) for n, acc in learning_curve(tmp_path / name)
        ]
        assert [step for step, _ in found["step_loss"]] == ALL_STEPS
        assert [(step, value) for step, value in found["round"] if step in FIRST_STEPS] == list(
            zip(FIRST_STEPS, (0.0, 1.0, 2.0), strict=True)
        )
        logged.append({tag: points for tag, points in found.items() if "seconds" not in tag and tag != "round"})
    assert logged[0] == logged[1]


def test_wandb_logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    ids = []

    given: list[dict[str, Any]] = []
    log = wandb.Run.log

    def keep(run: Any, data: dict[str, Any], *args: object, **kwargs: object) -> None:
        given.append(dict(data))  # offline W&B writes a format of its own
        log(run, data, *args, **kwargs)

    monkeypatch.setattr(wandb.Run, "log", keep)

    class Watch(Callback):
        def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            ids.append(trainer.loggers[0].experiment.id)

    for num_rounds in (0, 2):
        fit(tmp_path / "run", [WandbLogger(save_dir=tmp_path, offline=True)], Watch(), num_rounds=num_rounds)
        wandb.finish()
    assert len(set(ids)) == 1
    assert len(ids) == 4  # round 0 was done again, with a query
    curve = [
        (data["num_labeled"], data["learning_curve/test_acc"]) for data in given if "learning_curve/test_acc" in data
    ]
    assert curve[1:] == learning_curve(tmp_path / "run")
    steps = [data["trainer/global_step"] for data in given if "step_loss" in data]
    assert steps == [*range(12), *ALL_STEPS]


def test_mlflow_logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = f"file:{tmp_path / 'mlruns'}"
    fit_interrupted(tmp_path / "run", lambda: [MLFlowLogger(tracking_uri=uri)])
    client = MlflowClient(uri)
    (experiment,) = (e for e in client.search_experiments() if e.name == "lightning_logs")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    curve = client.get_metric_history(found.info.run_id, "learning_curve/test_acc")
    points = sorted({(point.step, point.value) for point in curve})
    assert points == learning_curve(tmp_path / "run")
    assert sorted({point.step for point in client.get_metric_history(found.info.run_id, "step_loss")}) == ALL_STEPS
    assert min(point.step for point in client.get_metric_history(found.info.run_id, "round")) == 0


def test_a_version_of_the_users_own_is_left_as_it_is(tmp_path: Path) -> None:
    fit(tmp_path / "run", [CSVLogger(tmp_path, version="first")], num_rounds=0)
    fit(tmp_path / "run", [CSVLogger(tmp_path, version="second")], num_rounds=1)
    assert sorted(path.name for path in (tmp_path / "lightning_logs").iterdir()) == ["first", "second"]
    fit(tmp_path / "run", [CSVLogger(tmp_path, version="second")], num_rounds=2)
    table = rows(tmp_path / "lightning_logs" / "second", "metrics.csv")
    assert [row["round"] for row in table if row["learning_curve/test_acc"]] == ["0", "1", "2"]


def test_loggers_of_one_class_keep_their_own_runs(tmp_path: Path) -> None:
    def make() -> list[Logger]:
        return [CSVLogger(tmp_path / "a"), CSVLogger(tmp_path / "b", prefix="p"), CSVLogger(tmp_path / "a", name="c")]

    (tmp_path / "b" / "lightning_logs" / "version_4").mkdir(parents=True)
    fit(tmp_path / "run", make(), num_rounds=0)
    fit(tmp_path / "run", make(), num_rounds=2)
    for folder in ("a/lightning_logs/version_0", "a/c/version_0"):
        table = rows(tmp_path / folder, "metrics.csv")
        assert [row["round"] for row in table if row["learning_curve/test_acc"]] == ["0", "1", "2"]
    table = rows(tmp_path / "b" / "lightning_logs" / "version_5", "metrics.csv")
    assert [row["p-round"] for row in table if row["p-learning_curve/test_acc"]] == ["0", "1", "2"]


def test_a_logger_may_come_and_go(tmp_path: Path) -> None:
    run(tmp_path / "whole", Random())
    run(tmp_path / "run", Random(), num_rounds=0)
    run(tmp_path / "run", Random(), num_rounds=1, trainer={"logger": CSVLogger(tmp_path)})
    run(tmp_path / "run", Random(), num_rounds=2)
    assert timeless(tmp_path / "run") == timeless(tmp_path / "whole")
    table = rows(tmp_path / "lightning_logs" / "version_0", "metrics.csv")
    assert [row["num_labeled"] for row in table if row["learning_curve/test_acc"]] == ["50", "60"]


def test_what_loggers_keep_may_be_torn(tmp_path: Path) -> None:
    fit(tmp_path / "run", [CSVLogger(tmp_path)], num_rounds=0)
    kept = json.loads((tmp_path / "run" / "loggers.json").read_text())
    assert kept == {"steps": {"0": 12}, "loggers": [{"class": "CSVLogger", "version": 0}]}
    (tmp_path / "run" / "loggers.json").write_text("{")
    with pytest.warns(UserWarning, match=r"loggers.json is not as it was saved: loggers begin a new run"):
        fit(tmp_path / "run", [CSVLogger(tmp_path)], num_rounds=1)
    assert sorted(path.name for path in (tmp_path / "lightning_logs").iterdir()) == ["version_0", "version_1"]


def test_loggers_end_once_and_hyperparameters_are_logged_once(tmp_path: Path) -> None:
    ended: list[str] = []
    hparams: list[dict] = []

    class Counts(CSVLogger):
        def finalize(self, status: str) -> None:
            ended.append(status)
            super().finalize(status)

        def log_hyperparams(self, params: dict) -> None:
            hparams.append(params)

    fit(tmp_path / "run", [Counts(tmp_path)])
    assert ended == ["success"]
    assert len(hparams) == 1
    with pytest.raises(RuntimeError, match="died"):
        fit(tmp_path / "dies", [Counts(tmp_path)], Dies())
    assert ended == ["success", "failed"]
