"""Settings of a run from Python in the form of versions before 0.2, to continue the runs that they began.

In that form, ``optimizer`` was at the top level and ``convergence`` was a list. No command could read it.
"""

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import EarlyStopping

from al_lightning.data import PoolDataModule
from al_lightning.fitting.convergence import Convergence
from al_lightning.fitting.lightning_insides import callbacks_of
from al_lightning.models import Classifier
from al_lightning.run_folder.fingerprint.description import configured_optimizers, settings_of, without_addresses

PLAIN = (bool, int, float, str, type(None))


def describe_in_old_form(
    seed: int, loop: Mapping[str, Any], trainer: L.Trainer, model: L.LightningModule, datamodule: PoolDataModule
) -> dict[str, Any]:
    """Returns the old form of the arguments of :func:`~al_lightning.fitting.settings_of_objects.describe`."""
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
        "loop": {
            name: value if isinstance(value, PLAIN) else _class_and_args(value)
            for name, value in loop.items()
            if name != "metrics"  # which came later, and may change
        },
        "convergence": [_rule(one) for one in callbacks_of(trainer) if isinstance(one, EarlyStopping)],
    }


def _rule(callback: EarlyStopping) -> dict[str, Any]:
    if isinstance(callback, Convergence) and callback.by_loss:
        return callback.settings
    args = vars(callback)
    return {name: args[name] for name in ("monitor", "mode", "stopping_threshold", "patience", "min_delta")}


def _class_and_args(part: object) -> dict[str, Any]:
    if not isinstance(part, L.LightningModule | PoolDataModule):
        arguments = vars(part)
    else:  # augmentations and Classifier's network are modules, so they are not hyperparameters
        names = ("augmentation", "train_transform")
        arguments = {**part.hparams, **{name: getattr(part, name) for name in names if hasattr(part, name)}}
        if isinstance(part, Classifier):
            arguments["network"] = f"{type(part.network).__module__}.{type(part.network).__qualname__}"
    return {"class_path": f"{type(part).__module__}.{type(part).__qualname__}", "init_args": settings_of(arguments)}
