"""The commands of the command line, as a LightningCLI."""

import difflib
import logging
import re
import sys
import warnings
from typing import Any, NoReturn

import lightning.pytorch as L
import torch
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from al_lightning import __version__, strategies
from al_lightning.convergence import Convergence
from al_lightning.data import FashionMNIST, PoolDataModule
from al_lightning.errors import InputError
from al_lightning.loop import ActiveLearningLoop
from al_lightning.models import DropoutMLP

TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": 200,
    "devices": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}


def run(args: list[str] | None) -> None:
    """Runs a command, given its words or else those of ``sys.argv``; raises :class:`InputError` if they are bad."""
    for name in ("lightning.pytorch", "lightning.fabric"):  # "Seed set to 0", "GPU available", tips
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning 2.6 with torch 2.14 and later, at every transfer of a batch
    warnings.filterwarnings("ignore", ".*LeafSpec.*is deprecated")
    ActiveLearningCLI(
        L.LightningModule,
        PoolDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        seed_everything_default=0,
        trainer_defaults=TRAINER_DEFAULTS,
        auto_configure_optimizers=False,
        save_config_callback=None,
        parser_class=Parser,
        parser_kwargs={"version": __version__},
        args=args,
    )


class Parser(LightningArgumentParser):
    """Says what is wrong in one sentence, without a page of usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # jsonargparse tries one type of a union after the other
            super().error(message, ex)
        raise InputError(message)


class ActiveLearningCLI(LightningCLI):
    """LightningCLI whose ``fit`` runs the active learning loop."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--num_threads",
            type=int,
            default=1,
            help="Threads of torch on the CPU. More than one gains nothing in a fit as small as this one.",
        )
        parser.add_lightning_class_args(ActiveLearningLoop, "loop")
        parser.add_lightning_class_args(Convergence, "convergence")
        parser.link_arguments("seed_everything", "loop.seed")
        parser.set_defaults(
            {
                "model": {"class_path": "al_lightning.DropoutMLP"},
                "data": {"class_path": "al_lightning.FashionMNIST"},
                "loop.strategy": {"class_path": "al_lightning.Random"},
            }
        )

    def fit(self, model: L.LightningModule, datamodule: PoolDataModule, **kwargs: Any) -> None:
        """Runs the loop."""
        self._dump_config()
        self.config_init.fit.loop.run(self.trainer, model, datamodule, self.config_dump)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        skipped = {"model", "dataloaders", "datamodule"}
        return {
            "fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule", "ckpt_path", "weights_only"},
            "test": skipped,
            "predict": skipped,
        }
