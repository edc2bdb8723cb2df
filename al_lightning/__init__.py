"""Deep active learning on PyTorch Lightning."""

from importlib import import_module
from typing import TYPE_CHECKING

from al_lightning import moved
from al_lightning.version import __version__

if TYPE_CHECKING:
    from al_lightning.data import (
        Arrays,
        DataModuleAdapter,
        DatasetPool,
        Datasets,
        Digits,
        FashionMNIST,
        ImageFolder,
        NumpyFiles,
        PlantedFashionMNIST,
        PoolDataModule,
        Torchvision,
    )
    from al_lightning.data.augmentations import RandomShift
    from al_lightning.errors import InputError, Interrupted
    from al_lightning.fitting.convergence import Convergence
    from al_lightning.labeling import FileOracle, Oracle, SimulatedOracle
    from al_lightning.loop import ActiveLearningLoop
    from al_lightning.models import (
        Backbone,
        Classifier,
        DropoutHead,
        DropoutMLP,
        MixMatch,
        MonteCarloMLP,
        PretrainedMLP,
    )
    from al_lightning.strategies import (
        BADGE,
        BALD,
        Consistency,
        CoreSet,
        Entropy,
        LeastConfidence,
        Margin,
        QueryStrategy,
        Random,
        ScoreStrategy,
    )
    from al_lightning.strategies.badge import badge_query
    from al_lightning.strategies.bald import bald_score
    from al_lightning.strategies.base import top_k
    from al_lightning.strategies.consistency import consistency_score
    from al_lightning.strategies.core_set import k_center_greedy
    from al_lightning.strategies.entropy import entropy_score
    from al_lightning.strategies.least_confidence import least_confidence_score
    from al_lightning.strategies.margin import margin_score

_MODULES = {
    "ActiveLearningLoop": "loop",
    "Arrays": "data",
    "BADGE": "strategies",
    "BALD": "strategies",
    "Backbone": "models",
    "Classifier": "models",
    "Consistency": "strategies",
    "Convergence": "fitting.convergence",
    "CoreSet": "strategies",
    "DataModuleAdapter": "data",
    "DatasetPool": "data",
    "Datasets": "data",
    "Digits": "data",
    "DropoutHead": "models",
    "DropoutMLP": "models",
    "Entropy": "strategies",
    "FashionMNIST": "data",
    "FileOracle": "labeling",
    "ImageFolder": "data",
    "InputError": "errors",
    "Interrupted": "errors",
    "LeastConfidence": "strategies",
    "Margin": "strategies",
    "MixMatch": "models",
    "MonteCarloMLP": "models",
    "NumpyFiles": "data",
    "Oracle": "labeling",
    "PlantedFashionMNIST": "data",
    "PoolDataModule": "data",
    "PoolPredictor": "inference",
    "Predictions": "inference",
    "PretrainedMLP": "models",
    "QueryStrategy": "strategies",
    "Random": "strategies",
    "RandomShift": "data.augmentations",
    "ScoreStrategy": "strategies",
    "SimulatedOracle": "labeling",
    "TensorBlocks": "data.blocks",
    "Torchvision": "data",
    "badge_query": "strategies.badge",
    "bald_score": "strategies.bald",
    "consistency_score": "strategies.consistency",
    "entropy_score": "strategies.entropy",
    "k_center_greedy": "strategies.core_set",
    "least_confidence_score": "strategies.least_confidence",
    "margin_score": "strategies.margin",
    "top_k": "strategies.base",
}

__all__ = [*_MODULES, "__version__"]

moved.install()


def __getattr__(name: str) -> object:
    """Imports a public name when it is first used, so that ``al-lightning --help`` need not wait for torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
