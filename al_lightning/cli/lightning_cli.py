"""LightningCLI with checks, and with the options of the loop: what the commands that train and test have in common."""

import logging
import pickle
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import lightning.pytorch as L
import torch
import yaml
from jsonargparse import Namespace
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from al_lightning.cli.checkpoints import check_data, check_method, checkpoint_file
from al_lightning.cli.config_files import find_configs
from al_lightning.cli.given_options import given_options, last_name
from al_lightning.cli.messages import sentence_in_union
from al_lightning.cli.null_options import check_nulls
from al_lightning.cli.null_sizes import fill_null_sizes
from al_lightning.cli.options import input_error
from al_lightning.cli.parser import KNOWN_CLASSES, Parser
from al_lightning.cli.passed_on import name_passed_on
from al_lightning.cli.yaml_files import MODE, check_numbers, check_options, register
from al_lightning.data import PoolDataModule
from al_lightning.errors import InputError, did_you_mean
from al_lightning.fitting.cluster import one_process_environment
from al_lightning.fitting.convergence import Convergence
from al_lightning.fitting.model_contract import settle_classes
from al_lightning.fitting.settings_of_objects import accelerator_of
from al_lightning.fitting.sizes import taken_sizes
from al_lightning.loop import ActiveLearningLoop
from al_lightning.paths import expanded
from al_lightning.run_folder.begun import read_begun
from al_lightning.run_folder.folder import CACHE
from al_lightning.version import __version__


class DefaultEpochs(int):
    """A cap of epochs that was not asked for: where the loss rule is in force, its own cap takes its place."""


yaml.SafeDumper.add_representer(DefaultEpochs, yaml.SafeDumper.represent_int)

TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": DefaultEpochs(200),
    "devices": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}

NO_OPTIONS = {"model", "dataloaders", "datamodule", "verbose", "return_predictions", "weights_only"}
"""Arguments of ``Trainer.test`` and ``Trainer.predict`` that are no options of the commands."""


class CheckedCLI(LightningCLI):
    """Parses the words of a command and makes its objects. What is wrong with them is one sentence.

    A subclass runs the command by a method of its name.
    """

    groups: Mapping[str, type] = {}
    """Groups of options besides the trainer's, and the classes whose arguments they are."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--num_threads",
            type=int,
            default=1,
            help="Threads of torch on the CPU. A fit as small as the default one gains nothing from a second.",
        )
        for name, group in self.groups.items():
            parser.add_lightning_class_args(group, name)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The one command of a class, with the arguments of Lightning's method of this name that are no options."""
        raise NotImplementedError

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses, and refuses what jsonargparse passes over in a config file: `loop: 5`, or `lop: {}`."""
        try:
            super().parse_arguments(parser, args)
        except UnicodeDecodeError as error:
            raise InputError(f"Expected `config` to be a text file in YAML, but got: {error}.") from error
        config = self.config[self.config.subcommand]
        check_numbers(config.as_dict())
        check_nulls(config.as_dict(), {**self.groups, "trainer": L.Trainer})
        for path in config.config or []:
            if path is None:  # given in place of a file, as text
                continue
            content = yaml.safe_load(path.read_text())
            check_options(content, str(path))
            for name, value in content.items():
                if name not in config:
                    hint = did_you_mean(name, config.keys())
                    raise InputError(f"Expected the options of a command in {path}, but got `{name}`{hint}")
                if name in ("trainer", *self.groups) and not isinstance(value, dict | str):
                    raise InputError(f"Expected `{name}` in {path} to have options of its own, but got `{value}`.")
                if name == "loop" and isinstance(value, dict) and "seed" in value:
                    raise InputError(
                        f"Expected `seed_everything` in {path} instead of `loop.seed`, which is taken from it."
                    )

    def _parse_ckpt_path(self) -> None:
        """Reads the model's arguments from a checkpoint, if one is given."""
        config = self.config[self.config.subcommand]
        path = expanded(config.get("ckpt_path"))
        if path is not None:
            config["ckpt_path"] = path
        try:
            super()._parse_ckpt_path()
        except (EOFError, KeyError, RuntimeError, pickle.UnpicklingError) as error:
            raise InputError(f"Expected `ckpt_path` to be a checkpoint of a run, but {path} is none.") from error

    def _set_seed(self) -> None:
        """Checks the settings that Lightning would fail on with a traceback, then seeds."""
        config = self.config[self.subcommand]
        if not 0 <= config.seed_everything < 2**32:
            raise InputError(f"Expected `seed_everything` to be from 0 to 2**32 - 1, but got {config.seed_everything}.")
        if not 1 <= config.num_threads <= 1024:
            raise InputError(f"Expected `num_threads` to be from 1 to 1024, but got {config.num_threads}.")
        max_epochs = config.trainer.max_epochs
        if max_epochs is not None and max_epochs < 1 and max_epochs != -1:  # Lightning takes -2 for "for ever", too
            raise InputError(f"Expected `trainer.max_epochs` to be at least 1, or -1 for no cap, but got {max_epochs}.")
        super()._set_seed()

    def instantiate_classes(self) -> None:
        """Makes all objects; what their constructors refuse is bad input."""
        torch.set_num_threads(self.config[self.subcommand].num_threads)
        fill_null_sizes(self.config[self.subcommand].model)
        try:
            super().instantiate_classes()
        except (ValueError, TypeError, ImportError, RuntimeError, MisconfigurationException) as error:
            raise innermost(error) from error

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[L.Callback]) -> L.Trainer:
        """Makes the trainer, which starts the processes of its devices itself, also in a job of SLURM."""
        plugins = config.get("plugins")
        environment = one_process_environment(config.get("devices"), config.get("num_nodes") or 1, plugins)
        if environment is not None:
            given = plugins if isinstance(plugins, list) else [] if plugins is None else [plugins]
            config = {**config, "plugins": [*given, environment]}
        return super()._instantiate_trainer(config, callbacks)


