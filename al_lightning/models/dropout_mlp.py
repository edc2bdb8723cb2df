"""The model of the protocol: a multilayer perceptron with one hidden layer and dropout before its head."""

from collections.abc import Callable
from typing import Literal, cast

import torch
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from al_lightning.data.inputs import as_floats, count_rows
from al_lightning.errors import InputError
from al_lightning.models.adam_step import quick_step
from al_lightning.models.backward_hooks import hears_backward
from al_lightning.models.base import ClassifierModule, MiniBatch
from al_lightning.models.closure import wants_closure
from al_lightning.models.denormals import flush_denormals
from al_lightning.models.dropout import FastDropout
from al_lightning.models.dropout_head import DropoutHead, check_dropout
from al_lightning.models.fused_update import FusedUpdate, why_not_fused


class DropoutMLP(DropoutHead, ClassifierModule):
    """Multilayer perceptron: linear, ReLU, dropout, linear.

    Dropout sits before the head only, so that Monte Carlo samples cost one matrix product instead of T passes.

    Args:
        input_dim: Number of input features; inputs of shape ``(B, ...)`` are flattened to ``(B, input_dim)``. By
            default the number of values of a sample of the data, and 784 before the model meets its data.
        hidden_dim: Number of hidden units, D.
        num_classes: Number of classes, C, at least 2. By default the number of classes of the data, and 10 before the
            model meets its data.
        dropout: Probability that dropout zeroes a hidden unit, in [0, 1).
        optimizer: Makes the optimizer of one fit from the parameters. By default Adam with learning rate 3e-4, with its
            step fused into one kernel.
        fused: Whether updates go without autograd, to the same bits in less time: see
            :class:`~al_lightning.models.fused_update.FusedUpdate`. ``auto`` does so where it can, on a CPU and without
            hooks, and ``True`` raises where it cannot. The gradients of all minibatches then use the same memory, so a
            callback that keeps gradients must copy them.

    Raises:
        InputError: If an argument is out of range.
    """

    hidden: nn.Linear

    ends_by_train_acc = True
    """:class:`~al_lightning.Convergence` without arguments ends a fit of this network at a training accuracy of 0.99,
    like the protocol."""
    minibatches_per_step = 16
    """Number of minibatches that one ``training_step`` takes. Lightning costs 0.5 to 2 ms for each step, more than an
    update of this small network. Sixteen updates in a step spread that cost and change no bit of the result."""

    def __init__(
        self,
        input_dim: int | None = None,
        hidden_dim: int = 256,
        num_classes: int | None = None,
        dropout: float = 0.5,
        # a lambda, so that LightningCLI sees the class and its arguments: --model.optimizer.lr 1e-3
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, lr=3e-4, fused=True),
        fused: bool | Literal["auto"] = "auto",
    ) -> None:
        super().__init__(num_classes, optimizer)
        if fused not in (True, False, "auto"):
            raise InputError(f"Expected `model.fused` to be auto, true or false, but got {fused}.")
        for name, value in [("input_dim", input_dim), ("hidden_dim", hidden_dim)]:
            if value is not None and value < 1:
                raise InputError(f"Expected `model.{name}` to be at least 1, but got {value}.")
        check_dropout(dropout)
        # also for a subclass; `fused` changes no bit, so a run may go on without it
        self.save_hyperparameters(ignore=["optimizer", "augmentation", "fused"])
        self._num_hidden = hidden_dim
        self.dropout = FastDropout(dropout)
        self._fused = fused
        self._fused_update: FusedUpdate | None = None
        self._begin_sizes(input_dim=input_dim, num_classes=num_classes)
        self.automatic_optimization = False  # because a step takes several minibatches

    def _make_layers(self, input_dim: int, num_classes: int) -> dict[str, nn.Module]:  # type: ignore[override]
        return {"hidden": nn.Linear(input_dim, self._num_hidden), "head": nn.Linear(self._num_hidden, num_classes)}

    # ------------------------------------------------------------------------------------------------- prediction

    def embed(self, x: Tensor) -> Tensor:
        """Maps inputs ``(B, ...)`` to hidden activations ``(B, D)``."""
        return F.relu(self.hidden(as_floats(x, self.hidden).flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """Maps inputs ``(B, ...)`` to logits ``(B, C)``."""
        return self.head(self.dropout(self.embed(x)))

    # --------------------------------------------------------------------------------------------------- training

    def on_train_epoch_start(self) -> None:
        self._losses: dict[str, list[Tensor]] = {}
        self._sizes: list[int] = []
        self._hears_backward = hears_backward(self)

    def training_step(self, minibatches: list[MiniBatch]) -> None:  # type: ignore[override]
        """Takes one optimizer step for each of the minibatches, in order.

        Lightning's hooks of the backward pass and of the optimizer run once, for the last minibatch, because they cost
        a tenth of a minibatch's time.

        Minibatches need no autograd where :func:`~al_lightning.models.fused_update.why_not_fused` says so. The last one
        does if :func:`~al_lightning.models.backward_hooks.hears_backward` says so.

        In two cases the hooks run for each minibatch. A gradient scaler works through these hooks. On several devices,
        gradients are averaged only in a backward pass by Lightning.
        """
        optimizer = cast(LightningOptimizer, self.optimizers())
        all_by_lightning = self.trainer.scaler is not None or self.trainer.world_size > 1
        in_closure = wants_closure(optimizer.optimizer)
        update = None if all_by_lightning else self._update_without_autograd(optimizer.optimizer, minibatches)
        quick = optimizer.optimizer.step if update is None else quick_step(optimizer.optimizer)
        # All that can be done before or after the loop is done there. Between two updates the caches are full of
        # weights, and Python takes longer.
        is_fused = [False] * len(minibatches)
        if update is not None:
            heard = len(minibatches) - self._hears_backward
            is_fused = [i < heard and update.takes(*minibatch) for i, minibatch in enumerate(minibatches)]
            update.draw_ahead(minibatches[: [*is_fused, False].index(False)])
        found = []
        for i, minibatch in enumerate(minibatches):
            by_lightning = i == len(minibatches) - 1 or all_by_lightning
            step = (optimizer if by_lightning else optimizer.optimizer).step
            if update is not None and is_fused[i]:
                losses = update.losses(*minibatch)
                with flush_denormals():
                    (step if by_lightning else quick)()
            elif in_closure:
                losses = self._step_with_closure(step, minibatch, optimizer.optimizer, by_lightning)
            else:
                losses = self._backward(minibatch, optimizer.optimizer, by_lightning)
                with flush_denormals():
                    step()
            self.after_step()
            found.append(losses)
        for minibatch, losses in zip(minibatches, found, strict=True):
            for name, loss in losses.items():
                self._losses.setdefault(name, []).append(loss.detach())
            self._sizes.append(count_rows(minibatch[0]))

    def _update_without_autograd(self, optimizer: Optimizer, minibatches: list[MiniBatch]) -> FusedUpdate | None:
        """Returns what takes the place of autograd; ``None`` if nothing does.

        Raises:
            InputError: If ``fused`` is True, and nothing can.
        """
        if self._fused is False:
            return None
        reason = self._why_not_fused(optimizer)
        if reason is not None:
            if self._fused is True:
                raise InputError(f"Expected `model.fused` to be auto or false, because {reason}, but got True.")
            return None
        size = max(count_rows(minibatch[0]) for minibatch in minibatches)
        if self._fused_update is None or not self._fused_update.suits(self, size):
            self._fused_update = self._make_fused(size)
        return self._fused_update

    def _why_not_fused(self, optimizer: Optimizer) -> str | None:
        return why_not_fused(self, optimizer, DropoutMLP)

    def _make_fused(self, size: int) -> FusedUpdate:
        return FusedUpdate(self, size)

    def on_train_end(self) -> None:
        self._fused_update = None  # its memory, and no part of a checkpoint

    def _backward(
        self, minibatch: MiniBatch, optimizer: torch.optim.Optimizer, by_lightning: bool
    ) -> dict[str, Tensor]:
        """Computes the losses of a minibatch and their gradients."""
        losses = self.losses(*minibatch)
        optimizer.zero_grad()
        if by_lightning:
            self.manual_backward(losses["train_loss"])
        else:
            losses["train_loss"].backward()
        return losses

    def _step_with_closure(
        self, step: Callable, minibatch: MiniBatch, optimizer: Optimizer, by_lightning: bool
    ) -> dict[str, Tensor]:
        """Lets an optimizer such as LBFGS evaluate the losses as often as it needs.

        Returns the losses before the step.
        """
        evaluated: list[dict[str, Tensor]] = []

        def closure() -> Tensor:
            evaluated.append(self._backward(minibatch, optimizer, by_lightning))
            return evaluated[-1]["train_loss"]

        with flush_denormals():
            step(closure=closure)
        return evaluated[0]

    def after_step(self) -> None:
        """Called after each optimizer step."""

    def on_train_epoch_end(self) -> None:
        for name, values in self._losses.items():
            losses = torch.stack(values).float()
            sizes = torch.tensor(self._sizes, dtype=losses.dtype, device=losses.device)
            self.log(name, losses @ sizes / sizes.sum(), sync_dist=True)
