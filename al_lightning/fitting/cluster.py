"""A run on a cluster: SLURM may stop a run and start it again, but only the run folder says where the run goes on.

Lightning can requeue a job itself. On a signal it writes ``hpc_ckpt_1.ckpt`` to the working folder and calls
``scontrol``. Under SLURM it then loads any such file in every ``fit`` and ``test``. In a run of many fits, every fit
would start from that file, and every test would test that file.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch.utilities import rank_zero_only

from al_lightning.errors import InputError, Interrupted


def one_process_environment(devices: object, num_nodes: int, plugins: object) -> LightningEnvironment | None:
    """Returns the environment that keeps Lightning from using the variables of SLURM.

    ``al-lightning`` starts the processes of its devices itself. So SLURM must start one task for a run.

    Args:
        devices: The argument of the trainer.
        num_nodes: The argument of the trainer.
        plugins: The argument of the trainer. If it has an environment, that environment stays.

    Returns:
        The plugin to add to the trainer's plugins; ``None`` without SLURM, or if the user chose an environment.

    Raises:
        InputError: If SLURM started a wrong number of tasks for a run on several devices.
    """
    given = plugins if isinstance(plugins, list | tuple) else [plugins]
    if "SLURM_NTASKS" not in os.environ or num_nodes != 1 or TorchElasticEnvironment.detect():
        return None
    if any(isinstance(plugin, ClusterEnvironment) for plugin in given):
        return None
    num_tasks, num_devices = _number(os.environ["SLURM_NTASKS"]), _count(devices)
    if num_tasks == 1 or num_devices == 1:
        return LightningEnvironment()
    if num_devices is not None and num_tasks != num_devices:
        raise InputError(
            f"Expected one task of SLURM, which starts a process for each of {num_devices} devices itself, "
            f"but got {os.environ['SLURM_NTASKS']}; see `--ntasks` of sbatch and srun."
        )
    return None


@contextmanager
def detached(trainer: L.Trainer) -> Iterator[None]:
    """Keeps Lightning from loading and writing the checkpoints of a requeued job, and from requeueing it.

    The signal to requeue, SIGUSR1 if the trainer's environment names no other, raises
    :class:`~al_lightning.errors.Interrupted`. A handler that the user has set stays.

    Raises:
        InputError: If ``trainer.ckpt_path`` is set: all fits would start from that file.
    """
    checkpoints: Any = trainer._checkpoint_connector
    if trainer.ckpt_path is not None and checkpoints._user_managed:
        raise InputError(
            f"Expected `trainer.ckpt_path` not to be set, for each fit would start from it, but got "
            f"{trainer.ckpt_path}; load the weights into the model and set `loop.reinit` to initial or warm."
        )
    connector: Any = trainer._accelerator_connector
    ranks: Any = rank_zero_only  # Lightning keeps the rank of the process on this function
    environment, rank = connector.cluster_environment, ranks.rank
    select = checkpoints._select_ckpt_path

    def select_given(fn: object, path: object, **kwargs: bool) -> object:
        # without a path Lightning looks for files of requeued jobs and of OnExceptionCheckpoint
        return None if path is None else select(fn, path, **kwargs)

    checkpoints._select_ckpt_path = select_given
    if trainer.world_size == 1:
        if isinstance(environment, SLURMEnvironment):
            connector.cluster_environment = LightningEnvironment()
        ranks.rank = 0  # Lightning takes SLURM_PROCID for the rank, so that loggers of a single run would write nothing
    try:
        requeue = {getattr(signal, "SIGUSR1", None), getattr(environment, "requeue_signal", None)}
        with _interrupted_by(requeue - {None}):
            yield
    finally:
        del checkpoints._select_ckpt_path
        connector.cluster_environment, ranks.rank = environment, rank


@contextmanager
def _interrupted_by(signals: set[Any]) -> Iterator[None]:
    """Raises Interrupted on signals that would end the process silently."""
    if threading.current_thread() is not threading.main_thread():  # another thread cannot set handlers
        yield
        return
    default = {number for number in signals if signal.getsignal(number) in (None, signal.SIG_DFL)}
    for number in default:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in default:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise Interrupted(signum)


def check_tasks(trainer: L.Trainer) -> None:
    """Raises InputError if a trainer would hang, because it waits for tasks that SLURM did not start."""
    connector: Any = trainer._accelerator_connector
    num_tasks = os.environ.get("SLURM_NTASKS", "1")
    num_devices = trainer.num_devices * trainer.num_nodes  # the world size comes from SLURM
    if isinstance(connector.cluster_environment, SLURMEnvironment) and _number(num_tasks) != num_devices:
        raise InputError(
            f"Expected SLURM to start a task for each of {num_devices} devices, but it started {num_tasks}; "
            "give the trainer `plugins=[LightningEnvironment()]`, and it starts their processes itself."
        )


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _count(devices: object) -> int | None:
    """The number of devices in the trainer's argument; ``None`` if the machine decides."""
    if isinstance(devices, str):
        if "," in devices:
            return len([word for word in devices.split(",") if word.strip()])
        return _number(devices.strip())
    if isinstance(devices, list | tuple):
        return len(devices)
    return devices if isinstance(devices, int) and devices > 0 else None
