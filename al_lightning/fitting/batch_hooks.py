"""Checks Lightning's hooks on batches. Scored inputs do not pass through them, so they may change only training."""

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning.pytorch.utilities.seed import isolate_rng

from al_lightning.data import PoolDataModule
from al_lightning.data.blocks import BatchLoader
from al_lightning.data.collating import is_same
from al_lightning.data.inputs import take_rows
from al_lightning.errors import InputError
from al_lightning.inference import evaluation_mode
from al_lightning.models.protocol import traits

LOG = logging.getLogger(__name__)
HOOKS = ("on_before_batch_transfer", "on_after_batch_transfer")
NUM_ROWS = 8


def check_batch_hooks(trainer: L.Trainer, model: L.LightningModule, datamodule: PoolDataModule) -> None:
    """Raises :class:`InputError` if a hook of the model or the data changes a batch that is tested.

    A hook may augment batches of training, behind ``if self.trainer.training``. A hook that standardises all batches is
    refused: the model would train and test on other inputs than the inputs that it scores.
    """
    for hook in HOOKS:
        owners = [part for part in (datamodule, model) if is_overridden(hook, part)]
        if owners and len(datamodule.test_targets):
            _check(trainer, model, datamodule, owners[0], hook)


def _check(trainer: L.Trainer, model: L.LightningModule, datamodule: PoolDataModule, owner: Any, hook: str) -> None:
    as_pairs = traits(model).takes_pairs
    batch = next(iter(BatchLoader(datamodule.test_blocks(), datamodule.test_targets, as_pairs)))
    batch = take_rows(batch, slice(NUM_ROWS)) if isinstance(batch, tuple) else batch
    with _testing(trainer, model, datamodule), evaluation_mode(model), torch.no_grad(), isolate_rng(include_cuda=False):
        try:
            changed = getattr(owner, hook)(copy.deepcopy(batch), 0)
        except Exception as error:  # the hook may need a running fit: Lightning will report it
            LOG.debug("A hook could not be tried before the first fit: %r", error)
            return
    if not is_same(batch, changed):
        name = type(getattr(owner, "datamodule", owner)).__name__
        raise InputError(
            f"Expected `{hook}` of {name} to change batches only in training (`if self.trainer.training`), because the "
            "pool is scored without it, but it changes what is tested; move the change into `forward` or the data set."
        )


@contextmanager
def _testing(trainer: L.Trainer, model: L.LightningModule, datamodule: PoolDataModule) -> Iterator[None]:
    """Shows the trainer to hooks in the state of a test."""
    before, stage = datamodule.trainer, trainer.state.stage
    attached = getattr(model, "_trainer", None)
    model.trainer = datamodule.trainer = trainer
    if hasattr(datamodule, "datamodule"):
        datamodule.datamodule.trainer = trainer
    trainer.testing = True
    try:
        yield
    finally:
        trainer.state.stage = stage
        model.trainer, datamodule.trainer = attached, before