class ActiveLearningCLI(CheckedCLI):
    """A command with the options of the loop."""

    groups = {"loop": ActiveLearningLoop, "convergence": Convergence}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.link_arguments("seed_everything", "loop.seed")
        defaults = {
            "model": {"class_path": "al_lightning.DropoutMLP"},
            "data": {"class_path": "al_lightning.FashionMNIST"},
            "loop.strategy": {"class_path": "al_lightning.Random"},
        }
        if isinstance(parser, Parser) and parser.names_data:
            del defaults["data"]  # jsonargparse would give the `root` of FashionMNIST to any class that has a `root`
        parser.set_defaults(defaults)

    def instantiate_classes(self) -> None:
        """Makes all objects, and lets the model decide when a fit is over, as far as no flag does."""
        super().instantiate_classes()
        self._convergence.settle(self.model)
        if self._has_no_cap and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.trainer.fit_loop.max_epochs = -1

    @property
    def _convergence(self) -> Convergence:
        return self.config_init[self.subcommand].convergence

    @property
    def _has_no_cap(self) -> bool:
        """Whether the loss rule has a cap of its own, because nobody asked for one of epochs."""
        is_default = isinstance(self.config[self.subcommand].trainer.max_epochs, DefaultEpochs)
        return is_default and self._convergence.by_loss

    def settings(self) -> dict[str, Any]:
        """What config.yaml is to say."""
        self._dump_config()
        self.config_dump["loop"].pop("seed")  # it is seed_everything
        self.config_dump["loop"]["metrics"] = self.config_init[self.subcommand].loop.metrics.settings
        self.config_dump["convergence"] = self._convergence.settings
        if self._has_no_cap:
            self.config_dump["trainer"]["max_epochs"] = -1
        # a run cannot continue to the same bits on other hardware
        self.config_dump["trainer"]["accelerator"] = accelerator_of(self.trainer)
        return self.config_dump

    def make_model(self) -> L.LightningModule:
        """Makes the model of the configuration once more."""
        parser = LightningArgumentParser()
        parser.add_lightning_class_args(L.LightningModule, "model", subclass_mode=True)
        part = self.config[self.subcommand].model.clone()
        for name, size in taken_sizes(part.get("init_args", {}), self.model).items():
            part.init_args[name] = size
        return parser.instantiate_classes(Namespace(model=part)).model

    def checkpoint_for(self, method: str, ckpt_path: str | None) -> str:
        """Returns the path of a checkpoint, for which model and data are made ready; notes what differs from its run.

        Raises:
            InputError: If the model lacks the method, there is no such file, or the data have other classes.
        """
        check_method(self.model, method)
        checkpoint = checkpoint_file(ckpt_path)
        self.datamodule.prepare_data()
        run = Path(checkpoint).parent
        self.datamodule.use_cache(run / CACHE)
        self.datamodule.arrange(read_begun(run))
        settle_classes(self.model, self.datamodule)
        if not len(self.datamodule.test_targets):
            raise InputError(f"Expected test samples for `{self.subcommand}`, but the data have none.")
        notes = check_data(Path(checkpoint), self.datamodule)
        if self.trainer.is_global_zero:
            for note in notes:
                print(f"Note: {note}", file=sys.stderr)
        return checkpoint


CliT = TypeVar("CliT", bound=CheckedCLI)


def make_cli(cli_class: type[CliT], args: list[str]) -> CliT:
    """Parses the words of a command line, makes all objects and runs the command of the class.

    Raises:
        InputError: If the words are bad.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):  # "Seed set to 0", "GPU available", tips
        logging.getLogger(name).setLevel(logging.WARNING)
    # a warning of LightningCLI for those who call it from Python, which is what tests and notebooks do
    warnings.filterwarnings("ignore", ".*LightningCLI's args parameter.*")
    # Lightning 2.6 with torch 2.14 and later, at every transfer of a batch
    warnings.filterwarnings("ignore", ".*LeafSpec.*is deprecated")
    # each of several devices tests everything
    warnings.filterwarnings("ignore", ".*It is recommended to use `self.log.*sync_dist=True")
    # whoever asks for the CPU where there is a GPU: accelerator=auto, the default, takes it
    warnings.filterwarnings("ignore", "GPU available but not used")
    register()
    words = name_passed_on(find_configs(list(args)))
    names_data = last_name(given_options(words).get("data")) != ""
    return cli_class(
        L.LightningModule,
        PoolDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        seed_everything_default=0,
        trainer_defaults=TRAINER_DEFAULTS,
        auto_configure_optimizers=False,
        save_config_callback=None,  # the run folder keeps the config, and keeps it unchanged
        parser_class=Parser,
        parser_kwargs={
            "version": __version__,
            "parser_mode": MODE,
            **{command: {"names_data": names_data} for command in cli_class.subcommands()},
        },
        args=words,
    )


def innermost(error: BaseException) -> InputError:
    """The InputError that other libraries wrapped in theirs; or else a new one that says what they say."""
    if (own := input_error(error)) is not None:
        return own
    text = " ".join(str(error).split())
    if sentence := sentence_in_union(text):
        return InputError(sentence)
    if "invalid strategy name" in text:
        # --trainer.strategy is Lightning's, for devices
        name = text.split("'")[1] if "'" in text else ""
        return InputError(
            f"Expected `trainer.strategy` to be one of Lightning's, but got `{name}`; "
            f"the query strategy is `loop.strategy`{did_you_mean(name, KNOWN_CLASSES['loop.strategy'])}"
        )
    return InputError(text)
