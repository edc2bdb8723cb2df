"""A fitted model, asked about a pool of samples."""

from al_lightning.inference.blocks import Blocks, Shards
from al_lightning.inference.fitted_model import evaluation_mode
from al_lightning.inference.head import LinearHead
from al_lightning.inference.known import Known
from al_lightning.inference.predictions import Predictions
from al_lightning.inference.predictor import PoolPredictor
from al_lightning.models.protocol import Traits as PoolModel

__all__ = [
    "Blocks",
    "Known",
    "LinearHead",
    "PoolModel",
    "PoolPredictor",
    "Predictions",
    "Shards",
    "evaluation_mode",
]
