"""Networks of the user's own, by the dotted path of a class or a function, whose output is features."""

from importlib import import_module

import torch
from torch import Tensor, nn

from al_lightning.errors import InputError, did_you_mean

SIZES = (224, 64, 32, 28)
"""Heights and widths of images with which the number of features is found out."""


def make_own(name: str) -> tuple[nn.Module, int]:
    """Makes a network of the user's own, which maps images ``(B, 3, H, W)`` to features ``(B, D)``.

    Args:
        name: Dotted path of a class or a function that needs no arguments.

    Returns:
        The network, and the number of features, D: its attribute ``num_features``, or else what it does with an image.

    Raises:
        InputError: If it cannot be imported or made, or its outputs are no features.
    """
    module_name, _, attribute = name.rpartition(".")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise InputError(f"Expected `{module_name}` to be a module that can be imported, but got: {error}.") from error
    make = getattr(module, attribute, None)
    if not callable(make):
        raise InputError(
            f"Expected `{attribute}` to be a class or a function in `{module_name}`, but there is none"
            f"{did_you_mean(attribute, [one for one in vars(module) if not one.startswith('_')])}"
        )
    try:
        network = make()
    except TypeError as error:
        raise InputError(f"Expected `model.name` {name} to need no arguments, but got: {error}.") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"Expected `model.name` {name} to make a torch.nn.Module, but got {type(network).__name__}.")
    num_features = getattr(network, "num_features", None)
    return network, num_features if isinstance(num_features, int) else _count_features(network, name)


def _count_features(network: nn.Module, name: str) -> int:
    training = network.training
    why = ""
    for size in SIZES:
        try:
            with torch.no_grad():
                features: Tensor = network.eval()(torch.zeros(1, 3, size, size))
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:  # it is made for another size
            why = why or " ".join(str(error).split())[:200].rstrip(".")
            continue
        finally:
            network.train(training)
        if not isinstance(features, Tensor) or features.dim() != 2:
            got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise InputError(f"Expected `model.name` {name} to map an image to features (1, D), but got {got}.")
        return features.shape[1]
    raise InputError(
        f"Expected `model.name` {name} to have `num_features`, or to take images of 3 colours, but got: {why}."
    )
