"""Ranks: the processes of a run, one for each device. Only the first process writes files and messages.

Lightning's ``ddp`` starts the other processes by running the same command again. Each other process runs this same code
with ``LOCAL_RANK`` set and keeps no state of its own. So if the first process fails, it ends all others. If another
process ends, the first one ends, too.
"""

import hashlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import lightning.pytorch as L
import torch
import torch.distributed as dist
from torch import Tensor, nn

from al_lightning.errors import InputError

T = TypeVar("T")

MAIN_PID = "AL_LIGHTNING_MAIN_PID"
"""Environment variable that tells a started process the id of the first process."""

LOOK_EVERY = 0.5
"""Seconds between two checks of a started process that the first one still runs."""

PATIENCE = 5.0
"""Seconds that a started process waits before it reports an error.

If the first one has the same error, it ends the others.
"""


_started: list[subprocess.Popen] = []
"""The processes that this one started: the launcher's own list. They outlive the trainer of the launcher."""


class Ranks:
    """The view of one process on the others. With a single process, all methods do nothing.

    Args:
        rank: Number of this process, from 0.
        size: Number of processes.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @property
    def is_writer(self) -> bool:
        """Whether this process writes the run folder and messages."""
        return self.rank == 0

    def on_writer(self, fn: Callable[[], T]) -> T:
        """Calls ``fn`` in the first process only, and returns its result in all processes.

        An error in ``fn`` is not passed on: it ends the run, and with it the other processes.
        """
        if self.size == 1:
            return fn()
        values = [fn() if self.is_writer else None]
        dist.broadcast_object_list(values, src=0)
        return cast(T, values[0])

    def gather(self, value: T) -> list[T]:
        """Returns the values of all processes, by rank. The values may differ in type and shape."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size  # objects, because gloo aborts the process if tensors differ in shape
        dist.all_gather_object(values, value)
        return values

    def share_buffers(self, model: nn.Module) -> None:
        """Gives all processes the buffers of the first one. DDP synchronises parameters, but not running statistics."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)

    def check_same(self, what: str, tensors: Iterable[Tensor], hint: str = "") -> None:
        """Raises :class:`InputError` in all processes, unless the tensors have the same bits in all processes."""
        if self.size == 1:
            return
        digest = hashlib.sha256()
        for tensor in tensors:
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        digests = self.gather(digest.digest())
        differing = [rank for rank, other in enumerate(digests) if other != digests[0]]
        if differing:
            raise InputError(
                f"Expected {what} to be the same on all devices, but that of rank {differing[0]} differs{hint}."
            )


@contextmanager
def joined(trainer: L.Trainer) -> Iterator[Ranks]:
    """Starts the processes of a trainer's devices and joins them, long before the first fit.

    Lightning would start them in its first fit. But then it is too late to agree on the process that opens the run
    folder. The fits find the processes started and joined, and keep them.

    Raises:
        InputError: If another process ended before the run did.
    """
    if trainer.world_size == 1:
        yield Ranks()
        return
    connector: Any = trainer._signal_connector
    over = threading.Event()
    if os.environ.get("LOCAL_RANK", "0") == "0":
        os.environ[MAIN_PID] = str(os.getpid())
    elif MAIN_PID in os.environ:  # skipped if another program started all processes, such as torchrun
        threading.Thread(target=_end_with, args=(int(os.environ[MAIN_PID]), over), daemon=True).start()
    # The loaders of this package give each process its share. With a user's own loaders, each process tests everything.
    trainer._accelerator_connector.use_distributed_sampler = False
    # On SIGTERM, Lightning broadcasts in the signal handler. If the processes are in another collective, they hang.
    connector.register_signal_handlers = lambda: None
    try:
        _launch(trainer)
        yield Ranks(trainer.global_rank, trainer.world_size)
        trainer.strategy.barrier()  # afterwards the run folder is complete for all readers
    except Exception as error:
        if trainer.global_rank > 0:
            time.sleep(PATIENCE)
            raise
        ended = _end(patience=1.0 if isinstance(error, RuntimeError) else 0.0)
        if ended is not None and isinstance(error, RuntimeError):  # a collective failed: the other process is gone
            raise InputError(
                f"Expected the processes of all {trainer.world_size} devices to go on, but that of rank {ended[0]} "
                f"ended with code {ended[1]}; the same command continues the run."
            ) from error
        raise
    except BaseException:
        _end(patience=0.0)
        raise
    finally:
        over.set()
        del connector.register_signal_handlers


def _launch(trainer: L.Trainer) -> None:
    """Starts the other processes, unless they run, and joins them. Each fit tries this, too, and finds it done."""
    global _started
    launcher: Any = trainer.strategy.launcher
    num_threads = torch.get_num_threads()
    try:
        launcher.launch(trainer.strategy.setup_environment)
    finally:
        torch.set_num_threads(num_threads)  # the launcher uses all cores for each process
        _started = launcher.procs or _started


def _end_with(main_pid: int, over: threading.Event) -> None:
    """Ends this process when the first one is gone, even by SIGKILL and during any work."""
    while not over.wait(LOOK_EVERY):
        if os.getppid() != main_pid:
            os._exit(1)


def _end(patience: float) -> tuple[int, int] | None:
    """Ends the processes that this one started.

    Args:
        patience: Seconds to wait for a process that is already ending.

    Returns:
        Rank and exit code of a process that had ended by itself; ``None`` if there is none.
    """
    started = list(_started)
    _started.clear()  # Lightning's observer reads this list, and kills this process when one of them ends
    deadline = time.monotonic() + patience
    while (ended := _first_ended(started)) is None and started and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in started:
        process.kill()
    for process in started:
        process.wait()
    return ended


def _first_ended(processes: list[subprocess.Popen]) -> tuple[int, int] | None:
    codes = [(rank, process.poll()) for rank, process in enumerate(processes, start=1)]
    return next(((rank, code) for rank, code in codes if code is not None), None)
