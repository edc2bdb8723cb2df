"""What a trainer and the sizes of a run have to be, before anything is made or written."""

import lightning.pytorch as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from al_lightning.errors import InputError
from al_lightning.fitting.cluster import check_tasks
from al_lightning.fitting.lightning_insides import callbacks_of


def check_trainer(trainer: L.Trainer, loop: Callback) -> None:
    """Raises :class:`InputError` if a trainer cannot run a loop.

    Args:
        trainer: Its callbacks, devices and limits are looked at.
        loop: Has to be among the callbacks.
    """
    if loop not in callbacks_of(trainer):
        raise InputError("Expected the loop among the trainer's callbacks: Trainer(callbacks=[loop, ...]).")
    if trainer.world_size > 1:
        _check_devices(trainer)
    if trainer.limit_test_batches == 0:
        raise InputError("Expected `trainer.limit_test_batches` to leave something to test, but got 0.")


def check_sizes(pool_size: int, query_size: int, num_rounds: int) -> None:
    """Raises :class:`InputError` if the queries of a run need more samples than the pool has."""
    if query_size > pool_size:
        raise InputError(f"Expected `loop.query_size` to be at most the pool size {pool_size}, but got {query_size}.")
    if num_rounds * query_size > pool_size:
        raise InputError(
            f"Expected `loop.num_rounds` to be at most {pool_size // query_size}, which uses up the pool of "
            f"{pool_size} by queries of {query_size}, but got {num_rounds}."
        )


def _check_devices(trainer: L.Trainer) -> None:
    """Refuses what starts processes anew in each fit (Lightning #18775), and what was never tried."""
    strategy, launcher = trainer.strategy, trainer.strategy.launcher
    if type(strategy) is not DDPStrategy or not isinstance(launcher, _SubprocessScriptLauncher):
        name = f"ddp_{strategy._start_method}" if isinstance(strategy, DDPStrategy) else type(strategy).__name__
        raise InputError(
            f"Expected `trainer.strategy` to be ddp for {trainer.world_size} devices, but got {name}; for one "
            "device, set `trainer.devices` to 1."
        )
    check_tasks(trainer)
    if trainer.num_nodes > 1:
        raise InputError(f"Expected `trainer.num_nodes` to be 1, but got {trainer.num_nodes}.")
