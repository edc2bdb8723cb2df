"""Convergence: the rule that ends a fit."""

from collections.abc import Mapping
from typing import Any, Literal

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from torch import Tensor, nn

from al_lightning.fitting.falling_loss import FallingLoss
from al_lightning.models.protocol import traits

NEVER = 1_000_000
TRAIN_ACC, TRAIN_NLL = "train_acc", "train_nll"
"""Metrics of the labeled samples in evaluation mode, measured by the loop: accuracy and mean cross-entropy."""
NLL_DONE = 1e-3
"""A fit is over at a mean cross-entropy this small: the model gives each label a probability of about 0.999."""
STEP_LOSS_DONE = 1e-2
"""The same limit for the loss of the training steps. Dropout and augmentations keep this loss higher."""
CHECK_EVERY = 20
"""Updates between two checks of the loss."""
CHECK_SHARE = 0.01
"""The same interval as a share of all updates so far: long fits are checked less often."""
MAX_UPDATES, MAX_EPOCHS = 20_000, 200
"""Without another cap, a fit by the loss rule ends when both numbers of updates and epochs are reached."""

Auto = Literal["auto"]


class Convergence(EarlyStopping):
    """Ends a fit when it has converged. Which rule says so depends on the model, unless an argument is given.

    **The accuracy rule** of Ash et al. (2020): a fit is over as soon as the training accuracy, in evaluation mode,
    reaches 0.99. It is the rule for models with ``ends_by_train_acc``: :class:`~al_lightning.DropoutMLP`, the network
    of the protocol, and its subclasses.

    **The loss rule** is the rule for all other models: a fit is over when the training loss has ceased to fall. Two
    losses count: ``train_nll``, the mean cross-entropy of the labeled samples in evaluation mode, and the loss that
    ``training_step`` returns, if any. Both are averaged over the last quarter of all updates, and at least the last
    500. A loss has ceased to fall when this mean is not 2 % smaller than the mean over the same number of updates
    before. A cross-entropy of 0.001 is also small enough, and so is a training loss of 0.01. No fit ends while the
    learning rate still rises to its highest value. The losses are checked at the end of an epoch, at most every 20
    updates.

    A fit by the loss rule has a cap if ``trainer.max_epochs`` is -1 and ``trainer.max_steps`` is not given. The cap is
    20,000 updates or 200 epochs, whichever is later. A fit that ends at a cap has not converged.

    If any argument is given, this callback is Lightning's :class:`~lightning.pytorch.callbacks.EarlyStopping`. The
    other arguments then have the values of the accuracy rule. One thing differs: a metric that *equals* the threshold
    has reached it.

    Args:
        monitor: Metric to watch. The loop logs ``train_acc`` once an epoch; the model logs ``train_loss``. The value
            ``train_nll``, without other arguments, chooses the loss rule for any model.
        stopping_threshold: The fit ends when the metric reaches this value; ``None`` for no threshold.
        mode: ``max`` if higher is better, ``min`` if lower is better.
        patience: The fit also ends after this many epochs without improvement. By default it never does.
        min_delta: Smallest change of the metric that counts as an improvement.
    """

    def __init__(
        self,
        monitor: str = "auto",
        stopping_threshold: float | Auto | None = "auto",
        mode: Literal["min", "max", "auto"] = "auto",
        patience: int | Auto = "auto",
        min_delta: float | Auto = "auto",
    ) -> None:
        others = (stopping_threshold, mode, patience, min_delta)
        self.by_model = (monitor, *others) == ("auto",) * 5
        """Whether the model chooses the rule, because no argument was given."""
        self.by_loss = monitor == TRAIN_NLL and others == ("auto",) * 4
        """Whether the loss rule is in force."""
        self._given = {
            "monitor": TRAIN_ACC if monitor == "auto" else monitor,
            "stopping_threshold": 0.99 if stopping_threshold == "auto" else stopping_threshold,
            "mode": "max" if mode == "auto" else mode,
            "patience": NEVER if patience == "auto" else patience,
            "min_delta": 0.0 if min_delta == "auto" else min_delta,
        }
        threshold = self._given["stopping_threshold"]
        if threshold is not None:
            # EarlyStopping demands a value beyond the threshold. The next float before it turns this into "at least".
            before = -torch.inf if self._given["mode"] == "max" else torch.inf
            threshold = torch.nextafter(torch.tensor(threshold), torch.tensor(before)).item()
        super().__init__(**{**self._given, "stopping_threshold": threshold}, check_on_train_epoch_end=True)  # type: ignore[arg-type]
        self._start()

    # ------------------------------------------------------------------------------------------------- which rule

    def settle(self, model: nn.Module) -> None:
        """Chooses the rule for a model, if no argument was given."""
        if self.by_model:
            self.use_loss(not traits(model).ends_by_train_acc)

    def use_loss(self, by_loss: bool) -> None:
        """Puts the loss rule in force, or the rule of the arguments."""
        self.by_loss = by_loss
        self.monitor = TRAIN_NLL if by_loss else str(self._given["monitor"])
        self._start()

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that give the rule in force for any model."""
        if self.by_loss:
            return dict.fromkeys(self._given, "auto") | {"monitor": TRAIN_NLL}
        return dict(self._given)

    # ----------------------------------------------------------------------------------------------- the loss rule

    def _start(self) -> None:
        self._updates = 0.0
        self._checked = 0.0
        self._nll = FallingLoss(NLL_DONE)
        self._step_loss = FallingLoss(STEP_LOSS_DONE)
        self._losses: list[Tensor] = []
        self._measured: float | None = None
        self._highest_rate = 0.0

    @property
    def is_due(self) -> bool:
        """Whether the loss rule needs ``train_nll`` at the end of this epoch."""
        since = self._updates - self._checked
        return self.by_loss and since >= max(CHECK_EVERY, CHECK_SHARE * self._updates)

    def take(self, train_nll: float) -> None:
        """Takes the loop's measurement for the check at the end of this epoch."""
        self._measured = train_nll

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forgets the losses of the previous fit."""
        self._start()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts updates, and keeps the loss of each."""
        if not self.by_loss:
            return
        minibatches = len(batch) if traits(pl_module).minibatches_per_step else 1
        self._updates += minibatches / trainer.accumulate_grad_batches
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor) and loss.numel() == 1:
            # Lightning divides the loss by the number of batches that it accumulates
            self._losses.append(loss.detach().reshape(()).float() * trainer.accumulate_grad_batches)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Checks the metric, unless the module says that its training is still ``warming_up``."""
        if traits(pl_module).warming_up:
            return
        if self.by_loss:
            self._check_losses(trainer)
        else:
            super().on_train_epoch_end(trainer, pl_module)

    def _check_losses(self, trainer: L.Trainer) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if self.is_due and self._measured is not None:
            self._checked = self._updates
            self._wait_for_warm_up(trainer)
            self._nll.add(self._updates, self._measured)
            losses = [self._nll]
            if self._losses:
                mean = trainer.strategy.reduce(torch.stack(self._losses).mean(), reduce_op="mean")
                self._step_loss.add(self._updates, float(mean))
                losses.append(self._step_loss)
            is_finite = self._measured - self._measured == 0
            self._losses, self._measured = [], None
            if not is_finite:
                self._stop(trainer, EarlyStoppingReason.NON_FINITE_METRIC)
            elif all(loss.has_settled() for loss in losses):
                self._stop(trainer, EarlyStoppingReason.PATIENCE_EXHAUSTED)

    def _wait_for_warm_up(self, trainer: L.Trainer) -> None:
        """Forgets the losses so far if the learning rate is higher than ever.

        A low learning rate made them fall slowly.
        """
        rates = [float(group["lr"]) for optimizer in trainer.optimizers for group in optimizer.param_groups]
        rate = max(rates, default=0.0)
        if rate > self._highest_rate:
            self._nll, self._step_loss = FallingLoss(NLL_DONE), FallingLoss(STEP_LOSS_DONE)
            self._highest_rate = rate

    def _stop(self, trainer: L.Trainer, reason: EarlyStoppingReason) -> None:
        trainer.should_stop = True
        self.stopping_reason = reason
        self.stopped_epoch = trainer.current_epoch
