"""RunRecord: shows and writes a run while it runs."""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import lightning.pytorch as L

from al_lightning.errors import InputError
from al_lightning.fitting.lightning_insides import count_steps_from
from al_lightning.fitting.progress import RunProgress
from al_lightning.fitting.ranks import Ranks
from al_lightning.fitting.round_metrics import OURS
from al_lightning.fitting.run_loggers import RunLoggers, point_of
from al_lightning.fitting.run_parts import RunParts
from al_lightning.models.named_metrics import NamedMetrics
from al_lightning.run_folder.answered_rows import lacking_rows
from al_lightning.run_folder.events import RunEvents
from al_lightning.run_folder.files import new_name
from al_lightning.run_folder.folder import RunFolder
from al_lightning.run_folder.tables import COLUMNS, ROUNDS, SKIPPED, CalibrationBin, Diagnostic, Query, Round

CHECKPOINT = "model.ckpt"
"""File of a run folder with the weights of the last fit."""


class RunRecord:
    """Shows the progress of a run and writes nothing, for ``fast_dev_run`` and for processes that do not write.

    Args:
        trainer: The trainer. Its loggers count steps.
        ranks: The processes of the run.
        progress: The display.
    """

    def __init__(self, trainer: L.Trainer, ranks: Ranks, progress: RunProgress) -> None:
        self._trainer = trainer
        self._ranks = ranks
        self._progress = progress

    def start_round(self, round: int, num_labeled: int) -> None:
        self._progress.start_round(round, num_labeled)

    def start_logging(self, round: int) -> None:
        """Lets the step count of loggers go on from round to round, in the same way on all devices."""
        if self._trainer.loggers:
            count_steps_from(self._trainer, self._ranks.on_writer(lambda: self._first_step(round)))

    def start_fit(self, round: int, num_labeled: int) -> None:
        """Notes the round of the next steps of the loggers."""

    def end_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Adds a point to the training curves."""
        self._progress.end_epoch(epoch)

    def end_round(
        self,
        row: Round,
        queries: list[Query],
        calibration: list[CalibrationBin],
        diagnostics: Mapping[str, float],
    ) -> None:
        """Commits a round.

        Args:
            row: The row of rounds.csv.
            queries: The queried samples. Without labels they are open questions.
            calibration: Rows of calibration.csv.
            diagnostics: Figures that the strategy reports, by name.
        """

    def close(self, is_success: bool) -> None:
        """Ends the display and all curves."""
        self._progress.stop()

    def _first_step(self, round: int) -> int:
        return 0


class WrittenRecord(RunRecord):
    """Writes a run to its folder, to TensorBoard and to the trainer's loggers.

    Args:
        parts: The parts of the run.
        progress: The display.
        folder: The folder of the run, open.
        metrics: The metrics that the user asks for. They become columns even if the run began without them.
    """

    def __init__(self, parts: RunParts, progress: RunProgress, folder: RunFolder, metrics: NamedMetrics) -> None:
        super().__init__(parts.trainer, parts.ranks, progress)
        self._model = parts.model
        self._data = parts.datamodule
        self._folder = folder
        self._weights = parts.weights
        self._file_of = parts.datamodule.file_of
        self._metrics = metrics
        self._events = RunEvents(
            folder.path,
            sum(label != SKIPPED for label in folder.labels),
            epochs=sum(row.epochs for row in folder.rounds),
        )
        curve = {row.num_labeled: point_of(row.round, row.num_labeled, row.measured()) for row in folder.rounds}
        self._loggers = RunLoggers(parts.trainer, folder.path, folder.next_round, curve)

    def _first_step(self, round: int) -> int:
        return self._loggers.first_step(round)

    def start_logging(self, round: int) -> None:
        super().start_logging(round)
        self._loggers.start_round()

    def start_fit(self, round: int, num_labeled: int) -> None:
        self._loggers.start_fit(round, num_labeled)

    def end_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        super().end_epoch(epoch, metrics)
        self._events.log_epoch(metrics)

    def end_round(
        self,
        row: Round,
        queries: list[Query],
        calibration: list[CalibrationBin],
        diagnostics: Mapping[str, float],
    ) -> None:
        checkpoint = self._folder.path / CHECKPOINT
        new_name(checkpoint).replace(checkpoint)
        self._weights.keep(self._model, row.round)
        self._events.log_round(row.measured(), row.num_labeled, diagnostics)
        self._loggers.end_round(row.round, row.num_labeled, row.measured())
        known = {name: value for name, value in row.metrics.items() if value is not None}
        logged = {name: value for name, value in known.items() if name not in OURS and name not in self._metrics}
        figures = [Diagnostic(row.round, name, value) for name, value in {**logged, **diagnostics}.items()]
        bought, asked = ([query for query in queries if (query.label is None) is is_open] for is_open in (False, True))
        answers = lacking_rows(self._folder, bought, (), self._file_of)
        self._folder.commit([self._with_columns(row)], bought, calibration, figures, asked, answers)
        self._weights.discard(row.round)
        self._progress.end_round(row)

    def _with_columns(self, row: Round) -> Round:
        """The row, with the metrics that have columns in this run.

        By default, a run of an earlier version has no such columns.
        """
        metrics = {name: value for name, value in row.metrics.items() if name not in COLUMNS[ROUNDS]}
        first = self._folder.rounds[:1]
        if first and not first[0].metrics and not math.isnan(first[0].test_acc):
            metrics = {name: value for name, value in metrics.items() if name in self._metrics}
        return replace(row, metrics=metrics)

    def close(self, is_success: bool) -> None:
        super().close(is_success)
        self._loggers.close(is_success)
        self._events.close()
        if is_success and not self._folder.asked:
            used_up = "" if len(self._data.unlabeled_indices) else "; the pool is used up"
            self._progress.message(f"Finished: {summary(self._folder.rounds)}, in {self._folder.path}{used_up}.")


def save_checkpoint(trainer: L.Trainer, path: Path) -> None:
    """Writes the last model to a run folder, beside the previous round's model. All processes must call it.

    Raises:
        InputError: If the disk is full or the folder cannot be written. Then no partial file is left.
    """
    new = new_name(path / CHECKPOINT)
    try:
        trainer.save_checkpoint(new, weights_only=True)
    except OSError as error:
        new.unlink(missing_ok=True)  # frees the space
        raise InputError(  # Lightning's temporary file may be on another disk
            f"Expected to write the last model to the run folder {path}, by way of {tempfile.gettempdir()}, but "
            f"got: {error.strerror or error}; the rounds before it are safe."
        ) from error


def summary(rounds: list[Round]) -> str:
    """The result of the last round, in words."""
    last = rounds[-1]
    # There may be no test set.
    accuracy = "" if math.isnan(last.test_acc) else f"test acc {last.test_acc:.4f} with "
    return f"{len(rounds)} round{'s' * (len(rounds) != 1)} done, {accuracy}{last.num_labeled} labels"
