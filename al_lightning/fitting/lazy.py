"""Gives lazy layers, such as ``nn.LazyLinear``, their shapes and weights before a run needs them."""

from itertools import chain

import lightning.pytorch as L
import torch
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.nn.parameter import is_lazy

from al_lightning.data.inputs import Inputs, map_tensors
from al_lightning.inference import evaluation_mode
from al_lightning.inference.calling import call


def has_lazy_layers(model: L.LightningModule) -> bool:
    """Whether a model has parameters or buffers of unknown shape."""
    return any(is_lazy(tensor) for tensor in chain(model.parameters(), model.buffers()))


def materialise(model: L.LightningModule, inputs: Inputs) -> None:
    """Gives lazy layers their shapes and weights. Models without lazy layers stay unchanged.

    The weights are drawn from torch's global generator. An optimizer refuses parameters without shapes. Weights that
    are drawn in inference mode cannot be trained.

    Args:
        model: The model, on the device of the inputs.
        inputs: The inputs of at least one sample.
    """
    if not has_lazy_layers(model):
        return
    with evaluation_mode(model), torch.inference_mode(False), torch.no_grad():
        inputs = map_tensors(torch.clone, inputs)  # a model may write to its inputs, which may come from inference mode
        if is_overridden("forward", model):
            call(model, inputs)
        else:
            model.head(call(model, inputs, "embed"))  # type: ignore[operator]
