"""The commands of the command line, as a LightningCLI."""

import csv
import inspect
import logging
import pickle
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import lightning.pytorch as L
import torch
import yaml
from jsonargparse import Namespace
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.model_helpers import is_overridden

from al_lightning import data, labeling, models, strategies
from al_lightning.cli.checkpoint_data import check_data
from al_lightning.cli.config_files import find_configs
from al_lightning.cli.messages import explain, sentence_in_union
from al_lightning.cli.null_options import check_nulls
from al_lightning.cli.passed_on import name_passed_on
from al_lightning.cli.yaml_files import MODE, check_numbers, check_options, register
from al_lightning.data import PoolDataModule
from al_lightning.errors import InputError, did_you_mean
from al_lightning.fitting.cluster import one_process_environment
from al_lightning.fitting.convergence import Convergence
from al_lightning.fitting.model_contract import settle_classes
from al_lightning.fitting.settings_of_objects import accelerator_of
from al_lightning.loop import ActiveLearningLoop
from al_lightning.paths import expanded
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

KNOWN_CLASSES: dict[str, list[str]] = {
    option: [name for name in package.__all__ if not inspect.isabstract(getattr(package, name))]
    for option, package in {"loop.strategy": strategies, "loop.oracle": labeling}.items()
} | {
    # without DropoutHead, one half of a model, and PretrainedMLP, which only makes features
    "model": [name for name in models.__all__ if issubclass(getattr(models, name), L.LightningModule)],
    "data": [
        name for name in data.__all__ if issubclass(getattr(data, name), PoolDataModule) and name != "PoolDataModule"
    ],
    "model.optimizer": ["Adam", "AdamW", "RMSprop", "SGD"],
}


def run(args: list[str] | None) -> None:
    """Runs a command.

    Args:
        args: The words of the command line; those of ``sys.argv`` if not given.

    Raises:
        InputError: If they are bad.
    """
    _make_cli(ActiveLearningCLI, args)


def settings_of_fit(flags: list[str]) -> dict[str, Any]:
    """Returns what ``al-lightning fit`` with these flags would write to config.yaml, and runs nothing.

    ``trainer.accelerator`` is missing if it was left to the machine on which the run will be.

    Raises:
        InputError: If the flags are bad, as far as it can be known without the data.
    """
    cli = _make_cli(CheckingCLI, ["fit", *flags])
    settings = cli.settings()
    if cli.config.fit.trainer.accelerator == "auto":
        del settings["trainer"]["accelerator"]
    return settings


def fit_objects(flags: list[str]) -> tuple[L.Trainer, L.LightningModule, PoolDataModule, ActiveLearningLoop]:
    """Returns what ``al-lightning fit`` with these flags would run: trainer, model, data and loop; runs nothing.

    Raises:
        InputError: If the flags are bad.
    """
    cli = _make_cli(CheckingCLI, ["fit", *flags])
    return cli.trainer, cli.model, cli.datamodule, cli.config_init.fit.loop


def load_weights(model: L.LightningModule, path: Path) -> None:
    """Loads the weights of a checkpoint of a run into its model.

    Raises:
        InputError: If there is no such file, or it is none, or of another model.
    """
    with _checkpoint_that_fits(_checkpoint(str(path))) as checkpoint:
        try:
            content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        except (EOFError, pickle.UnpicklingError) as error:
            raise InputError(f"Expected {path} to be a checkpoint of a run, but it is none.") from error
        model.load_state_dict(content["state_dict"])


def _make_cli(cli_class: "type[ActiveLearningCLI]", args: list[str] | None) -> "ActiveLearningCLI":
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
        parser_kwargs={"version": __version__, "parser_mode": MODE},
        args=name_passed_on(find_configs(sys.argv[1:] if args is None else list(args))),
    )


