"""Fingerprints of a run besides its settings: of the data, the model, and networks of a strategy.

Settings only name many parts. For example, a path stays the same when a file in it is overwritten, and a class keeps
its name when it is edited. :mod:`~al_lightning.run_folder.fingerprint.differences` describes differences between
fingerprints.
"""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, Timer
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from al_lightning.data import Arrays, Datasets, PoolDataModule
from al_lightning.data.inputs import map_tensors
from al_lightning.run_folder.digest import digest
from al_lightning.run_folder.fingerprint.arguments import arguments_of
from al_lightning.run_folder.fingerprint.code_digest import digest_of_class, is_own
from al_lightning.run_folder.fingerprint.description import (
    attributes_of,
    class_path,
    codes_of,
    configured_optimizers,
    lines_of,
    schedule_of,
    text_of,
)
from al_lightning.run_folder.fingerprint.same_objects import as_begun, remember
from al_lightning.run_folder.fingerprint.sketch import sketch
from al_lightning.run_folder.fingerprint.watching import LIGHTNING, is_watching

READ_ALL = 512  # a data set on disk with at most this many samples is read completely
NUM_READ = 64  # samples to read from a larger data set
MOST_NAMES = 1000  # most files that are kept by name
TRAINER = (
    "accumulate_grad_batches",
    "check_val_every_n_epoch",
    "gradient_clip_algorithm",
    "gradient_clip_val",
    "limit_test_batches",
    "limit_train_batches",
    "limit_val_batches",
    "min_epochs",
    "min_steps",
    "overfit_batches",
)
"""Attributes of a trainer that change a round and that are not among the settings."""


def fingerprints(
    datamodule: PoolDataModule, strategy: object, model: L.LightningModule | None = None
) -> dict[str, Any]:
    """Describes the parts that settings only name.

    Args:
        datamodule: The data.
        strategy: The strategy. Its networks are described, except networks with unknown shapes.
        model: The model. Its modules, their arguments and the shapes of its parameters are described, and its code if
            the user wrote it.

    Returns:
        Plain values: ``networks`` only if there are networks, ``model`` and ``code`` only if there is a model.
    """
    found = fingerprints_of_data(datamodule)
    networks = {}
    parts = _parts_of(strategy)
    for prefix, part in parts.items():
        for name, network in vars(part).items():
            if not isinstance(network, nn.Module):
                continue
            # Modules may keep other objects in their state, by get_extra_state.
            weights = {key: value for key, value in network.state_dict().items() if isinstance(value, Tensor)}
            if not any(is_lazy(value) for value in weights.values()):
                networks[f"{prefix}{name}"] = digest(weights)
    if networks:
        found["networks"] = networks
    if model is not None:
        found["model"] = as_begun(model, "model", lines_of(model))
        found["code"] = codes_of(model)
        own = [part for part in parts.values() if is_own(type(part))]
        found["code"] |= {class_path(part): digest_of_class(type(part)) for part in own}
    return found


def _parts_of(strategy: object, prefix: str = "") -> dict[str, object]:
    """A strategy, and the strategies among its arguments, by the beginning of the names of their arguments."""
    found = {prefix: strategy}
    for name, value in vars(strategy).items():
        if callable(getattr(value, "query", None)) and hasattr(value, "__dict__"):
            found |= _parts_of(value, f"{prefix}{name}.")
    return found


def fingerprints_of_data(datamodule: PoolDataModule) -> dict[str, Any]:
    """Describes the samples, the classes, the training inputs and the test set.

    Of a run that goes on, the samples that it knows are described: see
    :meth:`~al_lightning.data.PoolDataModule.arrange`. Without an entry ``inputs``, the inputs cannot be compared.
    """
    found: dict[str, Any] = {"samples": datamodule.fingerprint(), "classes": datamodule.list_class_names()}
    known = datamodule.known_indices()
    if known is not None:
        found["inputs"] = _train_inputs(datamodule, known)
    found["test"] = _test_set(datamodule)
    content = datamodule.content()
    return found if content is None else {**found, "content": content}


