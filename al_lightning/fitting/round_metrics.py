"""The test of a round: metrics of the fitted model on the test set."""

import time
from dataclasses import dataclass

import lightning.pytorch as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor

from al_lightning.fitting.lightning_insides import in_place_of
from al_lightning.fitting.run_parts import RunParts
from al_lightning.inference import PoolPredictor
from al_lightning.models.metrics import NAMES, ClassificationMetrics
from al_lightning.models.named_metrics import NamedMetrics
from al_lightning.models.protocol import traits
from al_lightning.run_folder.query_rows import shortest
from al_lightning.run_folder.tables import CalibrationBin

PREFIX = "test_"
OURS = tuple(f"{PREFIX}{name}" for name in NAMES)
"""Metrics of this package. Every test has them."""


@dataclass(frozen=True)
class Tested:
    """The results of a test."""

    metrics: dict[str, float]
    """All metrics by name, both from ``test_step`` and from this package; empty without a test set."""
    calibration: tuple[Tensor, Tensor, Tensor] | None
    """Number of samples, mean confidence and accuracy of each confidence bin."""
    seconds: float

    def calibration_rows(self, round: int) -> list[CalibrationBin]:
        """The rows of calibration.csv; empty bins are left out."""
        if self.calibration is None:
            return []
        columns = zip(*(column.tolist() for column in self.calibration), strict=True)
        return [
            CalibrationBin(round, bin, count, shortest(confidence), shortest(accuracy))
            for bin, (count, confidence, accuracy) in enumerate(columns)
            if count
        ]


def measure_on_test_set(parts: RunParts, metrics: NamedMetrics) -> Tested:
    """Tests a model by its ``test_step``. Metrics that ``test_step`` does not log are computed from the logits.

    Args:
        parts: The parts of the run.
        metrics: The metrics that the user asks for.
    """
    started = time.perf_counter()
    trainer, model, data = parts.trainer, parts.model, parts.datamodule
    if len(data.test_targets) == 0:  # the user needs all labels for training
        return Tested({}, None, time.perf_counter() - started)
    tested: dict[str, Tensor] = {}
    curve = CalibrationCurve()
    if is_overridden("test_step", model):
        parts.fresh.restore_profiler()
        with in_place_of(trainer, parts.loop, curve):
            trainer.test(model, datamodule=data, verbose=False)
        tested = dict(trainer.callback_metrics)
    calibration = curve.bins
    if metrics or not tested.keys() >= set(OURS):
        model.to(trainer.strategy.root_device)  # at the end of a fit, Lightning moves it to the CPU
        blocks = data.test_blocks()
        logits = PoolPredictor.of_trainer(trainer, model, blocks, blocks).map(lambda batch: batch.logits)
        model.cpu()
        ours = ClassificationMetrics(logits.shape[1], prefix=PREFIX)
        ours.update(logits, data.test_targets)
        if "test_acc" not in tested:  # the curve contains the accuracy
            calibration = ours.calibration_bins()
        tested = ours.compute() | tested | metrics.compute(logits, data.test_targets)
    found = {name: shortest(float(value)) for name, value in tested.items()}
    return Tested(found, calibration, time.perf_counter() - started)


class CalibrationCurve(Callback):
    """Reads the calibration curve of a test before the model resets its metrics."""

    def __init__(self) -> None:
        self.bins: tuple[Tensor, Tensor, Tensor] | None = None

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        metrics = traits(pl_module).test_metrics
        if isinstance(metrics, ClassificationMetrics):
            self.bins = metrics.calibration_bins()
