"""The protocol's model: a multilayer perceptron with one hidden layer and dropout before its head."""

from collections.abc import Iterator
from typing import cast

import lightning.pytorch as L
import torch
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.nn import functional as F

from al_lightning.errors import InputError
from al_lightning.models.metrics import ClassificationMetrics

MiniBatch = tuple[Tensor, Tensor]


class DropoutMLP(L.LightningModule):
    """Multilayer perceptron: linear, ReLU, dropout, linear.

    Dropout sits before the head only, so that Monte Carlo samples cost one matrix product instead of T passes.

    Args:
        input_dim: Number of input features; inputs of shape ``(B, ...)`` are flattened to ``(B, input_dim)``.
        hidden_dim: Number of hidden units, D.
        num_classes: Number of classes, C, at least 2.
        dropout: Probability that dropout zeroes a hidden unit, in [0, 1).
        optimizer: Makes the optimizer of one fit from the parameters: Adam with learning rate 3e-4, its step fused into
            one kernel, if not given.

    Raises:
        InputError: If an argument is out of range.
    """

    minibatches_per_step = 16
    """Number of minibatches that one ``training_step`` takes. Lightning costs 0.5 to 2 ms a step, more than so small a
    network needs for one; sixteen updates a step spread that cost and change no bit of the result."""

    def __init__(
        self,
        input_dim: int = 784,
        hidden_dim: int = 256,
        num_classes: int = 10,
        dropout: float = 0.5,
        # a lambda, so that LightningCLI sees the class and its arguments: --model.optimizer.lr 1e-3
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, lr=3e-4, fused=True),
    ) -> None:
        super().__init__()
        for name, value, least in [
            ("input_dim", input_dim, 1),
            ("hidden_dim", hidden_dim, 1),
            ("num_classes", num_classes, 2),
        ]:
            if value < least:
                raise InputError(f"Expected `model.{name}` to be at least {least}, but got {value}.")
        if not 0 <= dropout < 1:
            raise InputError(f"Expected `model.dropout` to be in [0, 1), but got {dropout}.")
        self.save_hyperparameters(ignore=["optimizer", "augmentation"])  # of a subclass, too
        self.hidden = nn.Linear(input_dim, hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_dim, num_classes)
        self.optimizer_factory = optimizer
        self.test_metrics = ClassificationMetrics(num_classes, prefix="test_")
        self.automatic_optimization = False  # because a step takes several minibatches

    # ------------------------------------------------------------------------------------------------- prediction

    def embed(self, x: Tensor) -> Tensor:
        """Maps inputs ``(B, ...)`` to hidden activations ``(B, D)``."""
        return F.relu(self.hidden(x.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """Maps inputs ``(B, ...)`` to logits ``(B, C)``."""
        return self.head(self.dropout(self.embed(x)))

    def draw_masks(self, num_samples: int, generator: torch.Generator) -> Tensor:
        """Draws dropout masks for Monte Carlo samples.

        Args:
            num_samples: Number of masks, T.
            generator: CPU generator to draw from.

        Returns:
            Tensor of shape ``(T, D)`` with entries 0 and ``1 / (1 - dropout)``.

        Raises:
            InputError: If the dropout probability is 0: all samples would be the same and their order noise.
        """
        p = self.dropout.p
        if p == 0:
            raise InputError(
                "Expected a model with active dropout for Monte Carlo samples, but got `model.dropout` = 0."
            )
        kept = torch.rand(num_samples, self.head.in_features, generator=generator) >= p
        return kept.float() / (1 - p)

    def sample(self, embeddings: Tensor, masks: Tensor) -> Tensor:
        """Returns the logits under each dropout mask.

        ``head(mask * h) = (mask * W) h + bias``, so the masks are folded into the weights of the head and all T samples
        are one matrix product.

        Args:
            embeddings: Hidden activations, shape ``(B, D)``.
            masks: Scaled dropout masks, shape ``(T, D)``.

        Returns:
            Logits of shape ``(B, T, C)``. In memory the samples of the batch lie side by side: sums over ten classes or
            twenty masks then run over long vectors.
        """
        weight = masks[:, None, :] * self.head.weight.float()[None, :, :]  # (T, C, D)
        bias = self.head.bias.float().repeat(len(masks))[:, None]  # (T * C, 1)
        logits = torch.addmm(bias, weight.flatten(0, 1), embeddings.T)  # (T * C, B)
        return logits.view(*weight.shape[:2], len(embeddings)).permute(2, 0, 1)

    # --------------------------------------------------------------------------------------------------- training

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.make_optimizer(self.parameters())

    def make_optimizer(self, parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
        """Makes the optimizer of one fit."""
        try:
            return self.optimizer_factory(parameters)
        except (TypeError, ValueError) as error:
            raise InputError(f"Expected `model.optimizer` to make an optimizer, but got: {error}.") from error

    def losses(self, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Returns what is minimised on a minibatch, ``train_loss``, and what else is to be logged of it."""
        return {"train_loss": F.cross_entropy(self(inputs), targets)}

    def on_train_epoch_start(self) -> None:
        self._losses: dict[str, list[Tensor]] = {}
        self._sizes: list[int] = []

    def training_step(self, minibatches: list[MiniBatch]) -> None:
        """Takes one optimizer step for each of the minibatches, in order.

        Lightning's hooks of the backward pass and of the optimizer run once, for the last of the minibatches: they cost
        a tenth of what a minibatch takes. With a gradient scaler, which works through them, they run for each, and on
        several devices: gradients are averaged over these only in a backward pass by Lightning.
        """
        optimizer = cast(LightningOptimizer, self.optimizers())
        all_by_lightning = self.trainer.scaler is not None or self.trainer.world_size > 1
        for i, minibatch in enumerate(minibatches):
            losses = self.losses(*minibatch)
            optimizer.optimizer.zero_grad()
            if i == len(minibatches) - 1 or all_by_lightning:
                self.manual_backward(losses["train_loss"])
                optimizer.step()
            else:
                losses["train_loss"].backward()
                optimizer.optimizer.step()
            self.after_step()
            for name, loss in losses.items():
                self._losses.setdefault(name, []).append(loss.detach())
            self._sizes.append(len(minibatch[0]))

    def after_step(self) -> None:
        """Called after each optimizer step."""

    def on_train_epoch_end(self) -> None:
        for name, values in self._losses.items():
            losses = torch.stack(values).float()
            sizes = torch.tensor(self._sizes, dtype=losses.dtype, device=losses.device)
            self.log(name, losses @ sizes / sizes.sum(), sync_dist=True)

    # ------------------------------------------------------------------------------------------- test and predict

    def test_step(self, batch: MiniBatch) -> None:
        inputs, targets = batch
        self.test_metrics.update(self(inputs).float(), targets)

    def on_test_epoch_end(self) -> None:
        self.log_dict(self.test_metrics.compute())
        self.test_metrics.reset()

    def predict_step(self, batch: MiniBatch) -> Tensor:
        """Returns class probabilities, float32, shape ``(B, C)``."""
        return self(batch[0]).float().softmax(dim=-1)
