"""Settings of a run that was started from Python, in the form of the command line: ``fit --config`` continues it."""

import math
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping

from al_lightning.data import PoolDataModule
from al_lightning.fitting.convergence import Convergence
from al_lightning.fitting.lightning_insides import callbacks_of
from al_lightning.fitting.old_form import describe_in_old_form
from al_lightning.models import DropoutMLP
from al_lightning.run_folder.default_folder import named_folder
from al_lightning.run_folder.fingerprint.arguments import PLAIN, arguments_of, part_of_config
from al_lightning.run_folder.fingerprint.code_digest import is_own
from al_lightning.run_folder.fingerprint.same_objects import as_begun
from al_lightning.run_folder.fingerprint.watching import is_watching
from al_lightning.run_folder.settings import ONLY_IN_PYTHON, SettingsOfObjects
from al_lightning.strategies import QueryStrategy

LIMITS = (
    "max_epochs",
    "min_epochs",
    "max_steps",
    "min_steps",
    "limit_train_batches",
    "limit_val_batches",
    "limit_test_batches",
    "overfit_batches",
    "val_check_interval",
    "check_val_every_n_epoch",
    "num_sanity_val_steps",
    "accumulate_grad_batches",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "num_nodes",
)
"""Arguments of a trainer that it keeps as attributes."""


def default_run_dir(strategy: object, model: L.LightningModule, seed: int) -> Path:
    """Returns ``runs/<strategy>/seed<seed>``, in snake case, or ``<strategy>_<model>`` if it is not DropoutMLP.

    The strategies among the arguments of a strategy follow its name: ``runs/stochastic_bald/seed0``.
    """
    names = _names_of_strategies(strategy)
    return named_folder(names if type(model) is DropoutMLP else [*names, type(model).__name__], seed)


def _names_of_strategies(strategy: object) -> list[str]:
    inner = [value for value in vars(strategy).values() if isinstance(value, QueryStrategy)]
    return [type(strategy).__name__, *(name for one in inner for name in _names_of_strategies(one))]


def accelerator_of(trainer: L.Trainer) -> str:
    """Returns the name of a trainer's accelerator, such as ``cpu``. The bits of a run depend on it."""
    return type(trainer.accelerator).__name__.removesuffix("Accelerator").lower()


def describe(
    seed: int, loop: Mapping[str, Any], trainer: L.Trainer, model: L.LightningModule, datamodule: PoolDataModule
) -> SettingsOfObjects:
    """Returns the content of a run's config.yaml, as far as its objects know it.

    Args:
        seed: Seed of all random streams.
        loop: Arguments of the loop: plain values, mappings of plain values, or objects.
        trainer: The trainer. Its limits, devices and callbacks are described.
        model: The model.
        datamodule: The data.
    """
    settings: dict[str, Any] = {
        "seed_everything": seed,
        "num_threads": torch.get_num_threads(),
        "trainer": _trainer(trainer),
        "model": _part(model),
        "data": _part(datamodule),
        "loop": {name: value if isinstance(value, (*PLAIN, dict)) else _part(value) for name, value in loop.items()},
        "convergence": _rule(trainer),
    }
    is_compared = ("max_epochs", "max_steps", "precision", "accelerator", "devices")
    free = ["num_threads", *(f"trainer.{name}" for name in settings["trainer"] if name not in is_compared)]
    if is_own(type(model)):
        free += [f"model.{name}" for name in settings["model"]["init_args"] if name not in model.hparams]
    return SettingsOfObjects(settings, free, lambda: describe_in_old_form(seed, loop, trainer, model, datamodule))


def _part(part: object) -> dict[str, Any]:
    return part_of_config(part, as_begun(part, "settings", arguments_of(part)))


def _trainer(trainer: L.Trainer) -> dict[str, Any]:
    settings = {name: _plain(getattr(trainer, name, None)) for name in LIMITS}
    others = [
        one
        for one in callbacks_of(trainer)
        if not type(one).__module__.startswith("al_lightning.") and not is_watching(_path(one), {"duration": None})
    ]
    return {
        **settings,
        "accelerator": accelerator_of(trainer),
        "devices": trainer.world_size,
        "strategy": "ddp" if trainer.world_size > 1 else "auto",
        "precision": str(trainer.precision),
        "deterministic": True if torch.are_deterministic_algorithms_enabled() else None,
        "callbacks": [_callback(one) for one in others] or None,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return -1 if isinstance(value, float) and math.isinf(value) else value  # `num_sanity_val_steps` may be infinite


def _path(callback: Callback) -> str:
    return f"{type(callback).__module__}.{type(callback).__qualname__}"


def _callback(callback: Callback) -> Any:
    """A callback in the form of a config, or a text if one of its arguments exists only in Python."""
    part = part_of_config(callback)
    if any(str(value).startswith(ONLY_IN_PYTHON) for value in part["init_args"].values()):
        return f"{ONLY_IN_PYTHON}{part['class_path']}"
    return part


def _rule(trainer: L.Trainer) -> Any:
    """The stopping rule. A config has exactly one :class:`~al_lightning.Convergence`, and no other rule."""
    rules = [one for one in callbacks_of(trainer) if isinstance(one, EarlyStopping)]
    if len(rules) == 1 and type(rules[0]) is Convergence:
        return rules[0].settings
    names = ("monitor", "mode", "stopping_threshold", "patience", "min_delta")
    told = [
        one.settings if isinstance(one, Convergence) else {name: getattr(one, name) for name in names} for one in rules
    ]
    listed = [f"{type(one).__name__} {settings}" for one, settings in zip(rules, told, strict=True)]
    return f"{ONLY_IN_PYTHON}{' and '.join(listed) or 'no Convergence'}"
