"""scikit-learn's bundled digits as a pool: real and small, so that whole runs take seconds."""

import torch
from sklearn.datasets import load_digits

from al_lightning.data import Arrays, PoolDataModule
from al_lightning.models import DropoutMLP

NUM_TEST = 397


class Digits(PoolDataModule):
    """1,400 training and 397 test images of 8 x 8 grey values."""

    def load(self) -> Arrays:
        inputs, targets = load_digits(return_X_y=True)
        inputs = torch.from_numpy((inputs - inputs.mean()) / inputs.std()).float()
        targets = torch.from_numpy(targets).long()
        return Arrays(inputs[NUM_TEST:], targets[NUM_TEST:], inputs[:NUM_TEST], targets[:NUM_TEST])


class DigitsMLP(DropoutMLP):
    """The protocol's model for digits, with a learning rate that gets somewhere in three epochs."""

    def __init__(self, hidden_dim: int = 32, dropout: float = 0.5) -> None:
        super().__init__(
            input_dim=64,
            hidden_dim=hidden_dim,
            dropout=dropout,
            optimizer=lambda params: torch.optim.Adam(params, lr=1e-2, fused=True),
        )
