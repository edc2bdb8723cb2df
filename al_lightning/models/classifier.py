"""Classifier: any network, trained with cross-entropy."""

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from al_lightning.data.inputs import Inputs, as_floats, count_rows, map_tensors
from al_lightning.inference.calling import call
from al_lightning.inference.layers import named_layer
from al_lightning.inference.logits import class_logits, logits_of
from al_lightning.models.base import ClassifierModule


class Classifier(ClassifierModule):
    """Trains the user's own network: ``--model Classifier --model.network my_net.MyNet --model.feature_layer fc``.

    Args:
        network: Maps inputs ``(B, ...)`` to logits ``(B, C)``, or to an object that holds them; see
            :func:`~al_lightning.inference.logits.logits_of`. A single logit belongs to the second of two classes.
        num_classes: Number of classes, C, at least 2. By default the number of classes of the data. The network must
            return as many logits.
        feature_layer: Name of the layer of the network that makes the logits from the features, such as ``fc`` or
            ``classifier.2``. Its flattened input is the embedding, which BADGE and CoreSet need.
        optimizer: Makes the optimizer of one fit from the parameters: Adam with learning rate 3e-4 if not given.

    Raises:
        InputError: If an argument is out of range, or the network has no such layer.
    """

    passes_inputs_to = "network"
    """The parameters of this network's ``forward`` decide how inputs of several tensors are passed on; see
    :func:`~al_lightning.inference.calling.call`."""

    def __init__(
        self,
        network: nn.Module,
        num_classes: int | None = None,
        feature_layer: str | None = None,
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, lr=3e-4, fused=True),
    ) -> None:
        super().__init__(num_classes, optimizer)
        if feature_layer is not None:
            named_layer(network, feature_layer)  # here, because the user gave this name
        self.save_hyperparameters(ignore=["network", "optimizer"])
        self._begin_sizes(num_classes=num_classes)
        self.network = network
        self.feature_layer = None if feature_layer is None else f"network.{feature_layer}"

    def forward(self, x: Inputs) -> Tensor:
        """Maps inputs of B samples to logits ``(B, C)``."""
        # Grey values become features. Other integers are identifiers, such as token ids.
        x = map_tensors(
            lambda part: as_floats(part, self) if part.is_floating_point() or part.dtype == torch.uint8 else part, x
        )
        return class_logits(logits_of(call(self.network, x), count_rows(x), type(self.network).__name__))
