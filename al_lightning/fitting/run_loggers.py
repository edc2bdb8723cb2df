"""RunLoggers: the loggers of a trainer keep one run for all fits, even if the run is continued."""

import csv
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from al_lightning.run_folder.files import replace_file

FILE = "loggers.json"
CURVE = "learning_curve"


class RunLoggers:
    """Logs learning curves to the loggers of a trainer, and keeps the curves of its fits apart.

    Each logger gets one point for each round: ``learning_curve/test_acc`` and other metrics over the number of labels,
    with ``round`` and ``num_labeled``. Metrics that a fit logs have Lightning's count of steps as x axis. That count
    goes on from fit to fit. The file ``loggers.json`` in the run folder keeps the count and the runs of the loggers.

    Args:
        trainer: The trainer. Without loggers, nothing is done.
        path: The run folder.
        next_round: The round from which the run goes on.
        curve: The earlier rounds, see :meth:`end_round`.
    """

    def __init__(
        self, trainer: L.Trainer, path: Path, next_round: int, curve: Mapping[int, Mapping[str, float]] | None = None
    ) -> None:
        self._trainer = trainer
        self._path = path / FILE
        self._loggers: list[Any] = list(trainer.loggers)
        self._kept: dict[str, Any] = {"steps": {}, "loggers": []}
        self._has_begun = False
        self._autologs = trainer.enable_autolog_hparams
        if not self._loggers:
            return
        if next_round > 0 or self._path.exists():
            self._read()
        first_step = self.first_step(next_round)
        self._has_begun = True
        for logger, kept in zip(self._loggers, self._kept_of_each(), strict=True):
            goes_on = kept is not None and _goes_on(logger, kept["version"], next_round, first_step)
            self._has_begun = self._has_begun and goes_on and next_round > 0
            if goes_on and isinstance(logger, TensorBoardLogger):
                # Purged points of later steps may have had fewer labels.
                for num_labeled, point in (curve or {}).items():
                    if num_labeled >= first_step:
                        logger.log_metrics(dict(point), step=num_labeled)
            logger.finalize = _nothing  # Lightning calls it after each fit and test

    def first_step(self, round: int) -> int:
        """The first step of the fit of a round: one more than the step of the last test."""
        last = self._kept["steps"].get(str(round - 1))
        return 0 if last is None else int(last) + 1

    def start_round(self) -> None:
        """Lets Lightning log the hyperparameters in the first fit only."""
        if self._loggers:
            self._trainer.enable_autolog_hparams = self._autologs and not self._has_begun

    def start_fit(self, round: int, num_labeled: int) -> None:
        """Notes the round of the next steps. The loggers have begun, and nothing was refused."""
        if not self._loggers:
            return
        for logger in self._loggers:
            _name_axes(logger)
            logger.log_metrics({"round": round, "num_labeled": num_labeled}, step=self.first_step(round))
        if not self._has_begun:
            self._write()  # a run that is killed in this round continues in the same logger runs
            self._has_begun = True
        self._trainer.enable_autolog_hparams = False

    def end_round(self, round: int, num_labeled: int, metrics: Mapping[str, float]) -> None:
        """Adds a point to the learning curves."""
        if not self._loggers:
            return
        self._kept["steps"][str(round)] = self._trainer.fit_loop.epoch_loop._batches_that_stepped
        point = point_of(round, num_labeled, metrics)
        for logger in self._loggers:
            # Steps of W&B must never go back. Its x axis is the number of labels, by name.
            logger.log_metrics(point, step=None if isinstance(logger, WandbLogger) else num_labeled)
            logger.save()
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.flush()
        self._write()

    def close(self, is_success: bool) -> None:
        """Ends the runs of the loggers as Lightning does after a fit."""
        if self._loggers:
            self._trainer.enable_autolog_hparams = self._autologs
        for logger in self._loggers:
            del logger.finalize
            logger.finalize("success" if is_success else "failed")
        self._loggers = []

    def _kept_of_each(self) -> list[dict[str, Any] | None]:
        """The kept state of each logger. Loggers of the same class are distinguished by their order."""
        left = list(self._kept["loggers"])
        found = []
        for logger in self._loggers:
            same = [kept for kept in left if kept["class"] == type(logger).__name__]
            found.append(same[0] if same else None)
            if same:
                left.remove(same[0])
        return found

    def _read(self) -> None:
        try:
            content = json.loads(self._path.read_text())
            steps = {str(int(round)): int(step) for round, step in content["steps"].items()}
            loggers = [{"class": str(kept["class"]), "version": kept["version"]} for kept in content["loggers"]]
        except FileNotFoundError:  # the run began without a logger
            return
        except (ValueError, KeyError, TypeError, AttributeError):
            warnings.warn(f"{self._path} is not as it was saved: loggers begin a new run.", stacklevel=2)
            return
        self._kept = {"steps": steps, "loggers": loggers}

    def _write(self) -> None:
        versions = [(type(logger).__name__, logger.version) for logger in self._loggers]
        self._kept["loggers"] = [
            {"class": name, "version": version if isinstance(version, int) else str(version)}
            for name, version in versions
            if version is not None
        ]
        replace_file(self._path, json.dumps(self._kept, indent=1).encode())


