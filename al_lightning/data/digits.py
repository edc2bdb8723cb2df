"""The digits that come with scikit-learn: small real images that need no download."""

import torch
from sklearn.datasets import load_digits

from al_lightning.data.datamodule import PoolDataModule
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
        inputs = torch.from_numpy((inputs - inputs.mean()) / inputs.std()).float().view(-1, 1, 8, 8)
        targets = torch.from_numpy(targets).long()
        return Arrays(inputs[NUM_TEST:], targets[NUM_TEST:], inputs[:NUM_TEST], targets[:NUM_TEST])
