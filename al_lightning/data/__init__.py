"""Data modules that manage which samples of a training set are labeled."""

from al_lightning.data.adapters import DataModuleAdapter, DatasetPool
from al_lightning.data.datamodule import PoolDataModule
from al_lightning.data.datasets import Datasets
from al_lightning.data.digits import Digits
from al_lightning.data.fashion_mnist import FashionMNIST
from al_lightning.data.image_folder import ImageFolder
from al_lightning.data.numpy_files import NumpyFiles
from al_lightning.data.planted import PlantedFashionMNIST
from al_lightning.data.source import Arrays
from al_lightning.data.torchvision_data import Torchvision

__all__ = [
    "Arrays",
    "DataModuleAdapter",
    "DatasetPool",
    "Datasets",
    "Digits",
    "FashionMNIST",
    "ImageFolder",
    "NumpyFiles",
    "PlantedFashionMNIST",
    "PoolDataModule",
    "Torchvision",
]
