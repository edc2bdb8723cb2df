"""Layers of a model by name."""

from torch import nn

from al_lightning.errors import InputError, did_you_mean, nearest


def named_layer(model: nn.Module, name: str) -> nn.Module:
    """Returns the submodule of a model that has this name, dotted as in ``named_modules``.

    Raises:
        InputError: If no submodule has this name. The message has the most similar name, or the name of the last layer.

    Example:
        >>> named_layer(nn.Sequential(nn.ReLU(), nn.Linear(2, 3)), "1")
        Linear(in_features=2, out_features=3, bias=True)
    """
    layers = {path: layer for path, layer in model.named_modules() if path}
    if name not in layers:
        hint = did_you_mean(nearest(name, layers) or list(layers)[-1], layers) if layers else "."
        raise InputError(f"Expected `feature_layer` to be a layer of {type(model).__name__}, but got `{name}`{hint}")
    return layers[name]
