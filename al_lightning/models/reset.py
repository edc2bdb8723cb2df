"""Draws all weights of a model again."""

from torch import nn
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from al_lightning.errors import InputError
from al_lightning.models.protocol import traits

NORMS_OF_WEIGHTS = (SpectralNorm, WeightNorm)
"""Hooks that make a weight from other parameters before each call; a layer cannot reset such a weight."""


def reset_parameters(model: nn.Module) -> None:
    """Brings a model into its state before training, with new weights from torch's global generator.

    Calls ``reset_parameters`` of the model if there is one, and otherwise of all submodules. This also resets the
    statistics of normalisation layers. A submodule comes after the modules inside it, and may change them again.

    Raises:
        InputError: If a submodule has parameters and no way to reset them. They would be carried from round to round.
    """
    reset = traits(model).reset_parameters
    if reset is not None:
        reset()
    else:
        _reset(model, "model")


def _reset(module: nn.Module, name: str) -> None:
    for child_name, child in module.named_children():
        _reset(child, child_name if name == "model" else f"{name}.{child_name}")
    what = f"{type(module).__name__} `{name}`"
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, NORMS_OF_WEIGHTS):
            raise InputError(
                f"Expected weights of {what} that can be drawn again, but {type(hook).__name__} makes them from others."
            )
    reset = traits(module).reset_parameters
    if reset is None and type(module).__module__.startswith("torch.nn."):
        # Torch's MultiheadAttention and Transformer have this method, and call it in their constructors.
        reset = getattr(module, "_reset_parameters", None)
    if reset is not None:
        reset()
    elif any(True for _ in module.parameters(recurse=False)):
        raise InputError(
            f"Expected a method `reset_parameters` of {what}, which has parameters of its own, but there is none."
        )
