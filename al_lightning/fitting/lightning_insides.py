"""Private parts of Lightning's trainer that a run of many fits needs, each with the reason."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback, ModelSummary
from lightning.pytorch.loops.utilities import _reset_progress
from lightning.pytorch.profilers import PassThroughProfiler


def callbacks_of(trainer: L.Trainer) -> list[Callback]:
    """The callbacks of a trainer, in a new list."""
    return list(trainer.callbacks)  # type: ignore[attr-defined]


@contextmanager
def with_callback(trainer: L.Trainer, callback: Callback) -> Iterator[None]:
    """Adds a callback to a trainer, unless it is there already."""
    if any(one is callback for one in callbacks_of(trainer)):
        yield
        return
    trainer.callbacks.append(callback)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        trainer.callbacks[:] = [one for one in callbacks_of(trainer) if one is not callback]  # type: ignore[attr-defined]


@contextmanager
def in_place_of(trainer: L.Trainer, callback: Callback, other: Callback) -> Iterator[None]:
    """Puts another callback in the place of a trainer's callback."""

    def replace(old: Callback, new: Callback) -> None:
        trainer.callbacks[:] = [new if one is old else one for one in callbacks_of(trainer)]  # type: ignore[attr-defined]

    replace(callback, other)
    try:
        yield
    finally:
        replace(other, callback)


def count_steps_from(trainer: L.Trainer, step: int) -> None:
    """Sets the number by which loggers count the steps of fits and tests."""
    trainer.fit_loop.epoch_loop._batches_that_stepped = step


def forget_fits(trainer: L.Trainer) -> None:
    """Lets a trainer fit once more.

    A trainer counts its epochs across fits, so that its second fit trains nothing: Lightning #9636, #11425.
    """
    _reset_progress(trainer.fit_loop)
    trainer.fit_loop._last_train_dl_reload_epoch = float("-inf")


def has_trained(trainer: L.Trainer) -> bool:
    """Whether the last fit has begun with a minibatch."""
    return trainer.fit_loop.epoch_loop.batch_progress.total.ready > 0


@contextmanager
def at_end_of_training(trainer: L.Trainer, function: Callable[[], None]) -> Iterator[None]:
    """Calls a function after the hooks ``on_train_end`` of all callbacks and of the module.

    Callbacks that average weights put the averages into the model in this hook. Lightning calls the hook of its
    strategy last, so the order of the callbacks does not matter.
    """
    strategy: Any = trainer.strategy
    last = strategy.on_train_end

    def on_train_end() -> None:
        last()
        function()

    strategy.on_train_end = on_train_end
    try:
        yield
    finally:
        del strategy.on_train_end


def logs_itself(trainer: L.Trainer, name: str) -> bool:
    """Whether the module itself logs a metric of this name. The loop's metric wins if both are logged."""
    results = trainer._results
    return results is not None and any(result.meta.name == name for result in results.result_metrics)


@contextmanager
def no_gpu_queries() -> Iterator[None]:
    """Keeps each optimizer step from asking the driver for GPUs on a machine without GPUs.

    Lightning makes torch load the driver's library for this question, so that the process does not initialise CUDA
    before it forks. If the library is missing, torch tries to load it each time. Then every optimizer step of a fit
    takes twice as long.
    """
    name = "PYTORCH_NVML_BASED_CUDA_CHECK"
    value = None if torch.cuda.is_available() else os.environ.pop(name, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[name] = value


@contextmanager
def quiet(trainer: L.Trainer) -> Iterator[bool]:
    """Keeps Lightning from repeating the same messages in each of a hundred fits.

    Yields:
        Whether the trainer was to show its progress.
    """
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    callbacks, bar = callbacks_of(trainer), trainer.progress_bar_callback
    trainer.callbacks = [c for c in callbacks if not isinstance(c, ModelSummary)]  # type: ignore[attr-defined]
    if bar is not None:
        bar.disable()
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    if not isinstance(trainer.profiler, PassThroughProfiler):  # type: ignore[attr-defined]
        loggers.append(logging.getLogger("lightning.pytorch.profilers.profiler"))
        levels.append(loggers[-1].level)
        loggers[-1].setLevel(logging.INFO)  # the user asked for its report
    try:
        with warnings.catch_warnings():
            # Tensors in memory need no worker processes, and an epoch may be shorter than the logging interval.
            warnings.filterwarnings("ignore", ".*does not have many workers.*")
            warnings.filterwarnings("ignore", ".*is smaller than the logging interval.*")
            # Lightning 2.6 with torch 2.14 and later, at every transfer of a batch
            warnings.filterwarnings("ignore", ".*LeafSpec.*is deprecated")
            # Each device tests the whole test set.
            warnings.filterwarnings("ignore", ".*It is recommended to use `self.log.*sync_dist=True")
            yield bar is not None
    finally:
        trainer.callbacks = callbacks  # type: ignore[attr-defined]
        if bar is not None:
            bar.enable()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
