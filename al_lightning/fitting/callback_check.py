"""Refuses callbacks and arguments of the trainer that a run cannot have, before the first fit."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec

import lightning.pytorch as L
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BatchSizeFinder,
    Callback,
    DeviceStatsMonitor,
    GradientAccumulationScheduler,
    LearningRateMonitor,
    ModelPruning,
    SpikeDetection,
    StochasticWeightAveraging,
    ThroughputMonitor,
)
from torch import nn

from al_lightning.errors import InputError

HAS_PSUTIL = find_spec("psutil") is not None


def check_callbacks(trainer: L.Trainer, model: L.LightningModule, callbacks: Sequence[Callback]) -> None:
    """Raises :class:`InputError` if Lightning would fail in the first fit, or if a run could not continue.

    Args:
        trainer: The trainer.
        model: The model.
        callbacks: All callbacks of the trainer but the loop.
    """
    if not model.automatic_optimization:
        _check_manual_optimization(trainer, model)
    for callback in callbacks:
        for kind, check in CHECKS.items():
            if isinstance(callback, kind) and (reason := check(callback, trainer, model)):
                raise InputError(f"Expected the callback {type(callback).__name__} {reason}.")


def _check_manual_optimization(trainer: L.Trainer, model: L.LightningModule) -> None:
    clip, batches = trainer.gradient_clip_val, trainer.accumulate_grad_batches
    for name, value, is_set in [
        ("gradient_clip_val", clip, bool(clip)),
        ("accumulate_grad_batches", batches, batches != 1),
    ]:
        if is_set:
            raise InputError(
                f"Expected `trainer.{name}` not to be set for the model {type(model).__name__}, which takes its "
                f"optimizer steps itself, but got {value}; Lightning can do it for a model with automatic optimization."
            )


def _batch_size_finder(callback: Callback, trainer: L.Trainer, model: L.LightningModule) -> str | None:
    return (
        "not to be used: the batch size that it finds depends on the free memory of the moment, so that a run that is "
        "continued may differ; set the batch size of the data"
    )


def _finetuning(callback: Callback, trainer: L.Trainer, model: L.LightningModule) -> str | None:
    if isinstance(getattr(model, "backbone", None), nn.Module):
        return None
    return f"to be used with a model that has a module `backbone`, but {type(model).__name__} has none"


def _spike_detection(callback: Callback, trainer: L.Trainer, model: L.LightningModule) -> str | None:
    if model.automatic_optimization:
        return None
    return (
        f"to be used with a model whose `training_step` returns the loss, but that of {type(model).__name__} does not"
    )


def _accumulation(callback: Callback, trainer: L.Trainer, model: L.LightningModule) -> str | None:
    if not model.automatic_optimization:
        return f"not to be used with the model {type(model).__name__}, which takes its optimizer steps itself"
    if trainer.accumulate_grad_batches != 1:
        return f"or `trainer.accumulate_grad_batches`, but got both, the latter {trainer.accumulate_grad_batches}"
    return None


def _pruning(callback: Callback, trainer: L.Trainer, model: L.LightningModule) -> str | None:
    if getattr(callback, "_make_pruning_permanent", True):
        return None
    return "to have `make_pruning_permanent`, without which masks of one round stay in the model of the next"


def _averaging(callback: Callback, trainer: L.Trainer, model: L.LightningModule) -> str | None:
    start = getattr(callback, "_swa_epoch_start", 1)
    if isinstance(start, float) and trainer.max_epochs == -1:
        return "to have a number of epochs as `swa_epoch_start` where `trainer.max_epochs` is -1"
    return None


def _monitor(callback: Callback, trainer: L.Trainer, model: L.LightningModule) -> str | None:
    return None if trainer.loggers else "to be used with a logger, but `trainer.logger` is not set"


def _device_stats(callback: Callback, trainer: L.Trainer, model: L.LightningModule) -> str | None:
    wanted = getattr(callback, "_cpu_stats", None)  # with None, Lightning logs them if it trains on the CPU
    logs_cpu = isinstance(trainer.accelerator, CPUAccelerator) if wanted is None else wanted
    if trainer.loggers and logs_cpu and not HAS_PSUTIL:
        return "to be used with the package psutil, but it is not installed; `pip install psutil`, or `cpu_stats` False"
    return _monitor(callback, trainer, model)


CHECKS: dict[type[Callback], Callable[[Callback, L.Trainer, L.LightningModule], str | None]] = {
    BackboneFinetuning: _finetuning,
    BatchSizeFinder: _batch_size_finder,
    DeviceStatsMonitor: _device_stats,
    GradientAccumulationScheduler: _accumulation,
    LearningRateMonitor: _monitor,
    ModelPruning: _pruning,
    SpikeDetection: _spike_detection,
    StochasticWeightAveraging: _averaging,
    ThroughputMonitor: _monitor,
}
