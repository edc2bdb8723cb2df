"""What identifies a run that was not started from the command line: its default folder and its settings."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping

from al_lightning.data import PoolDataModule
from al_lightning.fitting.convergence import Convergence
from al_lightning.models import Classifier, DropoutMLP
from al_lightning.run_folder.fingerprint.description import (
    configured_optimizers,
    settings_of,
    without_addresses,
)
from al_lightning.run_folder.fingerprint.same_objects import as_begun
from al_lightning.strategies import QueryStrategy
from al_lightning.version import __version__

PLAIN = (bool, int, float, str, type(None))


def default_run_dir(strategy: QueryStrategy, model: L.LightningModule, seed: int) -> Path:
    """Returns ``runs/<strategy>/seed<seed>``, in snake case, or ``<strategy>_<model>`` if it is not DropoutMLP."""
    parts = [strategy] if type(model) is DropoutMLP else [strategy, model]
    names = [re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(part).__name__).lower() for part in parts]
    return Path("runs", "_".join(names), f"seed{seed}")


def versions(device: torch.device) -> dict[str, str]:
    """What the bits of a run depend on besides its settings: versions, and the kind of hardware."""
    cpu = torch.backends.cpu.get_cpu_capability()  # the vector instructions that torch's kernels use
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} {cpu}"
    return {"al-lightning": __version__, "torch": torch.__version__, "hardware": hardware}


def describe(
    seed: int, loop: Mapping[str, Any], trainer: L.Trainer, model: L.LightningModule, datamodule: PoolDataModule
) -> dict[str, Any]:
    """What identifies a run that was not started from the command line, as far as the objects know it.

    Args:
        seed: Of all random streams.
        loop: Arguments of the loop; objects among them are described by their class and attributes.
        trainer: Its devices and limits count, and what ends a fit.
        model: With its hyperparameters.
        datamodule: Likewise.

    Returns:
        Nested mappings of plain values.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    stopping = [_stopping_rule(callback) for callback in callbacks if isinstance(callback, EarlyStopping)]
    devices = {"devices": trainer.world_size} if trainer.world_size > 1 else {}
    return {
        "seed_everything": seed,
        "trainer": {
            "max_epochs": trainer.max_epochs,
            "max_steps": trainer.max_steps,
            "precision": str(trainer.precision),
            "accelerator": type(trainer.accelerator).__name__,
            **devices,
        },
        "model": _class_and_args(model),
        "optimizer": without_addresses(repr(configured_optimizers(model))),
        "data": _class_and_args(datamodule),
        "loop": {name: value if isinstance(value, PLAIN) else _class_and_args(value) for name, value in loop.items()},
        "convergence": stopping,
    }


def _stopping_rule(callback: EarlyStopping) -> dict[str, Any]:
    if isinstance(callback, Convergence) and callback.by_loss:
        return callback.settings
    args = vars(callback)
    return {name: args[name] for name in ("monitor", "mode", "stopping_threshold", "patience", "min_delta")}


def arguments_of(part: object) -> dict[str, Any]:
    """Arguments of a model, of data, or of a part of the loop, as they are in config.yaml."""
    if isinstance(part, L.LightningModule | PoolDataModule):
        return settings_of({**part.hparams, **_modules_that_are_settings(part)})
    return settings_of(vars(part))


def _modules_that_are_settings(part: L.LightningModule | PoolDataModule) -> dict[str, Any]:
    """Augmentations, and the class of Classifier's network: modules, and so not among the hyperparameters."""
    names = ("augmentation", "train_transform")
    settings: dict[str, Any] = {name: getattr(part, name) for name in names if hasattr(part, name)}
    if isinstance(part, Classifier):
        settings["network"] = f"{type(part.network).__module__}.{type(part.network).__qualname__}"
    return settings


def _class_and_args(part: object) -> dict[str, Any]:
    init_args = as_begun(part, "settings", arguments_of(part))
    return {"class_path": f"{type(part).__module__}.{type(part).__qualname__}", "init_args": init_args}
