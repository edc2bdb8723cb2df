"""Lazy layers, such as ``nn.LazyLinear``, get their shapes, and draw their weights, before anything else is asked."""

from itertools import chain

import lightning.pytorch as L
import torch
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.nn.parameter import is_lazy

from al_lightning.data.inputs import Inputs, map_tensors
from al_lightning.inference import evaluation_mode
from al_lightning.inference.calling import call


def has_lazy_layers(model: L.LightningModule) -> bool:
    """Whether a model has parameters or buffers whose shapes are not known yet."""
    return any(is_lazy(tensor) for tensor in chain(model.parameters(), model.buffers()))


def materialise(model: L.LightningModule, inputs: Inputs) -> None:
    """Gives lazy layers their shapes. They draw their weights from torch's global generator; other models stay.

    An optimizer takes no parameters without shapes. Weights that are drawn in inference mode can never be trained.

    Args:
        model: On the device of the inputs.
        inputs: Of at least one sample.
    """
    if not has_lazy_layers(model):
        return
    with evaluation_mode(model), torch.inference_mode(False), torch.no_grad():
        inputs = map_tensors(torch.clone, inputs)  # a model may write to its inputs, and these may be of inference mode
        if is_overridden("forward", model):
            call(model, inputs)
        else:
            model.head(call(model, inputs, "embed"))  # type: ignore[operator]