def point_of(round: int, num_labeled: int, metrics: Mapping[str, float]) -> dict[str, float]:
    """One point of the learning curves, in the form that loggers get."""
    curves = {f"{CURVE}/{name}": float(value) for name, value in metrics.items()}
    return {**curves, "round": round, "num_labeled": num_labeled}


def _nothing(status: str) -> None:
    pass


def _goes_on(logger: Logger, version: Any, next_round: int, first_step: int) -> bool:
    """Lets a logger continue its earlier run. Returns whether it does, because the user may have chosen another run."""
    target: Any = logger
    if isinstance(logger, WandbLogger):
        if target._experiment is None and target._wandb_init.get("id") is None:
            target._wandb_init["id"] = target._id = version
        return target.version == version
    if isinstance(logger, MLFlowLogger):
        if target._run_id is None and _has_run(target, version):
            target._run_id = version
        return target._run_id == version
    if not isinstance(logger, CSVLogger | TensorBoardLogger):
        return False
    if target._experiment is not None:  # still open in the same process
        return str(target.version) == str(version)
    if target._version is None:
        target._version = version
    if str(target._version) != str(version):
        return False
    if isinstance(logger, TensorBoardLogger):
        target._kwargs.setdefault("purge_step", first_step)
    else:
        _keep_rows(target, next_round)
    return True


def _has_run(logger: Any, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException  # type: ignore[import-not-found,unused-ignore]

    try:
        logger._mlflow_client.get_run(run_id)
    except MlflowException:  # the store has changed
        return False
    return True


def _name_axes(logger: Logger) -> None:
    """Sets the x axis of the learning curves in W&B."""
    if isinstance(logger, WandbLogger) and getattr(logger.experiment, "define_metric", None):
        logger.experiment.define_metric("num_labeled")
        logger.experiment.define_metric(f"{CURVE}/*", step_metric="num_labeled")


def _keep_rows(logger: Any, next_round: int) -> None:
    """Opens a CSVLogger, which deletes old rows, and puts the rows of finished rounds back."""
    path = Path(logger.log_dir) / "metrics.csv"
    if not path.is_file():
        return
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        names, rows = list(reader.fieldnames or []), list(reader)
    ends = [i for i, row in enumerate(rows) if (round := _round_ended_by(row)) is not None and round < next_round]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*exists and is not empty.*")
        experiment = logger.experiment
    if not ends:
        return
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=names)
        writer.writeheader()
        writer.writerows(rows[: ends[-1] + 1])
    experiment.metrics_keys = names


def _round_ended_by(row: Mapping[str, str | None]) -> int | None:
    """The round of a row that is a point of the learning curves, the last row of a round; ``None`` for other rows."""
    if not any(f"{CURVE}/" in name and value for name, value in row.items()):
        return None
    rounds = [value for name, value in row.items() if name.endswith("round") and value]  # names may have a prefix
    return int(float(rounds[0])) if rounds else None
