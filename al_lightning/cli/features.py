"""``al-lightning features``: a network turns images or texts into rows of numbers once, and writes them to a file."""

import os
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as L
import torch
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.seed import isolate_rng

from al_lightning.cli.feature_samples import samples_of
from al_lightning.cli.given_options import given_options, last_name
from al_lightning.cli.lightning_cli import NO_OPTIONS, CheckedCLI, make_cli
from al_lightning.cli.make_features import Job, make_features
from al_lightning.data import PoolDataModule
from al_lightning.errors import InputError
from al_lightning.fitting.lazy import materialise
from al_lightning.fitting.settings_of_objects import accelerator_of
from al_lightning.models.protocol import traits
from al_lightning.paths import as_path
from al_lightning.run_folder.digest import digest
from al_lightning.version import __version__

BLOCK_SIZE = 128
NO_INPUT = {
    "batch_size",
    "classes",
    "collate_fn",
    "column",
    "corrupt",
    "dataset",
    "initial",
    "initial_features",
    "label_column",
    "labels",
    "max_memory",
    "num_initial",
    "num_workers",
    "options",
    "path",
    "root",
    "test_fraction",
    "test_path",
    "train_transform",
}
"""Arguments of data modules that do not change the input of a sample."""

PLAIN = (str, int, float, bool, type(None), list, tuple)

HELP = """\
usage: al-lightning features --data DATA --model MODEL --out FILE.npz [--OPTION VALUE ...]

Turns each sample of a data set into a row of numbers, by a network that is not trained any further. A run on these
features, with --data Features, takes seconds where a run on the samples takes hours. Labels are not needed.

The model is a network by name with weights, as below; or any model of `fit`, whose features are the input of its last
layer. A command that was stopped goes on where it was.

examples:
  al-lightning features --data ImageFolder --data.root photos --data.image_size 224 --model Backbone \\
      --model.name resnet18 --model.weights DEFAULT --out photos.npz
  al-lightning features --data ImageFolder --data.root photos --data.image_size 224 --model Backbone \\
      --model.name timm/vit_small_patch14_dinov2 --model.weights DEFAULT --out photos.npz
  al-lightning features --data Texts --data.path reviews.csv --data.column text --model SentenceEncoder \\
      --model.name all-MiniLM-L6-v2 --out reviews.npz
  al-lightning fit --data Features --data.path photos.npz

All options:
"""


