"""``al-lightning pretrain``: trains a network on images without labels, and writes its weights."""

import contextlib
import io
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn

from al_lightning.cli.lightning_cli import CheckedCLI, innermost, make_cli
from al_lightning.cli.parser import Parser
from al_lightning.cli.pretrain_log import PretrainLog
from al_lightning.data import PoolDataModule
from al_lightning.errors import InputError
from al_lightning.fitting.cluster import detached
from al_lightning.paths import as_path
from al_lightning.run_folder.files import replace_file

SETTINGS = "al_lightning.pretrain"
"""The key of a checkpoint under which the settings are."""
OF_MACHINE = {"num_threads", "out"}
"""Options that may change when a command goes on."""
OF_TRAINER = ("max_epochs", "max_steps", "precision", "accumulate_grad_batches", "gradient_clip_val")
"""Options of the trainer that may not change when a command goes on."""

HELP = """\
usage: al-lightning pretrain --out FILE [--config FILE ...] [--OPTION VALUE ...]

Trains a network on all training images of a data set. Labels are not used. It writes the weights of the network to
FILE, and the loss of each epoch to a table with the same name and the ending .csv. The same command goes on after an
interruption, from the last whole epoch.

examples:
  al-lightning pretrain --config simclr --out net.pt
  al-lightning pretrain --config simclr --data ImageFolder --data.root photos --model.name resnet18 --out net.pt
  al-lightning fit --model Backbone --model.name small_cnn --model.weights net.pt --loop.reinit initial

All options:
"""


def run(words: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: If the words are bad, there is a file at `out`, or a checkpoint beside it has other settings.
    """
    if {"-h", "--help"} & set(words):
        print(HELP)
    # the weights and the table of the losses lie there, too
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    make_cli(PretrainCLI, ["fit", *words])


class PretrainCLI(CheckedCLI):
    """Trains a model that needs no labels."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_argument("--out", type=str | None, help="The file of the weights, for example net.pt.")
        defaults = {
            "model": {"class_path": "al_lightning.SimCLR"},
            "data": {"class_path": "al_lightning.FashionMNIST", "init_args": {"batch_size": 256}},
            "trainer.max_epochs": 100,
            "trainer.enable_progress_bar": sys.stdout.isatty(),
        }
        if isinstance(parser, Parser) and parser.names_data:
            del defaults["data"]
        parser.set_defaults(defaults)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        # the trainer's method is `fit`; the checkpoint to go on from lies beside `out`
        return {"fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule", "ckpt_path", "weights_only"}}

    def fit(self, model: L.LightningModule, datamodule: PoolDataModule) -> None:
        """Trains the model from the beginning, or from the last checkpoint."""
        out = _checked_out(self.config_init.fit.out)
        if not isinstance(getattr(model, "body", None), nn.Module):
            raise InputError(
                f"Expected `model` to have a network `body`, as SimCLR has, but {type(model).__name__} has none."
            )
        datamodule.needs_classes = False
        datamodule.prepare_data()
        loader = datamodule.input_dataloader(
            self.config.fit.seed_everything, self.trainer.global_rank, self.trainer.world_size
        )
        settings = self._settings(datamodule)
        checkpoint = out.with_suffix(".ckpt")
        if checkpoint.is_file():
            _check_settings(checkpoint, settings)
        elif out.exists():
            raise InputError(f"Expected `out` to be a new file, but there is {out}; delete it to train once more.")
        self.trainer.callbacks += [  # type: ignore[attr-defined]
            _Settings(settings),
            PretrainLog(out.with_suffix(".csv")),
            ModelCheckpoint(
                checkpoint.parent, checkpoint.stem, enable_version_counter=False, save_on_train_epoch_end=True
            ),
        ]
        try:
            with detached(self.trainer):
                self.trainer.fit(model, loader, ckpt_path=str(checkpoint) if checkpoint.is_file() else None)
        except MisconfigurationException as error:
            raise innermost(error) from error
        if self.trainer.is_global_zero:
            replace_file(out, _content(model.body))  # type: ignore[arg-type]
            checkpoint.unlink(missing_ok=True)
            print(f"Wrote the weights of {getattr(model, 'name', type(model).__name__)} to {out}.")

    def _settings(self, datamodule: PoolDataModule) -> dict[str, Any]:
        """The settings on which the weights depend."""
        self._dump_config()
        settings = {name: part for name, part in self.config_dump.items() if name not in OF_MACHINE}
        settings["trainer"] = {name: settings["trainer"].get(name) for name in OF_TRAINER}
        settings["data"] = {**settings["data"], "samples": datamodule.fingerprint()}
        return settings


class _Settings(L.Callback):
    """Writes the settings to each checkpoint."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint[SETTINGS] = self._settings


def _checked_out(value: str | None) -> Path:
    if value is None:
        raise InputError("Expected `--out`, the file of the weights, such as net.pt, but got none.")
    out = as_path(value)
    if out.suffix in (".ckpt", ".csv", ""):
        raise InputError(f"Expected `out` to be a file with the ending .pt, but got {out}.")
    if out.is_dir() or not out.parent.is_dir():
        what = "a folder" if out.is_dir() else f"no folder {out.parent}"
        raise InputError(f"Expected `out` to be a file in a folder that exists, but there is {what}.")
    return out


def _check_settings(checkpoint: Path, settings: dict[str, Any]) -> None:
    """Refuses to go on from a checkpoint of other settings."""
    try:
        begun = torch.load(checkpoint, map_location="cpu", weights_only=True)[SETTINGS]
    except (EOFError, KeyError, OSError, RuntimeError, TypeError, pickle.UnpicklingError) as error:
        raise InputError(
            f"Expected {checkpoint} to be a checkpoint of `al-lightning pretrain`, but it is none."
        ) from error
    for name in sorted(settings.keys() | begun.keys()):
        was, now = _flat(begun.get(name), name), _flat(settings.get(name), name)
        for option in sorted(was.keys() | now.keys()):
            if was.get(option) != now.get(option):
                raise InputError(
                    f"Expected `{option}` to be {was.get(option)}, as in {checkpoint}, but got {now.get(option)}; "
                    "delete the checkpoint to begin again."
                )


def _flat(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    parts = [_flat(part, name if key == "init_args" else f"{name}.{key}") for key, part in value.items()]
    return {option: part for flat in parts for option, part in flat.items()}


def _content(body: nn.Module) -> bytes:
    """The state_dict of a network as a file, on the CPU and in the usual layout of memory."""
    state = {name: value.detach().cpu().contiguous() for name, value in body.state_dict().items()}
    with contextlib.closing(io.BytesIO()) as file:
        torch.save(state, file)
        return file.getvalue()
