"""Ranks: the processes of a run, one a device, of which the first alone writes and speaks.

Lightning's ``ddp`` starts the others by running the same command again. They get here by the same way, with
``LOCAL_RANK`` set, and hold nothing that is not in the run folder or can be computed again. So whatever goes wrong in
the first process, it ends them; and if one of them ends, the first one does, too.
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
"""Environment variable by which the processes that were started know the one that started them."""

LOOK_EVERY = 0.5
"""Seconds between two looks of such a process at whether the first one is still there."""

PATIENCE = 5.0
"""Seconds for which such a process keeps an error to itself: the first one, if it met the same, ends it meanwhile."""


_started: list[subprocess.Popen] = []
"""The processes that this one started, as its launcher has them: they outlive the trainer of their launcher."""


class Ranks:
    """What a process knows of the others. With one process all of this does nothing.

    Args:
        rank: Number of this process, from 0.
        size: Number of processes.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @property
    def is_writer(self) -> bool:
        """Whether this process writes the run folder and speaks."""
        return self.rank == 0

    def on_writer(self, fn: Callable[[], T]) -> T:
        """Calls ``fn`` in the first process only and returns in all of them what it returns there.

        What it raises there is not passed on: it ends the run, and with it the other processes.
        """
        if self.size == 1:
            return fn()
        values = [fn() if self.is_writer else None]
        dist.broadcast_object_list(values, src=0)
        return cast(T, values[0])

    def gather(self, value: T) -> list[T]:
        """Returns the values of all processes, by rank. They need not be alike."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size  # objects: gloo aborts the process if tensors differ in shape
        dist.all_gather_object(values, value)
        return values

    def share_buffers(self, model: nn.Module) -> None:
        """Gives all processes the first one's buffers; DDP keeps parameters the same, but not running statistics."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)

    def check_same(self, what: str, tensors: Iterable[Tensor], hint: str = "") -> None:
        """Raises :class:`InputError`, in all processes, unless these tensors are the same bits in all of them."""
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
    """Starts the processes of a trainer's devices and joins them, long before its fits would.

    Lightning starts them in its first fit. But then it is too late to agree on who opens the run folder. Its fits find
    the processes started and joined, and leave them so.

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
    elif MAIN_PID in os.environ:  # not if something else started all processes, such as torchrun
        threading.Thread(target=_end_with, args=(int(os.environ[MAIN_PID]), over), daemon=True).start()
    # our loaders give each process what it is to have; of a user's own, each is to test all
    trainer._accelerator_connector.use_distributed_sampler = False
    # on SIGTERM Lightning broadcasts in the signal handler, amid whatever collective the processes are in: they hang
    connector.register_signal_handlers = lambda: None
    try:
        _launch(trainer)
        yield Ranks(trainer.global_rank, trainer.world_size)
        trainer.strategy.barrier()  # whoever reads the run folder next finds it whole
    except Exception as error:
        if trainer.global_rank > 0:
            time.sleep(PATIENCE)
            raise
        ended = _end(patience=1.0 if isinstance(error, RuntimeError) else 0.0)
        if ended is not None and isinstance(error, RuntimeError):  # of a collective whose other end is gone
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
    """Starts the other processes, unless they are there, and joins them. Each fit does so, too, and finds it done."""
    global _started
    launcher: Any = trainer.strategy.launcher
    num_threads = torch.get_num_threads()
    try:
        launcher.launch(trainer.strategy.setup_environment)
    finally:
        torch.set_num_threads(num_threads)  # the launcher takes as many as there are cores to a process
        _started = launcher.procs or _started


def _end_with(main_pid: int, over: threading.Event) -> None:
    """Ends this process when the first one is gone, also by SIGKILL, whatever it is doing."""
    while not over.wait(LOOK_EVERY):
        if os.getppid() != main_pid:
            os._exit(1)


def _end(patience: float) -> tuple[int, int] | None:
    """Ends the processes that this one started.

    Args:
        patience: Seconds to wait for one that is about to end by itself.

    Returns:
        Rank and exit code of one that had ended by itself, if one had.
    """
    started = list(_started)
    _started.clear()  # Lightning's observer looks at this very list, and kills this process when one of them ends
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
