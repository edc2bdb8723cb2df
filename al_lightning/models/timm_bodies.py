"""Networks of timm, by ``timm/NAME``, without their last layer."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from al_lightning.errors import InputError, did_you_mean

PREFIX = "timm/"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet: data modules standardise images so."""


class Restandardize:
    """Brings images that are standardised as for ImageNet to the mean and the standard deviation of a network.

    Args:
        mean: Mean of each colour that the network expects, of values from 0 to 1.
        std: Standard deviation of each colour.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self._scale = tuple(was / now for was, now in zip(STD, std, strict=True))
        self._shift = tuple((was - now) / s for was, now, s in zip(MEAN, mean, std, strict=True))

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Changes the first argument of a network, images ``(B, 3, H, W)``: a forward pre-hook."""
        images, *others = inputs
        scale, shift = (images.new_tensor(values)[:, None, None] for values in (self._scale, self._shift))
        return images * scale + shift, *others


def make_timm(name: str, weights: str | None) -> tuple[nn.Module, tuple[str, ...], int]:
    """Makes a network of timm without its last layer.

    Images come standardised as for ImageNet. They are brought to the mean and the standard deviation that the network
    was made for, such as 0.5 for many vision transformers.

    Args:
        name: ``timm/NAME``, where timm's name may end with a tag of weights.
        weights: ``DEFAULT`` for pretrained weights of the name; drawn at random if not given.

    Returns:
        The network, names of the layers that it would have after the features, and the number of features, D.

    Raises:
        InputError: If timm is not installed, the network does not exist, or its weights cannot be loaded.
    """
    try:
        import timm
    except ImportError as error:
        raise InputError(
            f"Expected the package timm for `model.name` {name}, but it is not installed: pip install "
            "'al-lightning[timm]'."
        ) from error
    plain = name.removeprefix(PREFIX)
    architecture = plain.partition(".")[0]
    if not timm.is_model(architecture):
        known = [f"{PREFIX}{one}" for one in timm.list_models()]
        raise InputError(f"Expected `model.name` to be a network of timm, but got `{name}`{did_you_mean(name, known)}")
    if weights not in (None, "DEFAULT"):
        raise InputError(
            f"Expected `model.weights` of {name} to be DEFAULT, or the path of a file, but got `{weights}`; the name "
            "of the network may end with a tag of weights, as in timm/resnet18.a1_in1k."
        )
    try:
        network = timm.create_model(plain, pretrained=weights is not None, num_classes=0)
    except (OSError, RuntimeError, ValueError) as error:  # no connection, a tag that does not exist, or no weights
        what = " ".join(str(error).split())[:200].rstrip(".")
        if weights is None:
            raise InputError(
                f"Expected `model.name` to be a network of timm, but {name} fails with: {what}."
            ) from error
        raise InputError(
            f"Expected the weights of {name} in the cache of huggingface_hub or by download, but got: {what}; "
            "`model.weights` may also be the path of a file of them."
        ) from error
    made_for = cast(dict[str, Any], network.pretrained_cfg)
    mean, std = (tuple(made_for.get(part) or ours) for part, ours in (("mean", MEAN), ("std", STD)))
    if len(mean) == len(std) == 3 and (mean, std) != (MEAN, STD):
        network.register_forward_pre_hook(Restandardize(mean, std))
    classifier = made_for.get("classifier") or ()
    layers = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    return network, layers, _num_features(network, made_for)


def _num_features(network: nn.Module, made_for: dict[str, Any]) -> int:
    """Number of features. Some networks of timm have another layer after those that ``num_features`` counts."""
    size = getattr(network, "head_hidden_size", None)
    if isinstance(size, int):
        return size
    _, height, width = made_for.get("input_size") or (3, 224, 224)
    training = network.training
    with torch.no_grad():
        features: Tensor = network.eval()(torch.zeros(1, 3, height, width))
    network.train(training)
    return features.shape[1]
