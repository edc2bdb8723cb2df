"""A fitted model, asked about a pool of samples."""

from al_lightning.inference.predictor import (
    Blocks,
    PoolModel,
    PoolPredictor,
    Predictions,
    Shards,
    evaluation_mode,
)

__all__ = ["Blocks", "PoolModel", "PoolPredictor", "Predictions", "Shards", "evaluation_mode"]