def fingerprints_in_python(
    trainer: L.Trainer, model: L.LightningModule, datamodule: PoolDataModule, callbacks: Iterable[Callback]
) -> dict[str, Any]:
    """Describes the parts that are settings on the command line.

    Args:
        trainer: The trainer. Its limits and its way of taking steps are described.
        model: The model. Its optimizers and their schedules are described.
        datamodule: The data. Its augmentations are described.
        callbacks: The trainer's callbacks without the loop. Callbacks that only watch are left out.

    Returns:
        Mappings of texts by names. The user's callbacks are separate, because they may only watch, or may change a fit.
    """
    texts: dict[bool, dict[str, str]] = {False: {}, True: {}}
    for name, callback in _callbacks(callbacks).items():
        texts[_may_watch(callback)][name] = "; ".join(_callback(callback, known=True).values())
    return {
        "trainer": as_begun(trainer, "trainer", _trainer(trainer)),
        "callbacks": texts[False],
        "own_callbacks": texts[True],
        "optimizer": {"optimizer": optimizer_of(model)},
        "augmentation": _augmentation(datamodule),
    }


class Remembering:
    """Remembers descriptions of objects at the beginning of a run, from ``with`` to its end: see ``same_objects``.

    Args:
        trainer: The trainer.
        model: The model.
        callbacks: The trainer's callbacks, see :func:`fingerprints_in_python`.
        others: Other objects with arguments among the settings: the data and the strategy.
    """

    def __init__(
        self,
        trainer: L.Trainer,
        model: L.LightningModule,
        callbacks: Iterable[Callback],
        others: Iterable[object] = (),
    ) -> None:
        self._trainer = trainer
        self._model = model
        self._settings = [model, *others]
        self._callbacks = list(_callbacks(callbacks).values())

    def __enter__(self) -> None:
        self._first = self._described(known=True)

    def __exit__(self, *error: object) -> None:
        for (thing, purpose, first), (_, _, last) in zip(self._first, self._described(known=False), strict=True):
            remember(thing, purpose, first, last)

    def _described(self, known: bool) -> list[tuple[object, str, dict[str, Any]]]:
        things: list[tuple[object, str, dict[str, Any]]] = [
            (self._model, "model", lines_of(self._model)),
            (self._trainer, "trainer", _trainer(self._trainer)),
        ]
        things += [(thing, "settings", arguments_of(thing)) for thing in self._settings]
        described = [(thing, name, as_begun(thing, name, now) if known else now) for thing, name, now in things]
        return described + [(callback, "callback", _callback(callback, known)) for callback in self._callbacks]


def optimizer_of(model: L.LightningModule) -> str:
    """Describes the optimizers of a model and their schedules, if they are known without a fit."""
    return _configured(configured_optimizers(model))


def _configured(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_configured, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_configured(part)}' for name, part in value.items())}}}"
    if not isinstance(value, Optimizer) and isinstance(getattr(value, "optimizer", None), Optimizer):
        return schedule_of(value)
    return text_of(value)


def _train_inputs(datamodule: PoolDataModule, indices: Tensor) -> list[dict[str, Any]]:
    """Sketches of training inputs as they are scored: of all in memory, or of some samples that are read."""
    if len(indices) == 0:
        return []
    if not isinstance(datamodule.source, Arrays):
        blocks = list(datamodule.train_blocks(indices[_sample(len(indices))]))
    elif len(indices) == len(datamodule.indices_there):
        blocks = list(datamodule.train_blocks())
    else:  # chosen rows of a tensor share the memory of a block
        blocks = [map_tensors(Tensor.clone, block) for block in datamodule.train_blocks(indices)]
    return sketch(blocks, len(indices), _is_decoded(datamodule))


def _test_inputs(datamodule: PoolDataModule, num_rows: int) -> list[dict[str, Any]]:
    """Sketches of the test inputs: of all in memory, or of some samples that are read."""
    if num_rows == 0:
        return []
    source = datamodule.source
    blocks = source.test_blocks(_sample(num_rows)) if isinstance(source, Datasets) else source.test_blocks()
    return sketch(list(blocks), num_rows, _is_decoded(datamodule))


