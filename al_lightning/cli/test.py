"""``al-lightning test``: tests the model of a run."""

import lightning.pytorch as L

from al_lightning.cli.checkpoints import checkpoint_that_fits
from al_lightning.cli.lightning_cli import NO_OPTIONS, ActiveLearningCLI, make_cli
from al_lightning.data import PoolDataModule


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
        checkpoint = self.checkpoint_for("test_step", ckpt_path)
        with checkpoint_that_fits(checkpoint):
            self.trainer.test(model, datamodule=datamodule, ckpt_path=checkpoint)
