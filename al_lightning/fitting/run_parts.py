"""RunParts: what a run is made of, settled before its first fit and the same in all rounds."""

from dataclasses import dataclass

import lightning.pytorch as L
from lightning.pytorch.callbacks import Callback

from al_lightning.data import PoolDataModule
from al_lightning.fitting.fresh_start import FreshStart, set_streams
from al_lightning.fitting.ranks import Ranks
from al_lightning.fitting.starting_weights import StartingWeights
from al_lightning.inference import PoolPredictor


@dataclass(frozen=True)
class RunParts:
    """What the rounds of a run have in common."""

    loop: Callback
    """Its place among the trainer's callbacks is that of the callbacks of a fit and of a test."""
    trainer: L.Trainer
    model: L.LightningModule
    datamodule: PoolDataModule
    seed: int
    ranks: Ranks
    fresh: FreshStart
    weights: StartingWeights

    def start_fit(self, round: int) -> None:
        """Puts all parts where the fit of a round starts."""
        self.weights.restore(self.model, round)
        self.fresh.restore()
        set_streams(self.model, self.datamodule, self.seed, round, self.ranks.rank)

    def predictor(self, round: int) -> PoolPredictor:
        """Asks the model about the pool, with the streams of a round, on all devices."""
        pool, labeled = self.datamodule.pool_blocks(), self.datamodule.labeled_blocks()
        return PoolPredictor.of_trainer(self.trainer, self.model, pool, labeled, self.seed, round, self.ranks)
