"""FreshStart: trainer, callbacks and generators are in the same state before each fit."""

import random
from typing import Any, cast

import lightning.pytorch as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ProgressBar
from lightning.pytorch.profilers import PyTorchProfiler
from torch import nn

from al_lightning.data import PoolDataModule
from al_lightning.fitting.callback_state import FreshCallbacks
from al_lightning.fitting.lightning_insides import callbacks_of, forget_fits
from al_lightning.fitting.trainer_state import FreshTrainer
from al_lightning.models.protocol import traits
from al_lightning.random_streams import Purpose, stream, stream_seed


class FreshStart:
    """Remembers the state that a fit changes, and puts it back before each later fit.

    Args:
        trainer: The trainer. Its stopping rule is chosen already.
        model: The model.
        datamodule: The data.
        owned: Objects that callbacks may use but do not own: the loop and its parts.
        own: Callbacks of the loop itself. They keep no state of a fit.
    """

    def __init__(
        self,
        trainer: L.Trainer,
        model: L.LightningModule,
        datamodule: PoolDataModule,
        owned: tuple[object, ...],
        own: tuple[Callback, ...],
    ) -> None:
        self._trainer = trainer
        self._own = own
        profiler: Any = trainer.profiler  # type: ignore[attr-defined]
        self._first = FreshTrainer(trainer, model, datamodule)
        # PyTorch's profiler fails if a second stage uses it.
        self._profiler = FreshCallbacks([profiler] if isinstance(profiler, PyTorchProfiler) else [], [])
        parts = [*_parts(trainer), *_parts(model), *_parts(datamodule), *owned]
        self._callbacks = FreshCallbacks(self.others(), parts)

    def others(self, *own: Callback) -> list[Callback]:
        """The callbacks that may keep state of a fit, except the given ones."""
        return others(self._trainer, *self._own, *own)

    def restore(self) -> None:
        """Puts everything back before a fit, except before the first fit."""
        self._first.restore()
        self._callbacks.restore()
        self._profiler.restore()
        forget_fits(self._trainer)

    def restore_profiler(self) -> None:
        """Puts the profiler back before a test."""
        self._profiler.restore()

    def know(self, callbacks: list[Callback]) -> None:
        """Remembers callbacks of the model, unless they are known."""
        self._callbacks.add(callbacks)

    def gather(self) -> None:
        """Joins the records of all fits, for users who read callbacks after the run."""
        self._callbacks.gather()


def others(trainer: L.Trainer, *own: Callback) -> list[Callback]:
    """The callbacks that may keep state of a fit, except the given ones. Progress bars belong to the whole run."""
    return [
        callback
        for callback in callbacks_of(trainer)
        if not isinstance(callback, ProgressBar) and not any(callback is one for one in own)
    ]


def set_streams(model: L.LightningModule, datamodule: PoolDataModule, seed: int, round: int, rank: int) -> None:
    """Gives data and model the random streams of a round, and seeds the global generators.

    Args:
        model: Gets a stream for each of its ``stream_purposes``.
        datamodule: The data.
        seed: Seed of the run.
        round: The round.
        rank: Number of this process. Devices draw different dropout masks and transforms, but the same shuffles.
    """
    datamodule.shuffle_generator = stream(seed, "shuffle", round)
    datamodule.unlabeled_generator = stream(seed, "unlabeled", round)
    datamodule.transform_generator = stream(seed, "transforms", round, rank)
    purposes = cast(tuple[Purpose, ...], traits(model).stream_purposes)
    if purposes:
        model.streams = {purpose: stream(seed, purpose, round, rank) for purpose in purposes}  # type: ignore[assignment]
    # For draws before training starts, for example by LearningRateFinder, and for draws of the user's code.
    dropout = stream_seed(seed, "dropout", round, rank)
    torch.manual_seed(dropout)
    np.random.seed(dropout % 2**32)
    random.seed(dropout)


def _parts(owner: object) -> list[object]:
    """An object and its parts."""
    if isinstance(owner, L.Trainer):
        return [owner, *owner.loggers, owner.strategy, owner.accelerator]
    if isinstance(owner, nn.Module):
        return [owner, *owner.modules(), *owner.parameters(), *owner.buffers()]
    return [owner]
