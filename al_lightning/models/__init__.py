"""Models: LightningModules that strategies can ask for features, logits and Monte Carlo samples."""

from al_lightning.models.backbone import Backbone
from al_lightning.models.classifier import Classifier
from al_lightning.models.dropout_head import DropoutHead
from al_lightning.models.dropout_mlp import DropoutMLP
from al_lightning.models.mixmatch import MixMatch
from al_lightning.models.monte_carlo_mlp import MonteCarloMLP
from al_lightning.models.pretrained_mlp import PretrainedMLP

__all__ = ["Backbone", "Classifier", "DropoutHead", "DropoutMLP", "MixMatch", "MonteCarloMLP", "PretrainedMLP"]
