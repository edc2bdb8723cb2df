"""RoundFit: the fit of one round, from its first hook to its results."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import lightning.pytorch as L
import torch
from lightning.fabric.utilities.spike import TrainingSpikeException
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping, ModelSummary, Timer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.model_helpers import is_overridden

from al_lightning.errors import InputError
from al_lightning.fitting.convergence import TRAIN_ACC, TRAIN_NLL
from al_lightning.fitting.labeled_metrics import LabeledMetrics
from al_lightning.fitting.lightning_insides import at_end_of_training, in_place_of, logs_itself
from al_lightning.fitting.run_parts import RunParts
from al_lightning.fitting.run_record import RunRecord
from al_lightning.fitting.stopping import capped, has_converged, rules_of, watched_by_others
from al_lightning.random_streams import stream_seed
from al_lightning.run_folder.query_rows import shortest

T = TypeVar("T")
HARMLESS = (EarlyStopping, Checkpoint, ModelSummary, Timer)
"""Callbacks that change no weights at the end of an epoch or of a fit."""


@dataclass(frozen=True)
class Fitted:
    """The results of a fit."""

    epochs: int
    train_acc: float
    """Accuracy on the labeled set in evaluation mode, in [0, 1]."""
    converged: bool
    """Whether a stopping rule ended the fit, and not a cap."""
    seconds: float
    logged: dict[str, float]
    """Metrics that the model logs in its validation, by name."""


class RoundFit(Callback, Generic[T]):
    """Hooks of one fit. Each round makes a new object, which is a callback of the trainer during that fit only.

    Args:
        parts: The parts of the run.
        round: The round.
        record: The record that shows and writes the epochs.
        at_end: Called with the fitted model while it is still on its device; Lightning moves it to the CPU before
            ``on_fit_end``. :meth:`run` returns its result.
    """

    def __init__(self, parts: RunParts, round: int, record: RunRecord, at_end: Callable[[], T]) -> None:
        self._parts = parts
        self._round = round
        self._record = record
        self._at_end = at_end
        self._started = time.perf_counter()
        self._epochs = 0
        self._measured: dict[str, float] = {}
        self._found: list[tuple[Fitted, T]] = []

    def run(self) -> tuple[Fitted, T]:
        """Fits the model on the labeled set.

        Raises:
            InputError: If the trainer's limits leave no step, or Lightning refuses an argument.
        """
        trainer, model, data = self._parts.trainer, self._parts.model, self._parts.datamodule
        try:
            with (
                in_place_of(trainer, self._parts.loop, self),
                capped(trainer, int(data.labeled.sum()) / data.batch_size),
                at_end_of_training(trainer, self._end),
            ):
                trainer.fit(model, datamodule=data)
        except MisconfigurationException as error:
            raise InputError(" ".join(str(error).split())) from error
        except TrainingSpikeException as error:
            raise InputError(
                f"Expected the fit of round {self._round} to end without a spike, but got: {error}."
            ) from error
        except RuntimeError as error:
            if "conditioned on metric" not in str(error):
                raise
            # EarlyStopping complains that nobody logs its metric.
            raise InputError(f"Expected `convergence.monitor` to be a metric that is logged: {error}") from error
        if not self._found:
            raise InputError(f"Expected round {self._round} to train, but the trainer's limits left it no step.")
        return self._found[0]

    # ---------------------------------------------------------------------------------------------------- the hooks

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remembers the callbacks of the model. The callbacks of the trainer are remembered earlier."""
        self._parts.fresh.know(self._parts.fresh.others(self))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Seeds the dropout of this round.

        An earlier seed would be lost: a fit seeds all devices alike when it joins them.
        """
        torch.manual_seed(stream_seed(self._parts.seed, "dropout", self._round, self._parts.ranks.rank))
        self._record.start_fit(self._round, int(self._parts.datamodule.labeled.sum()))
        self._started = time.perf_counter()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reports the previous epoch.

        The metrics that a module logs at the end of an epoch are known only after its hook.
        """
        if self._epochs > 0:
            self._report_epoch()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measures the metrics of the labeled set that callbacks watch.

        Lightning runs EarlyStopping after all other callbacks.
        """
        self._epochs += 1
        self._measured = {}
        rules = [rule for rule in rules_of(trainer) if rule.is_due]
        watched = watched_by_others(trainer)
        if not rules and not watched:
            return
        self._measured = self._labeled.measure(with_nll=bool(rules) or TRAIN_NLL in watched)
        for rule in rules:
            rule.take(self._measured[TRAIN_NLL])
        for name, value in self._measured.items():
            if name == TRAIN_ACC and name in watched:
                # EarlyStopping reads this mapping. `self.log` would fill it, too, but takes a tenth of a short epoch.
                trainer.callback_metrics[name] = torch.tensor(value)
                if trainer.loggers or logs_itself(trainer, name):
                    self.log(name, value)  # type: ignore[attr-defined]
            elif not logs_itself(trainer, name):  # a module that logs this metric keeps its own value
                trainer.callback_metrics[name] = torch.tensor(value)
                for logger in trainer.loggers:
                    logger.log_metrics({name: value}, step=max(0, trainer.global_step - 1))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Gives all devices the same running statistics, before callbacks read or average them."""
        self._parts.ranks.share_buffers(pl_module)

    def _end(self) -> None:
        """Takes the results of the fit, after all callbacks that change weights at the end of training."""
        trainer, model, ranks = self._parts.trainer, self._parts.model, self._parts.ranks
        self._report_epoch()
        logged = {
            name: shortest(float(value)) for name, value in trainer.callback_metrics.items() if name.startswith("val")
        }
        if not self._measured or self._may_have_changed_weights():
            self._measured = self._labeled.measure()
        # If a metric is not averaged over the devices, one device can end the fit of all.
        converged = any(ranks.gather(has_converged(trainer)))
        seconds = time.perf_counter() - self._started
        ranks.share_buffers(model)
        ranks.check_same(
            f"the fitted model {type(model).__name__}",
            model.parameters(),
            hint=": only a `manual_backward` averages gradients over devices",
        )
        fitted = Fitted(self._epochs, self._measured[TRAIN_ACC], converged, seconds, logged)
        self._found.append((fitted, self._at_end()))

    # ---------------------------------------------------------------------------------------------------- its parts

    @cached_property
    def _labeled(self) -> LabeledMetrics:
        return LabeledMetrics(self._parts, self._round)

    def _report_epoch(self) -> None:
        metrics = self._parts.trainer.callback_metrics
        self._record.end_epoch(self._epochs, {name: float(value) for name, value in metrics.items()})

    def _may_have_changed_weights(self) -> bool:
        """Whether other callbacks may have changed the weights after the last measurement of the accuracy."""
        model = self._parts.model
        hooks = ("on_train_epoch_end", "on_train_end")
        is_ours = type(model).__module__.startswith("al_lightning.")
        return any(not isinstance(callback, HARMLESS) for callback in self._parts.fresh.others(self)) or (
            not is_ours and any(is_overridden(hook, model) for hook in hooks)
        )
