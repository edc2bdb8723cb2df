"""PretrainedMLP: the features of a network from an earlier run."""

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from al_lightning.errors import InputError
from al_lightning.paths import expanded

NOT_OURS = (AttributeError, EOFError, KeyError, TypeError, ValueError, RuntimeError, pickle.UnpicklingError)
"""Errors of reading a file that is not a checkpoint, or a checkpoint of another model."""


class PretrainedMLP(nn.Module):
    """Hidden activations of a :class:`~al_lightning.models.DropoutMLP`, with the weights of a run, without dropout.

    Maps inputs ``(B, ...)`` to features ``(B, D)``: a feature space that is the same in all rounds.

    Args:
        checkpoint: ``model.ckpt`` of a run folder.

    Raises:
        InputError: If the file does not exist, or is not a checkpoint of a DropoutMLP.
    """

    def __init__(self, checkpoint: str) -> None:
        super().__init__()
        checkpoint = expanded(checkpoint)
        if not Path(checkpoint).is_file():
            raise InputError(f"Expected `checkpoint` to be the model.ckpt of a run, but there is no file {checkpoint}.")
        try:
            content = torch.load(checkpoint, map_location="cpu", weights_only=True)
            weights = dict(content)["state_dict"]
            hidden = {name: weights[f"hidden.{name}"] for name in ("weight", "bias")}
            hidden_dim, input_dim = hidden["weight"].shape
            self.hidden = nn.Linear(input_dim, hidden_dim)
            self.hidden.load_state_dict(hidden)
        except NOT_OURS as error:
            raise InputError(f"Expected {checkpoint} to be the checkpoint of a DropoutMLP, but it is none.") from error

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.hidden(x.flatten(1)))