def run(words: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: If the words are bad, there is another file at `out`, or the network does not take the samples.
    """
    if {"-h", "--help"} & set(words):
        print(HELP)
    make_cli(FeaturesCLI, ["predict", *words])


class FeaturesCLI(CheckedCLI):
    """Makes a file of features."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_argument("--out", type=str | None, help="The file, for example photos.npz.")
        parser.add_argument(
            "--dtype",
            type=Literal["float32", "float16"],
            default="float32",
            help="Type of the numbers in the file; float16 takes half the space.",
        )
        parser.add_argument(
            "--block_size", type=int, default=BLOCK_SIZE, help="Samples that go through the network together."
        )
        parser.add_argument(
            "--overwrite",
            action="store_true",
            help="Replace another file. Samples that it has of the same network are taken from it.",
        )
        parser.set_defaults({"num_threads": _num_cores(), "trainer.logger": False})

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        return {"predict": NO_OPTIONS | {"ckpt_path"}}

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses, and says which options are missing, with an example."""
        words = list(args or [])
        given = given_options(words)
        if "--help" not in words and "-h" not in words and not any(word.startswith("--print_config") for word in words):
            _check_given(given)
        super().parse_arguments(parser, args)

    def before_instantiate_classes(self) -> None:
        """Checks the options before anything is loaded."""
        super().before_instantiate_classes()
        _checked_out(self.config.predict.out)
        if self.config.predict.block_size < 1:
            raise InputError(f"Expected `--block_size` to be at least 1, but got {self.config.predict.block_size}.")

    def predict(self, model: L.LightningModule, datamodule: PoolDataModule) -> None:
        """Makes the features."""
        options = self.config_init.predict
        out = _checked_out(options.out)
        if self.trainer.world_size > 1:
            raise InputError(f"Expected one device, but got `trainer.devices` = {self.trainer.world_size}.")
        _prepare(self.trainer, model, datamodule)
        train, test, root = samples_of(datamodule)
        made_with = {
            **_maker(self.trainer, model, datamodule, options.dtype),
            "data": type(datamodule).__name__,
            "settings": {"model": _settings(model), "data": _settings(datamodule)},
            "root": None if root is None else _relative(root, out.absolute().parent),
            "versions": _versions(),
            "made_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        names = () if datamodule.class_names is None else tuple(map(str, datamodule.class_names))
        job = Job(train, test, names, made_with, options.block_size, options.dtype)
        num_made = make_features(self.trainer, model, datamodule, job, out, options.overwrite)
        num = len(train) + (0 if test is None else len(test))
        if not num_made and num:
            print(f"{out} has the features of all {num} samples already.")
        else:
            taken = f", {num - num_made} of them from the file that was there" if num_made < num else ""
            print(f"Wrote the features of {num} samples to {out}{taken}.")


def _check_given(given: Mapping[str, Any]) -> None:
    """Says in one sentence what is missing."""
    if not last_name(given.get("data")):
        raise InputError("Expected `--data`, as in --data ImageFolder --data.root photos, but got none.")
    example = "--model Backbone --model.name resnet18 --model.weights DEFAULT"
    if not last_name(given.get("model")):
        raise InputError(f"Expected `--model`, the network that makes the features, as in {example}, but got none.")
    if last_name(given.get("model")) in ("Backbone", "SentenceEncoder") and not given.get("model.name"):
        raise InputError(f"Expected `--model.name`, the name of a network, as in {example}, but got none.")
    if not given.get("out"):
        raise InputError("Expected `--out`, the file of the features, as in --out photos.npz, but got none.")


def _checked_out(value: str) -> Path:
    out = as_path(value)
    if out.suffix != ".npz":
        raise InputError(f"Expected `--out` to be a .npz file, but got {out}.")
    if out.is_dir():
        raise InputError(f"Expected `--out` to be a file, but {out} is a folder.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"Expected `--out` to be in a folder that is there, but got {out}.")
    return out


def _prepare(trainer: L.Trainer, model: L.LightningModule, data: PoolDataModule) -> None:
    """Loads the data without a drawn test set, and brings the model to its device."""
    data.needs_classes = False
    if hasattr(data, "test_fraction"):
        data.test_fraction = 0.0  # whoever trains on the features draws it
    data.prepare_data()
    data.setup()
    inputs = data.sample_inputs()
    with isolate_rng(include_cuda=False):
        suit = traits(model).suit_data
        if suit is not None:
            suit(max(2, data.count_classes()), inputs)
        materialise(model, inputs)
    trainer.precision_plugin.convert_module(model.to(trainer.strategy.root_device))
    if "weights" in model.hparams and model.hparams["weights"] is None:
        print(
            "Note: the weights of the network are drawn at random; --model.weights names trained ones.", file=sys.stderr
        )


def _maker(trainer: L.Trainer, model: L.LightningModule, data: PoolDataModule, dtype: str) -> dict[str, Any]:
    """What decides on the features of a sample."""
    has = traits(model)
    name = model.hparams.get("name")
    network = getattr(model, has.passes_inputs_to) if has.passes_inputs_to else model
    called = f"{type(network).__module__}.{type(network).__qualname__}"
    in_parts = callable(has.embed) and callable(has.head)
    weights = {
        key: value
        for key, value in model.state_dict().items()
        if isinstance(value, torch.Tensor) and not (in_parts and key.startswith("head."))
    }
    return {
        "model": f"{called} {_plain(name)}" if name is not None else called,
        "weights": digest(weights),
        "inputs": {key: value for key, value in _settings(data).items() if key not in NO_INPUT and value is not None},
        "precision": str(trainer.precision),
        "device": accelerator_of(trainer),
        "dtype": dtype,
    }


def _settings(part: Any) -> dict[str, Any]:
    """Arguments of a constructor that are plain values. Of a path, only the name is kept."""
    named = {name: value for name, value in part.hparams.items() if not name.startswith("_")}  # those are Lightning's
    return {name: _plain(value) for name, value in named.items() if isinstance(value, PLAIN)}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, str) and os.path.isabs(os.path.expanduser(value)):
        return Path(value).name
    return value if isinstance(value, PLAIN) else str(type(value).__name__)


def _relative(root: Path, folder: Path) -> str:
    """The folder of the data, seen from the folder of the file: both may move together."""
    try:
        return Path(os.path.relpath(root.absolute(), folder)).as_posix()
    except ValueError:  # another drive of Windows
        return root.absolute().as_posix()


def _versions() -> dict[str, str]:
    found = {"al_lightning": __version__, "torch": str(torch.__version__)}
    for name in ("torchvision", "timm", "transformers", "sentence_transformers"):
        if name in sys.modules:
            found[name] = str(getattr(sys.modules[name], "__version__", ""))
    return found


def _num_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
