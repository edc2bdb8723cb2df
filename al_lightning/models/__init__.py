"""Models: LightningModules that strategies can ask for features, logits and Monte Carlo samples."""

from al_lightning.models.dropout_mlp import DropoutMLP
from al_lightning.models.mixmatch import MixMatch
from al_lightning.models.monte_carlo_mlp import MonteCarloMLP

__all__ = ["DropoutMLP", "MixMatch", "MonteCarloMLP"]