def _is_decoded(datamodule: PoolDataModule) -> bool:
    """Whether the values come from a decoder of images, or may do so."""
    return not isinstance(datamodule.source, Arrays) or hasattr(datamodule, "blocks_of")


def _sample(num_rows: int) -> Tensor:
    """All rows of a small data set. Of a larger one, fixed rows that include the first and the last."""
    if num_rows <= READ_ALL:
        return torch.arange(num_rows)
    drawn = np.random.RandomState(0).choice(np.arange(1, num_rows - 1), NUM_READ - 2, replace=False)
    return torch.from_numpy(np.sort(np.concatenate([[0, num_rows - 1], drawn])))


def _test_set(datamodule: PoolDataModule) -> dict[str, Any]:
    targets = datamodule.test_targets
    found: dict[str, Any] = {
        "size": len(targets),
        "targets": hashlib.sha256(targets.numpy().tobytes()).hexdigest(),
        "inputs": _test_inputs(datamodule, len(targets)),
    }
    names = _relative(datamodule.test_files(), getattr(datamodule, "root", None))
    if names:
        found["files"] = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()
        if len(names) <= MOST_NAMES:
            found["names"] = names
    return found


def _relative(files: Iterable[str], root: Path | str | None) -> list[str]:
    """Names of files relative to the folder of the data, because the folder may move."""
    names = []
    for file in files:
        path = Path(file)
        if root is not None:
            with suppress(ValueError):  # the file is in another folder
                path = path.relative_to(root)
        names.append(path.as_posix().encode("utf-8", "backslashreplace").decode())
    return names


def _trainer(trainer: L.Trainer) -> dict[str, str]:
    return {name: repr(getattr(trainer, name, None)) for name in TRAINER}


def _callbacks(callbacks: Iterable[Callback]) -> dict[str, Callback]:
    """Callbacks that change a fit, by name. This package's callbacks and stopping rules are among the settings."""
    found: dict[str, Callback] = {}
    for callback in callbacks:
        cls = type(callback)
        is_setting = cls.__module__.startswith("al_lightning.") or (
            isinstance(callback, EarlyStopping) and not is_own(cls)
        )
        duration = callback.time_remaining() if isinstance(callback, Timer) else None
        if not is_setting and not is_watching(f"{cls.__module__}.{cls.__qualname__}", {"duration": duration}):
            number = sum(type(other) is cls for other in found.values()) + 1
            found[class_path(callback) + (f" {number}" if number > 1 else "")] = callback
    return found


def _may_watch(callback: Callback) -> bool:
    """Whether the effect of a callback is unknown: neither its class nor a base class is Lightning's."""
    bases = [base for base in type(callback).__mro__ if base.__module__.split(".")[0] in LIGHTNING]
    return bases[0] is Callback or is_watching(f"{bases[0].__module__}.{bases[0].__qualname__}", {"duration": None})


def _callback(callback: Callback, known: bool) -> dict[str, str]:
    now = attributes_of(callback)
    if is_own(type(callback)):
        now["its code"] = digest_of_class(type(callback))
    named = {name: f"{name}={text}" for name, text in now.items()}
    return as_begun(callback, "callback", named) if known else named


def _augmentation(datamodule: PoolDataModule) -> dict[str, str]:
    """The transforms in the usual attributes of datasets and data modules, if any."""
    found = {}
    parts: list[tuple[str, Any]] = [("data", datamodule)]
    train = getattr(datamodule, "train", None)  # a DatasetPool
    while train is not None and len(parts) < 10:
        parts.append((f"train{'.dataset' * (len(parts) - 1)}", train))
        train = getattr(train, "dataset", None)  # a Subset
    for name, part in parts:
        for attribute in ("transform", "transforms", "train_transform", "augmentation"):
            value = vars(part).get(attribute) if hasattr(part, "__dict__") else None
            if value is not None:
                found[f"{name}.{attribute}"] = text_of(value)
    return found
