"""scikit-learn's bundled digits as a pool: real and small, so that whole runs take seconds."""

import torch

from al_lightning import data
from al_lightning.data import Arrays
from al_lightning.models import DropoutMLP


class FlatDigits(data.Digits):
    """1,400 training and 397 test images of 8 x 8 grey values, as rows."""

    class_names = None

    def load(self) -> Arrays:
        arrays = super().load()
        return arrays._replace(train_inputs=arrays.train_inputs.flatten(1), test_inputs=arrays.test_inputs.flatten(1))


class DigitsMLP(DropoutMLP):
    """The protocol's model for digits, with a learning rate that gets somewhere in three epochs."""

    def __init__(self, hidden_dim: int = 32, dropout: float = 0.5) -> None:
        super().__init__(
            input_dim=64,
            hidden_dim=hidden_dim,
            dropout=dropout,
            optimizer=lambda params: torch.optim.Adam(params, lr=1e-2, fused=True),
        )
