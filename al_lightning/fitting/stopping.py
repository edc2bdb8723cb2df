"""The callbacks of a trainer that end its fits: their metrics, and whether a rule was met."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from al_lightning.fitting.convergence import MAX_EPOCHS, MAX_UPDATES, TRAIN_ACC, TRAIN_NLL, Convergence
from al_lightning.fitting.lightning_insides import callbacks_of
from al_lightning.models.protocol import traits

CONVERGED = (EarlyStoppingReason.STOPPING_THRESHOLD, EarlyStoppingReason.PATIENCE_EXHAUSTED)


def rules_of(trainer: L.Trainer) -> list[Convergence]:
    """The stopping rules of this package among the callbacks of a trainer."""
    return [callback for callback in callbacks_of(trainer) if isinstance(callback, Convergence)]


def watched_by_others(trainer: L.Trainer) -> set[str]:
    """The metrics that callbacks of Lightning watch, or stopping rules with their own arguments."""
    stopping = [callback for callback in callbacks_of(trainer) if isinstance(callback, EarlyStopping)]
    return {c.monitor for c in stopping if not (isinstance(c, Convergence) and c.by_loss)} & {TRAIN_ACC, TRAIN_NLL}


@contextmanager
def capped(trainer: L.Trainer, minibatches: float) -> Iterator[None]:
    """Gives a fit by the loss rule a cap of epochs, if it has none. Learning rate schedules need a finite number."""
    if not any(rule.by_loss for rule in rules_of(trainer)) or (trainer.max_epochs, trainer.max_steps) != (-1, -1):
        yield
        return
    updates = max(1, math.ceil(minibatches / trainer.world_size)) / trainer.accumulate_grad_batches
    trainer.fit_loop.max_epochs = max(MAX_EPOCHS, math.ceil(MAX_UPDATES / updates))
    try:
        yield
    finally:
        trainer.fit_loop.max_epochs = -1


def has_converged(trainer: L.Trainer) -> bool:
    """Whether a stopping rule was met and ended the fit, or the model says that it found its optimum.

    Caps of epochs, steps or time do not count, nor does divergence.
    """
    solved = traits(trainer.lightning_module).solved
    if solved is not None:
        return solved
    reasons = [c.stopping_reason for c in callbacks_of(trainer) if isinstance(c, EarlyStopping)]
    diverged = (EarlyStoppingReason.NON_FINITE_METRIC, EarlyStoppingReason.DIVERGENCE_THRESHOLD)
    return any(reason in CONVERGED for reason in reasons) and not any(reason in diverged for reason in reasons)


def use_rule_of_run(settings: Mapping[str, Any] | None, trainer: L.Trainer) -> bool:
    """Restores the stopping rule of an old run. Returns whether it differs from today's rule.

    Args:
        settings: Settings of the run with its rule, see :func:`~al_lightning.run_folder.old_rule.with_old_rule`.
            ``None`` if the run has today's rule.
        trainer: The trainer.
    """
    if settings is None:
        return False
    for rule in rules_of(trainer):
        if rule.by_model:
            rule.use_loss(False)
    trainer.fit_loop.max_epochs = settings["trainer"]["max_epochs"]
    return True
