"""``al-lightning fit``: runs an experiment, or continues one."""

import os
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from al_lightning.cli.beforehand import in_full
from al_lightning.cli.lightning_cli import ActiveLearningCLI, innermost, make_cli
from al_lightning.cli.waiting import HELP as HELP_OF_WAIT, begin_anew, wait_for_answers, without_wait
from al_lightning.data import PoolDataModule
from al_lightning.loop import ActiveLearningLoop


def run(words: list[str]) -> None:
    """Runs the command. With ``--wait``, it goes on after each query, when the answers are there.

    Raises:
        InputError: If the words are bad.
    """
    words, seconds = without_wait(words)
    environment = dict(os.environ)
    while True:
        cli = make_cli(FitCLI, ["fit", *words])
        run_dir = cli.config_init.fit.loop.waits_in
        if seconds is None or run_dir is None:
            return
        wait_for_answers(run_dir, seconds)
        if cli.trainer.world_size > 1:
            begin_anew(words, seconds, environment)


def settings_of_fit(flags: list[str]) -> dict[str, Any]:
    """Returns what ``al-lightning fit`` with these flags would write to config.yaml, and runs nothing.

    ``trainer.accelerator`` is missing if it was left to the machine on which the run will be.

    Raises:
        InputError: If the flags are bad, as far as it can be known without the data.
    """
    words, _ = in_full("fit", flags, may_go_on=False)
    cli = make_cli(CheckingCLI, ["fit", *words])
    settings = cli.settings()
    if cli.config.fit.trainer.accelerator == "auto":
        del settings["trainer"]["accelerator"]
    return settings


def fit_objects(flags: list[str]) -> tuple[L.Trainer, L.LightningModule, PoolDataModule, ActiveLearningLoop]:
    """Returns what ``al-lightning fit`` with these flags would run: trainer, model, data and loop; runs nothing.

    Raises:
        InputError: If the flags are bad.
    """
    cli = make_cli(CheckingCLI, ["fit", *flags])
    return cli.trainer, cli.model, cli.datamodule, cli.config_init.fit.loop


class FitCLI(ActiveLearningCLI):
    """Runs the active learning loop."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.epilog = HELP_OF_WAIT

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        # there is no checkpoint to fit from: the loop continues from the run folder
        return {"fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule", "ckpt_path", "weights_only"}}

    def fit(self, model: L.LightningModule, datamodule: PoolDataModule) -> None:
        """Runs the loop."""
        try:
            self.config_init.fit.loop.run(self.trainer, model, datamodule, self.settings(), self.make_model)
        except MisconfigurationException as error:  # what Lightning finds out only when it begins to train
            raise innermost(error) from error


class CheckingCLI(FitCLI):
    """Parses and makes all objects of ``fit``, and stops there."""

    def fit(self, model: L.LightningModule, datamodule: PoolDataModule) -> None:
        """Runs nothing."""
