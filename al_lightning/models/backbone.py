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

NUM_OUTPUTS = 1000  # of torchvision's networks by default: the classes of ImageNet
WITHOUT_AUXILIARY_HEADS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}
AUXILIARY_HEADS = ("aux1.", "aux2.", "AuxLogits.")  # in files of weights


class Backbone(DropoutHead, ClassifierModule):
    """A network of torchvision, with dropout and a new linear layer in place of its last layer.

    It takes colour images ``(B, 3, H, W)``, or grey images ``(B, 1, H, W)`` or ``(B, H, W)``, which are repeated to
    three channels. Images are not changed after the data module: pretrained weights need the size and standardisation
    of ImageNet.

    If torchvision has dropout directly before the last layer, as in EfficientNet, the dropout of this class replaces
    it. Dropout elsewhere in the body, as in VGG and AlexNet, stays. Then Monte Carlo dropout needs whole passes.

    A minibatch may be a single image, for example at the end of a pass. If that image has shrunk to one pixel, it has
    no batch statistics. There batch normalisation uses its running statistics.

    Args:
        name: A classification network of ``torchvision.models.list_models()`` with a linear last layer.
        num_classes: Number of classes, C, at least 2. By default the number of classes of the data, and 10 before the
            model meets its data.
        weights: Pretrained weights; drawn at random if not given. Either torchvision's name, such as ``DEFAULT`` or
            ``IMAGENET1K_V1``, or the path of a state_dict file of that network. Named weights are downloaded unless
            torch has them in its cache. The last layer in a file is not used. With weights, set ``loop.reinit`` to
            ``initial`` or ``warm``.
        dropout: Probability that dropout zeroes a feature, in [0, 1).
        optimizer: Makes the optimizer of one fit from the parameters: Adam with learning rate 3e-4 if not given.

    Raises:
        InputError: If an argument is out of range, or the weights cannot be loaded.
    """

    def __init__(
        self,
        name: str = "resnet18",
        num_classes: int | None = None,
        weights: str | None = None,
        dropout: float = 0.5,
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, lr=3e-4, fused=True),
    ) -> None:
        super().__init__(num_classes, optimizer)
        check_dropout(dropout)
        self.save_hyperparameters(ignore=["optimizer"])
        self.name = name
        self.pretrained = weights is not None
        self.body, self._num_features = make_body(name, weights)
        self.dropout = nn.Dropout(dropout)
        self._begin_sizes(num_classes=num_classes)

    def _make_layers(self, num_classes: int) -> dict[str, nn.Module]:  # type: ignore[override]
        return {"head": nn.Linear(self._num_features, num_classes)}

    @property
    def backbone(self) -> nn.Module:
        """The network without its last layer. Lightning's BackboneFinetuning looks for this name."""
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
        """Draws all weights again as torchvision does, including pretrained ones, and resets all statistics."""
        body, _ = make_body(self.name)
        self.body.load_state_dict(body.state_dict())
        self.head.reset_parameters()


def make_body(name: str, weights: str | None = None) -> tuple[nn.Module, int]:
    """Makes a network of torchvision without its last layer.

    Args:
        name: Name of the network, see :class:`Backbone`.
        weights: Pretrained weights, see :class:`Backbone`.

    Returns:
        The network from images ``(B, 3, H, W)`` to features ``(B, D)``, and the number D.

    Raises:
        InputError: If the network does not exist or its last layer is not linear, or the weights cannot be loaded.
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
    except (OSError, RuntimeError) as error:  # no connection, or an incomplete file
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
    """Replaces the last layer by an identity. Returns the name of that layer and its number of input features."""
    layers = [(path, layer) for path, layer in network.named_modules() if not any(True for _ in layer.children())]
    linear = [i for i, (_, layer) in enumerate(layers) if isinstance(layer, nn.Linear)]
    path, last = layers[linear[-1]] if linear else ("", None)
    if not isinstance(last, nn.Linear) or last.out_features != NUM_OUTPUTS:
        raise InputError(f"Expected `model.name` to be a network whose last layer is linear, but got `{name}`.")
    before = layers[linear[-1] - 1][1]
    if isinstance(before, nn.Dropout):
        before.p = 0.0  # the dropout before the new head replaces it
    parent, _, child = path.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return path, last.in_features


def _load_body(network: nn.Module, file: Path, name: str, without: str) -> None:
    """Loads all weights of a file except the last layer, which may have any number of classes."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        for key in [key for key in state if key.startswith((f"{without}.", *AUXILIARY_HEADS))]:
            del state[key]  # in place, so that the state_dict keeps the versions of the layers
        network.load_state_dict(state)
    except (AttributeError, EOFError, OSError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
        what = " ".join(str(error).split())[:200]
        raise InputError(f"Expected `model.weights` {file} to be a state_dict of {name}, but got: {what}") from error


@contextmanager
def _running_statistics(module: nn.Module) -> Iterator[None]:
    """Lets batch normalisation use its running statistics without changing them."""
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm) and norm.training]
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm in norms:
            norm.training = True