class Parser(LightningArgumentParser):
    """Says what is wrong in one sentence, without a page of usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # jsonargparse tries one type of a union after the other
            super().error(message, ex)
        if (own := _input_error(ex)) is not None:
            raise own from ex
        owners = self._owners()
        sentence = explain(
            message,
            lambda option: KNOWN_CLASSES.get(option, []),
            [*self._own_options(), *owners],
            lambda option: " or ".join(owners.get(option, [])),
        )
        raise InputError(sentence) from ex

    def _own_options(self) -> Iterable[str]:
        subcommands = self._subcommands_action.choices.values() if self._subcommands_action else ()
        return [option for parser in (self, *subcommands) for option in parser._option_string_actions]

    def _owners(self) -> dict[str, list[str]]:
        """The options of classes that may be chosen, each with the flags that choose one that has it."""
        packages = {"loop.strategy": strategies, "loop.oracle": labeling, "model": models, "data": data}
        owners: dict[str, list[str]] = {}
        for option, classes in packages.items():
            for name in KNOWN_CLASSES[option]:
                for parameter in inspect.signature(getattr(classes, name)).parameters:
                    owners.setdefault(f"--{option}.{parameter}", []).append(f"`--{option} {name}`")
        return owners


class ActiveLearningCLI(LightningCLI):
    """LightningCLI whose ``fit`` runs the active learning loop."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--num_threads",
            type=int,
            default=1,
            help="Threads of torch on the CPU. A fit as small as the default one gains nothing from a second.",
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

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        skipped = {"model", "dataloaders", "datamodule", "verbose", "return_predictions", "weights_only"}
        return {
            # there is no checkpoint to fit from: the loop continues from the run folder
            "fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule", "ckpt_path", "weights_only"},
            "test": skipped,
            "predict": skipped,
        }

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses, and refuses what jsonargparse passes over in a config file: `loop: 5`, or `lop: {}`."""
        try:
            super().parse_arguments(parser, args)
        except UnicodeDecodeError as error:
            raise InputError(f"Expected `config` to be a text file in YAML, but got: {error}.") from error
        config = self.config[self.config.subcommand]
        check_numbers(config.as_dict())
        check_nulls(config.as_dict(), {"loop": ActiveLearningLoop, "convergence": Convergence, "trainer": L.Trainer})
        for path in config.config or []:
            if path is None:  # given in place of a file, as text
                continue
            content = yaml.safe_load(path.read_text())
            check_options(content, str(path))
            for name, value in content.items():
                if name not in config:
                    hint = did_you_mean(name, config.keys())
                    raise InputError(f"Expected the options of a command in {path}, but got `{name}`{hint}")
                if name in ("trainer", "loop", "convergence") and not isinstance(value, dict | str):
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
        try:
            super().instantiate_classes()
        except (ValueError, TypeError, ImportError, RuntimeError, MisconfigurationException) as error:
            raise _innermost(error) from error
        self._settle_rule()

    def _settle_rule(self) -> None:
        """Lets the model decide when a fit is over, as far as no flag does."""
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

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[L.Callback]) -> L.Trainer:
        """Makes the trainer, which starts the processes of its devices itself, also in a job of SLURM."""
        plugins = config.get("plugins")
        environment = one_process_environment(config.get("devices"), config.get("num_nodes") or 1, plugins)
        if environment is not None:
            given = plugins if isinstance(plugins, list) else [] if plugins is None else [plugins]
            config = {**config, "plugins": [*given, environment]}
        return super()._instantiate_trainer(config, callbacks)

    def settings(self) -> dict[str, Any]:
        """What config.yaml is to say."""
        self._dump_config()
        self.config_dump["loop"].pop("seed")  # it is seed_everything
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
        config = Namespace(model=self.config[self.subcommand].model)
        return parser.instantiate_classes(config).model

    def fit(self, model: L.LightningModule, datamodule: PoolDataModule) -> None:
        """Runs the loop."""
        try:
            self.config_init.fit.loop.run(self.trainer, model, datamodule, self.settings(), self.make_model)
        except MisconfigurationException as error:  # what Lightning finds out only when it begins to train
            raise _innermost(error) from error

    def test(self, model: L.LightningModule, datamodule: PoolDataModule, ckpt_path: str | None) -> None:
        """Prints the test metrics of a checkpoint."""
        _check_method(model, "test_step")
        checkpoint = _checkpoint(ckpt_path)
        datamodule.prepare_data()
        settle_classes(model, datamodule)
        self._note(check_data(Path(checkpoint), datamodule))
        with _checkpoint_that_fits(checkpoint):
            self.trainer.test(model, datamodule=datamodule, ckpt_path=checkpoint)

    def predict(self, model: L.LightningModule, datamodule: PoolDataModule, ckpt_path: str | None) -> None:
        """Writes the class probabilities of the test images, by a checkpoint, to ``predictions.csv`` beside it."""
        _check_method(model, "predict_step")
        checkpoint = _checkpoint(ckpt_path)
        datamodule.prepare_data()
        settle_classes(model, datamodule)
        self._note(check_data(Path(checkpoint), datamodule))
        with _checkpoint_that_fits(checkpoint):
            batches = self.trainer.predict(model, datamodule=datamodule, ckpt_path=checkpoint)
            probs = torch.cat(cast(list[torch.Tensor], batches))
        if not self.trainer.is_global_zero:  # on several devices each predicts all of it
            return
        path = Path(checkpoint).with_name("predictions.csv")
        new = path.with_name("predictions.csv.new")  # renamed when it is whole
        with new.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["index", "predicted", *(f"prob_{c}" for c in range(probs.shape[1]))])
            for index, row in enumerate(probs.tolist()):
                writer.writerow([index, max(range(len(row)), key=row.__getitem__), *(f"{p:.6g}" for p in row)])
        new.replace(path)
        print(f"Wrote {len(probs)} predictions to {path}.")

    def _note(self, notes: list[str]) -> None:
        """Says something beside what a command prints."""
        if self.trainer.is_global_zero:
            for note in notes:
                print(f"Note: {note}", file=sys.stderr)


class CheckingCLI(ActiveLearningCLI):
    """Parses and makes all objects of ``fit``, and stops there."""

    def fit(self, model: L.LightningModule, datamodule: PoolDataModule) -> None:
        """Runs nothing."""


@contextmanager
def _checkpoint_that_fits(path: str) -> Iterator[str]:
    """Turns what is said of a checkpoint that is none, or of another model or other data, into one sentence."""
    try:
        yield path
    except (AttributeError, KeyError, RuntimeError) as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(f"Expected `ckpt_path` {path} to go with the model and the data, but got: {text}") from error


def _check_method(model: L.LightningModule, name: str) -> None:
    """Raises :class:`InputError` if a model of one's own lacks what `fit` does without."""
    if not is_overridden(name, model):
        raise InputError(f"Expected the model {type(model).__name__} to have `{name}`, but it has not.")


def _checkpoint(path: str | None) -> str:
    if path is None:
        raise InputError("Expected `ckpt_path`, the model.ckpt of a run folder, but got none.")
    if not Path(path).is_file():
        raise InputError(f"Expected `ckpt_path` to be a file, but there is no {path}.")
    return path


def _input_error(error: BaseException | None) -> InputError | None:
    """The InputError that other libraries wrapped in theirs, if there is one."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error


def _innermost(error: BaseException) -> InputError:
    """The InputError that other libraries wrapped in theirs; or else a new one that says what they say."""
    if (own := _input_error(error)) is not None:
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
