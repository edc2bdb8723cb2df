"""Models: LightningModules that strategies can ask for features, logits and Monte Carlo samples.

Models are imported when they are first used. So other folders can import :mod:`al_lightning.models.protocol` alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from al_lightning.models.backbone import Backbone
    from al_lightning.models.classifier import Classifier
    from al_lightning.models.dropout_head import DropoutHead
    from al_lightning.models.dropout_mlp import DropoutMLP
    from al_lightning.models.ensemble import Ensemble
    from al_lightning.models.linear_probe import LinearProbe
    from al_lightning.models.mixmatch import MixMatch
    from al_lightning.models.monte_carlo_mlp import MonteCarloMLP
    from al_lightning.models.pretrained_mlp import PretrainedMLP
    from al_lightning.models.sentence_encoder import SentenceEncoder
    from al_lightning.models.simclr import SimCLR

_MODULES = {
    "Backbone": "backbone",
    "Classifier": "classifier",
    "DropoutHead": "dropout_head",
    "DropoutMLP": "dropout_mlp",
    "Ensemble": "ensemble",
    "LinearProbe": "linear_probe",
    "MixMatch": "mixmatch",
    "MonteCarloMLP": "monte_carlo_mlp",
    "PretrainedMLP": "pretrained_mlp",
    "SentenceEncoder": "sentence_encoder",
    "SimCLR": "simclr",
}

__all__ = [
    "Backbone",
    "Classifier",
    "DropoutHead",
    "DropoutMLP",
    "Ensemble",
    "LinearProbe",
    "MixMatch",
    "MonteCarloMLP",
    "PretrainedMLP",
    "SentenceEncoder",
    "SimCLR",
]


def __getattr__(name: str) -> object:
    """Imports a model when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
