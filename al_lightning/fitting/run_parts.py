"""RunParts: the parts of a run, which are fixed before its first fit and the same in all rounds."""

from dataclasses import dataclass

import lightning.pytorch as L
from lightning.pytorch.callbacks import Callback

from al_lightning.data import PoolDataModule
from al_lightning.fitting.fresh_start import FreshStart, set_streams
from al_lightning.fitting.ranks import Ranks
from al_lightning.fitting.starting_weights import StartingWeights
from al_lightning.inference import Known, PoolPredictor
from al_lightning.inference.precision import ScoringPrecision


@dataclass(frozen=True)
class RunParts:
    """The common parts of all rounds of a run."""

    loop: Callback
    """The loop. The callbacks of a fit or a test take its place among the trainer's callbacks."""
    trainer: L.Trainer
    model: L.LightningModule
    datamodule: PoolDataModule
    seed: int
    ranks: Ranks
    fresh: FreshStart
    weights: StartingWeights
    scoring_precision: ScoringPrecision
    """The precision of the passes that a query makes. Everything else that is measured has the trainer's."""

    def start_fit(self, round: int) -> None:
        """Brings all parts into the state at the start of a round's fit."""
        self.weights.restore(self.model, round)
        self.fresh.restore()
        set_streams(self.model, self.datamodule, self.seed, round, self.ranks.rank)

    def predictor(self, round: int, precision: ScoringPrecision = "trainer") -> PoolPredictor:
        """Makes the predictor of the pool, with the random streams of a round, on all devices."""
        pool, labeled = self.datamodule.pool_blocks(), self.datamodule.labeled_blocks()
        known = Known.of(self.datamodule)
        return PoolPredictor.of_trainer(
            self.trainer, self.model, pool, labeled, self.seed, round, self.ranks, known, precision
        )
