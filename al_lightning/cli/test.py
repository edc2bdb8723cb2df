"""``al-lightning test``: tests the model of a run."""

from pathlib import Path

import lightning.pytorch as L

from al_lightning.cli.checkpoints import check_data, check_method, checkpoint_file, checkpoint_that_fits
from al_lightning.cli.lightning_cli import NO_OPTIONS, ActiveLearningCLI, make_cli
from al_lightning.data import PoolDataModule
from al_lightning.fitting.model_contract import settle_classes


def run(words: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: If the words are bad.
    """
    make_cli(TestCLI, ["test", *words])


class TestCLI(ActiveLearningCLI):
    """Prints the test metrics of a checkpoint."""

    __test__ = False  # no class of tests

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        return {"test": NO_OPTIONS}

    def test(self, model: L.LightningModule, datamodule: PoolDataModule, ckpt_path: str | None) -> None:
        """Tests the model."""
        check_method(model, "test_step")
        checkpoint = checkpoint_file(ckpt_path)
        datamodule.prepare_data()
        settle_classes(model, datamodule)
        self.note(check_data(Path(checkpoint), datamodule))
        with checkpoint_that_fits(checkpoint):
            self.trainer.test(model, datamodule=datamodule, ckpt_path=checkpoint)
