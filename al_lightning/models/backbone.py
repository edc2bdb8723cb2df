"""Backbone: a classification network of torchvision by name, with dropout before a new last layer."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from al_lightning.data.inputs import as_floats
from al_lightning.errors import InputError, did_you_mean
from al_lightning.models.base import ClassifierModule
from al_lightning.models.dropout_head import DropoutHead, check_dropout
from al_lightning.paths import expanded

NUM_OUTPUTS = 1000  # of torchvision's networks as they are made, those of ImageNet
WITHOUT_AUXILIARY_HEADS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}
AUXILIARY_HEADS = ("aux1.", "aux2.", "AuxLogits.")  # in files of their weights


class Backbone(DropoutHead, ClassifierModule):
    """A network of torchvision whose last layer is replaced by dropout and a linear layer of its own.

    Takes images ``(B, 3, H, W)``, or grey ones, ``(B, 1, H, W)`` or ``(B, H, W)``, which are repeated to three
    channels. Images are taken as the data module gives them: pretrained weights want those of ImageNet, by size and
    standardisation.

    A dropout layer of torchvision's directly before the last layer, as of EfficientNet, gives way to that of this
    class. Dropout elsewhere in the body, as of VGG and AlexNet, stays as it is, and then Monte Carlo dropout takes
    whole passes.

    A minibatch of a single image, such as the rest of a pass, has no statistics where an image has shrunk to one
    pixel: there batch normalisation uses its running ones.

    Args:
        name: One of ``torchvision.models.list_models()`` for classification whose last layer is linear.
        num_classes: Number of classes, C, at least 2.
        weights: Pretrained weights: torchvision's name for them, such as ``DEFAULT`` or ``IMAGENET1K_V1``, which are
            downloaded unless torch has them in its cache, or the path of a state_dict file of that network, whose last
            layer is not used. Drawn at random if not given. With weights, ``loop.reinit`` is to be ``initial`` or
            ``warm``.
        dropout: Probability that dropout zeroes a feature, in [0, 1).
        optimizer: Makes the optimizer of one fit from the parameters: Adam with learning rate 3e-4 if not given.

    Raises:
        InputError: If an argument is out of range, or the weights cannot be had.
    """

    def __init__(
        self,
        name: str = "resnet18",
        num_classes: int = 10,
        weights: str | None = None,
        dropout: float = 0.5,
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, lr=3e-4, fused=True),
    ) -> None:
        super().__init__(num_classes, optimizer)
        check_dropout(dropout)
        self.save_hyperparameters(ignore=["optimizer"])
        self.name = name
        self.pretrained = weights is not None
        self.body, num_features = make_body(name, weights)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(num_features, num_classes)

    @property
    def backbone(self) -> nn.Module:
        """The network without its last layer, by the name that Lightning's BackboneFinetuning looks for."""
        return self.body

    def embed(self, x: Tensor) -> Tensor:
        """Maps images ``(B, 3, H, W)``, ``(B, 1, H, W)`` or ``(B, H, W)`` to features ``(B, D)``."""
        x = as_floats(x, self)
        if x.dim() == 3:
            x = x.unsqueeze(1)
        if x.dim() == 4 and x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)
        if self.training and len(x) == 1:
            with _running_statistics(self.body):
                return self.body(x)
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """Maps images to logits ``(B, C)``."""
        return self.head(self.dropout(self.embed(x)))

    def reset_parameters(self) -> None:
        """Draws all weights anew as torchvision does, also those that were pretrained, and forgets all statistics."""
        body, _ = make_body(self.name)
        self.body.load_state_dict(body.state_dict())
        self.head.reset_parameters()


def make_body(name: str, weights: str | None = None) -> tuple[nn.Module, int]:
    """Makes a network of torchvision without its last layer.

    Args:
        name: As of :class:`Backbone`.
        weights: As of :class:`Backbone`.

    Returns:
        The network, which maps images ``(B, 3, H, W)`` to features ``(B, D)``, and D.

    Raises:
        InputError: If there is no such network or its last layer is not linear, or the weights cannot be had.
    """
    from torchvision import models  # slow to import

    known = models.list_models(module=models)
    if name not in known:
        raise InputError(
            f"Expected `model.name` to be a classification network of torchvision, "
            f"but got `{name}`{did_you_mean(name, known)}"
        )
    weights = expanded(weights)
    file = Path(weights) if weights is not None and Path(weights).is_file() else None
    members = models.get_model_weights(name).__members__
    if weights is not None and file is None and weights not in members:
        raise InputError(
            f"Expected `model.weights` to be one of {', '.join(members)}, or the path of a file, but got `{weights}`."
        )
    to_fetch = None if file else weights
    try:
        network = models.get_model(name, weights=to_fetch, **WITHOUT_AUXILIARY_HEADS.get(name, {}))
    except (OSError, RuntimeError) as error:  # there is no connection, or the file is not whole
        if to_fetch is None:
            raise
        raise InputError(
            f"Expected the weights {weights} of {name} in torch's cache or by download, but got: {error}; "
            "`model.weights` may also be the path of a state_dict file."
        ) from error
    path, num_features = _remove_last_layer(name, network)
    if file is not None:
        _load_body(network, file, name, without=path)
    return network, num_features


def _remove_last_layer(name: str, network: nn.Module) -> tuple[str, int]:
    """Puts an identity in the place of the last layer; returns where that was and how many features it took."""
    layers = [(path, layer) for path, layer in network.named_modules() if not any(True for _ in layer.children())]
    linear = [i for i, (_, layer) in enumerate(layers) if isinstance(layer, nn.Linear)]
    path, last = layers[linear[-1]] if linear else ("", None)
    if not isinstance(last, nn.Linear) or last.out_features != NUM_OUTPUTS:
        raise InputError(f"Expected `model.name` to be a network whose last layer is linear, but got `{name}`.")
    before = layers[linear[-1] - 1][1]
    if isinstance(before, nn.Dropout):
        before.p = 0.0  # the dropout before the new head is in its place
    parent, _, child = path.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return path, last.in_features


def _load_body(network: nn.Module, file: Path, name: str, without: str) -> None:
    """Loads all weights of a file but those of the last layer, which may be of any number of classes."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        for key in [key for key in state if key.startswith((f"{without}.", *AUXILIARY_HEADS))]:
            del state[key]  # in place, so that the versions of the layers stay with it
        network.load_state_dict(state)
    except (AttributeError, EOFError, OSError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
        what = " ".join(str(error).split())[:200]
        raise InputError(f"Expected `model.weights` {file} to be a state_dict of {name}, but got: {what}") from error


@contextmanager
def _running_statistics(module: nn.Module) -> Iterator[None]:
    """Lets batch normalisation use its running statistics, and leaves them as they are."""
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm) and norm.training]
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm in norms:
            norm.training = True
