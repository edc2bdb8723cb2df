"""A run that has fitted a model: its objects, with the weights of its last round."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as L
from lightning.pytorch.utilities.seed import isolate_rng

from al_lightning.cli.checkpoints import load_weights
from al_lightning.cli.fit import fit_objects
from al_lightning.cli.words_of_run import config_of_run
from al_lightning.data import PoolDataModule
from al_lightning.data.inputs import Inputs
from al_lightning.errors import InputError
from al_lightning.fitting.lazy import materialise
from al_lightning.fitting.run_record import CHECKPOINT
from al_lightning.inference.precision import ScoringPrecision
from al_lightning.loop import ActiveLearningLoop
from al_lightning.models.protocol import traits
from al_lightning.run_folder.begun import read_begun
from al_lightning.run_folder.fingerprint.fingerprints import fingerprints
from al_lightning.run_folder.folder import CACHE, COMMIT, RunFolder
from al_lightning.run_folder.old_scoring import scoring_of_run


@dataclass(frozen=True)
class TrainedRun:
    """The objects of a run, and its tables. The model has new weights until :meth:`load_weights`."""

    path: Path
    ledger: RunFolder
    """The tables of the run, which other processes may use meanwhile."""
    trainer: L.Trainer
    model: L.LightningModule
    data: PoolDataModule
    loop: ActiveLearningLoop

    @classmethod
    def open(cls, path: Path, flags: Sequence[str] = ()) -> "TrainedRun":
        """Makes the objects of a run.

        Args:
            path: The run folder.
            flags: Settings of ``fit`` that differ from those of the run.

        Raises:
            InputError: If there is no run, a file of it is torn, or no round of it is finished.
        """
        config = config_of_run(path)
        ledger = RunFolder.glance(path)
        if (path / COMMIT).is_file() and not ledger.config:
            raise InputError(f"Expected the files of the run in {path} as committed, but one was edited or is torn.")
        if not ledger.rounds:
            raise InputError(f"Expected a run with a finished round in {path}, but it has none yet.")
        trainer, model, data, loop = fit_objects(["--config", str(config), *flags])
        data.use_cache(path / CACHE)
        data.arrange(read_begun(path))
        return cls(path, ledger, trainer, model, data, loop)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, as the run recorded them."""
        return list(self.ledger.identity.get("classes", []))

    @property
    def scoring_precision(self) -> ScoringPrecision:
        """The precision in which the run scores for its queries."""
        return scoring_of_run(self.ledger.config)

    def check_data(self) -> None:
        """Compares the data and the model with those of the run.

        Raises:
            InputError: If they differ. The run may be tested on something else by now.
        """
        now = fingerprints(self.data, self.loop.strategy, self.model)
        self.ledger.check_identity({name: value for name, value in now.items() if name != "test"})

    def load_weights(self, inputs: Inputs) -> None:
        """Loads the weights of the last round, and brings the model to its device.

        Args:
            inputs: At least one sample, as the model gets it. A model may take its sizes from the sample.
        """
        with isolate_rng(include_cuda=False):
            suit = traits(self.model).suit_data
            if suit is not None:
                suit(len(self.class_names), inputs)
            materialise(self.model, inputs)
        load_weights(self.model, self.path / CHECKPOINT)
        self.trainer.precision_plugin.convert_module(self.model.to(self.trainer.strategy.root_device))
