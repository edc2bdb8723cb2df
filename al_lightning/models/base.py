"""ClassifierModule: the common parts of this package's models, without the network."""

from collections.abc import Iterator
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F

from al_lightning.data.inputs import count_rows
from al_lightning.errors import InputError
from al_lightning.inference.calling import call
from al_lightning.models.metrics import ClassificationMetrics

MiniBatch = tuple[Any, Tensor]
"""Inputs of B samples, usually a tensor, and their class indices, int64, shape ``(B,)``."""


class ClassifierModule(L.LightningModule):
    """A LightningModule without its ``forward``: trained with cross-entropy, tested with ClassificationMetrics.

    Args:
        num_classes: Number of classes, C, at least 2.
        optimizer: Makes the optimizer of one fit from the parameters.

    Raises:
        InputError: If an argument is out of range.
    """

    takes_pairs = True
    """The data module gives pairs of inputs and class indices, without other parts of a dataset's items."""

    def __init__(self, num_classes: int, optimizer: OptimizerCallable) -> None:
        super().__init__()
        if num_classes < 2:
            raise InputError(f"Expected `model.num_classes` to be at least 2, but got {num_classes}.")
        self.optimizer_factory = optimizer
        self.test_metrics = ClassificationMetrics(num_classes, prefix="test_")

    # --------------------------------------------------------------------------------------------------- training

    def configure_optimizers(self) -> torch.optim.Optimizer:
        # A callback may have frozen some parameters, and may unfreeze them later in their own group.
        return self.make_optimizer(parameter for parameter in self.parameters() if parameter.requires_grad)

    def make_optimizer(self, parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
        """Makes the optimizer of one fit."""
        try:
            return self.optimizer_factory(parameters)
        except (TypeError, ValueError) as error:
            raise InputError(f"Expected `model.optimizer` to make an optimizer, but got: {error}.") from error

    def losses(self, inputs: Any, targets: Tensor) -> dict[str, Tensor]:
        """Returns the loss to minimise on a minibatch, ``train_loss``, and other values to log."""
        return {"train_loss": F.cross_entropy(call(self, inputs), targets)}

    def training_step(self, batch: MiniBatch) -> Tensor:
        """Returns the loss of one minibatch; Lightning takes the optimizer step."""
        losses = self.losses(*batch)
        self.log_dict(losses, on_step=False, on_epoch=True, batch_size=count_rows(batch[0]))
        return losses["train_loss"]

    # ------------------------------------------------------------------------------------------- test and predict

    def test_step(self, batch: MiniBatch) -> None:
        inputs, targets = batch
        self.test_metrics.update(call(self, inputs).float(), targets)

    def on_test_epoch_end(self) -> None:
        self.log_dict(self.test_metrics.compute())
        self.test_metrics.reset()

    def predict_step(self, batch: MiniBatch) -> Tensor:
        """Returns class probabilities, float32, shape ``(B, C)``."""
        return call(self, batch[0]).float().softmax(dim=-1)
