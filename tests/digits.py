"""scikit-learn's bundled digits as a pool: real and small, so that whole runs take seconds."""

import torch

from al_lightning.check.pools import load_images
from al_lightning.data import Arrays, PoolDataModule
from al_lightning.models import DropoutMLP


class Digits(PoolDataModule):
    """1,400 training and 397 test images of 8 x 8 grey values, as rows."""

    def load(self) -> Arrays:
        train_inputs, train_targets, test_inputs, test_targets = load_images()
        return Arrays(train_inputs.flatten(1), train_targets, test_inputs.flatten(1), test_targets)


class DigitsMLP(DropoutMLP):
    """The protocol's model for digits, with a learning rate that gets somewhere in three epochs."""

    def __init__(self, hidden_dim: int = 32, dropout: float = 0.5) -> None:
        super().__init__(
            input_dim=64,
            hidden_dim=hidden_dim,
            dropout=dropout,
            optimizer=lambda params: torch.optim.Adam(params, lr=1e-2, fused=True),
        )
