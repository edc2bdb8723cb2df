"""Data modules that manage which samples of a training set are labeled.

They are imported when they are first used. So what reads names of files alone need not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from al_lightning.data.adapters import DataModuleAdapter, DatasetPool
    from al_lightning.data.datamodule import PoolDataModule
    from al_lightning.data.datasets import Datasets
    from al_lightning.data.digits import Digits
    from al_lightning.data.fashion_mnist import FashionMNIST
    from al_lightning.data.features import Features
    from al_lightning.data.image_folder import ImageFolder
    from al_lightning.data.numpy_files import NumpyFiles
    from al_lightning.data.planted import PlantedFashionMNIST
    from al_lightning.data.source import Arrays
    from al_lightning.data.texts import Texts
    from al_lightning.data.torchvision_data import Torchvision

_MODULES = {
    "Arrays": "source",
    "DataModuleAdapter": "adapters",
    "DatasetPool": "adapters",
    "Datasets": "datasets",
    "Digits": "digits",
    "FashionMNIST": "fashion_mnist",
    "Features": "features",
    "ImageFolder": "image_folder",
    "NumpyFiles": "numpy_files",
    "PlantedFashionMNIST": "planted",
    "PoolDataModule": "datamodule",
    "Texts": "texts",
    "Torchvision": "torchvision_data",
}

__all__ = [
    "Arrays",
    "DataModuleAdapter",
    "DatasetPool",
    "Datasets",
    "Digits",
    "FashionMNIST",
    "Features",
    "ImageFolder",
    "NumpyFiles",
    "PlantedFashionMNIST",
    "PoolDataModule",
    "Texts",
    "Torchvision",
]


def __getattr__(name: str) -> object:
    """Imports a data module when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
