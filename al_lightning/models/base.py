"""ClassifierModule: the common parts of this package's models, without the network."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

import lightning.pytorch as L
import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F

from al_lightning.data.inputs import Inputs, count_rows, only_tensor
from al_lightning.errors import InputError
from al_lightning.inference.calling import call
from al_lightning.models.metrics import ClassificationMetrics

MiniBatch = tuple[Any, Tensor]
"""Inputs of B samples, usually a tensor, and their class indices, int64, shape ``(B,)``."""

SIZES = {"input_dim": 784, "num_classes": 10}
"""Sizes that a constructor leaves to the data, and their values before a model meets its data: the protocol's."""


class ClassifierModule(L.LightningModule):
    """A LightningModule without its ``forward``: trained with cross-entropy, tested with ClassificationMetrics.

    Args:
        num_classes: Number of classes, C, at least 2. By default the number of classes of the data.
        optimizer: Makes the optimizer of one fit from the parameters.

    Raises:
        InputError: If an argument is out of range.
    """

    test_metrics: ClassificationMetrics

    takes_pairs = True
    """The data module gives pairs of inputs and class indices, without other parts of a dataset's items."""

    def __init__(self, num_classes: int | None, optimizer: OptimizerCallable) -> None:
        super().__init__()
        if num_classes is not None and num_classes < 2:
            raise InputError(f"Expected `model.num_classes` to be at least 2, but got {num_classes}.")
        self.optimizer_factory = optimizer
        self._given_sizes: dict[str, int | None] = {"num_classes": num_classes}
        self._taken_sizes = _known(self._given_sizes)
        self._state_before_layers = torch.get_rng_state()
        self._sized_layers: dict[str, nn.Module] = {}
        self._put({"test_metrics": ClassificationMetrics(self._taken_sizes["num_classes"], prefix="test_")})

    # ------------------------------------------------------------------------------------------------------ sizes

    def _begin_sizes(self, **given: int | None) -> None:
        """Makes the layers that depend on sizes. A constructor calls this after ``save_hyperparameters``.

        Args:
            given: The sizes in :data:`SIZES` that the model has; ``None`` for sizes that its data decide.
        """
        self._given_sizes = given
        self._state_before_layers = torch.get_rng_state()
        self._keep_sizes(_known(given))
        self._put(self._make_layers(**self._taken_sizes))

    def suit_data(self, num_classes: int, inputs: Inputs) -> None:
        """Takes the sizes that the constructor left to the data, and makes the layers of these sizes.

        The layers have the weights that the constructor draws for these sizes. A size that was given stays. If no size
        changes, the weights stay, too.

        Args:
            num_classes: Number of classes of the data.
            inputs: Inputs of at least one sample.
        """
        found = {"num_classes": max(2, num_classes)}
        tensor = only_tensor(inputs)
        if tensor is not None:
            found["input_dim"] = math.prod(tensor.shape[1:])
        sizes = {
            name: found.get(name, self._taken_sizes[name]) if size is None else size
            for name, size in self._given_sizes.items()
        }
        is_other = sizes != self._taken_sizes
        self._keep_sizes(sizes)  # in any case, because a subclass may have saved its arguments later
        if is_other:
            with torch.random.fork_rng(devices=[]):
                torch.set_rng_state(self._state_before_layers)
                made = self._make_layers(**sizes)
            self._put({"test_metrics": ClassificationMetrics(sizes["num_classes"], prefix="test_"), **made})
            dtype = cast(torch.dtype, self.dtype)
            for layer in self._sized_layers.values():
                layer.to(device=self.device, dtype=dtype).train(self.training)

    def _put(self, layers: Mapping[str, nn.Module]) -> None:
        """Puts layers in their places, except where a subclass has put a layer of its own."""
        for name, layer in layers.items():
            if name not in self._sized_layers or getattr(self, name) is self._sized_layers[name]:
                setattr(self, name, layer)
                self._sized_layers[name] = layer

    def _keep_sizes(self, sizes: Mapping[str, int]) -> None:
        self._taken_sizes = dict(sizes)
        self.hparams.update({name: size for name, size in sizes.items() if name in self.hparams})

    def _make_layers(self, **sizes: int) -> dict[str, nn.Module]:
        """Makes the layers that depend on sizes, by the names of their attributes."""
        return {}

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


def _known(given: Mapping[str, int | None]) -> dict[str, int]:
    return {name: SIZES[name] if size is None else size for name, size in given.items()}
