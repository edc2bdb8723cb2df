"""The digits that come with scikit-learn: small real images that need no download."""

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from al_lightning.data.datamodule import PoolDataModule
from al_lightning.data.new_samples import NewRows, check_rows, load_rows
from al_lightning.data.source import Arrays

NUM_TEST = 397


class Digits(PoolDataModule):
    """1,400 training and 397 test images of 8 x 8 grey values, 10 classes (Alpaydin and Kaynak, 1998).

    The images are standardised with the mean and the standard deviation of all pixels. Arguments are the same as in
    :class:`~al_lightning.data.PoolDataModule`.
    """

    class_names = tuple("0123456789")

    def load(self) -> Arrays:
        inputs, targets = load_digits(return_X_y=True)
        self._mean, self._std = inputs.mean(), inputs.std()
        inputs = self._scale(inputs)
        targets = torch.from_numpy(targets).long()
        return Arrays(inputs[NUM_TEST:], targets[NUM_TEST:], inputs[:NUM_TEST], targets[:NUM_TEST])

    def new_samples(self, path: Path) -> NewRows:
        """Images in a ``.npy`` file: grey values from 0 to 16, shape ``(N, 8, 8)``."""
        self.setup()
        return NewRows(check_rows(load_rows(path), path, torch.empty(0, 8, 8)), str(path), self._scale)

    def _scale(self, images: np.ndarray) -> Tensor:
        return torch.from_numpy((images - self._mean) / self._std).float().view(-1, 1, 8, 8)
