"""Bodies: networks by name, without their last layer, with pretrained weights of a file or of a library."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from al_lightning.errors import InputError, did_you_mean
from al_lightning.models.own_bodies import make_own
from al_lightning.models.small_cnn import SmallCNN
from al_lightning.models.timm_bodies import PREFIX, make_timm
from al_lightning.paths import expanded

NUM_OUTPUTS = 1000  # of torchvision's networks by default: the classes of ImageNet
WITHOUT_AUXILIARY_HEADS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}
AUXILIARY_HEADS = ("aux1.", "aux2.", "AuxLogits.")  # in files of weights


OWN = {"small_cnn": SmallCNN}
"""Networks of this package by name. Each has ``num_features`` and no last layer."""


def make_body(name: str, weights: str | None = None) -> tuple[nn.Module, int]:
    """Makes a network without its last layer.

    Args:
        name: Name of the network, see :class:`~al_lightning.models.Backbone`.
        weights: Pretrained weights, see :class:`~al_lightning.models.Backbone`.

    Returns:
        The network from images ``(B, 3, H, W)`` to features ``(B, D)``, and the number D.

    Raises:
        InputError: If the network does not exist or its last layer is not linear, or the weights cannot be loaded.
    """
    weights = expanded(weights)
    file = Path(weights) if weights is not None and Path(weights).is_file() else None
    to_fetch = None if file else weights
    layers: tuple[str, ...] = ()  # after the features
    if name in OWN:
        if to_fetch is not None:
            raise InputError(f"Expected `model.weights` of {name} to be the path of a file, but got `{weights}`.")
        network: nn.Module = OWN[name]()
        num_features = OWN[name].num_features
    elif name.startswith(PREFIX):
        network, layers, num_features = make_timm(name, to_fetch)
    elif "." in name:
        if to_fetch is not None:
            raise InputError(f"Expected `model.weights` of {name} to be the path of a file, but got `{weights}`.")
        network, num_features = make_own(name)
    else:
        network, layer, num_features = _make_torchvision(name, to_fetch)
        layers = (layer,)
    if file is not None:
        _load_body(network, file, name, without=layers)
    return network, num_features


def _make_torchvision(name: str, weights: str | None) -> tuple[nn.Module, str, int]:
    """Makes a network of torchvision. Returns it without its last layer, the name of that layer, and the number D."""
    from torchvision import models  # slow to import

    known = models.list_models(module=models)
    if name not in known:
        raise InputError(
            f"Expected `model.name` to be a classification network of torchvision, {', '.join(OWN)}, timm/NAME, or the "
            f"dotted path of a network of your own, but got `{name}`{did_you_mean(name, [*known, *OWN])}"
        )
    members = models.get_model_weights(name).__members__
    if weights is not None and weights not in members:
        raise InputError(
            f"Expected `model.weights` to be one of {', '.join(members)}, or the path of a file, but got `{weights}`."
        )
    try:
        network = models.get_model(name, weights=weights, **WITHOUT_AUXILIARY_HEADS.get(name, {}))
    except (OSError, RuntimeError) as error:  # no connection, or an incomplete file
        if weights is None:
            raise
        raise InputError(
            f"Expected the weights {weights} of {name} in torch's cache or by download, but got: {error}; "
            "`model.weights` may also be the path of a state_dict file."
        ) from error
    return network, *_remove_last_layer(name, network)


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


def _load_body(network: nn.Module, file: Path, name: str, without: Sequence[str]) -> None:
    """Loads all weights of a file except the last layers, which may have any number of classes."""
    try:
        state = _read_state(file)
        unused = (*(f"{layer}." for layer in without), *AUXILIARY_HEADS)
        for key in [key for key in state if key.startswith(unused)]:
            del state[key]  # in place, so that the state_dict keeps the versions of the layers
        network.load_state_dict(state)
    except (AttributeError, EOFError, OSError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
        what = " ".join(str(error).split())[:200]
        raise InputError(f"Expected `model.weights` {file} to be a state_dict of {name}, but got: {what}") from error


def _read_state(file: Path) -> dict[str, torch.Tensor]:
    """The weights in a file of torch, or in a file of safetensors, which timm downloads."""
    if file.suffix != ".safetensors":
        return torch.load(file, map_location="cpu", weights_only=True)
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise InputError(
            f"Expected the package safetensors for {file}, but it is not installed: pip install 'al-lightning[timm]'."
        ) from error
    try:
        return load_file(file)
    except SafetensorError as error:  # a torn file
        raise ValueError(str(error)) from error
