"""Data modules that manage which samples of a training set are labeled."""

from al_lightning.data.fashion_mnist import FashionMNIST
from al_lightning.data.pool import Arrays, PoolDataModule

__all__ = ["Arrays", "FashionMNIST", "PoolDataModule"]
