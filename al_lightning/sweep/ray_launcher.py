"""RayLauncher: runs run wherever a Ray cluster puts them."""

import logging
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from al_lightning.errors import InputError
from al_lightning.sweep.launchers import Launcher, num_cores
from al_lightning.sweep.plan import PlannedRun
from al_lightning.sweep.processes import run_to_its_end, sys_path
from al_lightning.sweep.ray_address import cluster_address


class RayLauncher(Launcher):
    """Hands runs to Ray, each as a task of one CPU, and leaves it to Ray where and when they run.

    A task starts the same process as :class:`LocalLauncher`. If the machine of a task is lost, Ray starts the task on
    another machine, where the run continues from its last round.

    Args:
        processes: The most runs at a time; ``None`` for as many as Ray has room for.

    Raises:
        InputError: If Ray is not installed, or its cluster does not answer or refuses this machine.
    """

    def __init__(self, processes: int | None) -> None:
        super().__init__(processes)
        try:
            import ray
        except ImportError as error:
            raise InputError(
                "Expected Ray to be installed for `--launcher ray`, but it is not: pip install 'al-lightning[ray]'."
            ) from error
        self._path = sys_path()  # Ray adds folders of its own
        self._ray = ray
        self._address = cluster_address()
        self._tasks: dict[Future[str | None], Any] = {}

    def start(self) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        with _signal_handlers_kept():
            if self._address is None:
                os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a Ray of ours reports to nobody
                num_cpus = self.max_running or num_cores()
                self._ray.init(address="local", num_cpus=num_cpus, include_dashboard=False, **options)
            else:
                self._connect(self._address, options)
        self._remote = self._ray.remote(num_cpus=1)(run_to_its_end)

    def _connect(self, address: str, options: dict[str, Any]) -> None:
        """Connects to a cluster, and to no other one."""
        print(f"Connecting to the Ray cluster at {address}.", flush=True)
        try:
            self._ray.init(address=address, **options)
        except (ConnectionError, ImportError, OSError, RuntimeError, TimeoutError, ValueError) as error:
            raise InputError(
                f"Expected the Ray cluster at {address} to take this machine in, but got: "
                f"{' '.join(str(error).split())}"
            ) from error

    def submit(self, run: PlannedRun) -> Future[str | None]:
        task = self._remote.options(name=str(run)).remote(run, os.getcwd(), self._path)
        future: Future[str | None] = task.future()
        self._tasks[future] = task
        return future

    def stop(self) -> None:
        # ends the workers of this job, and their processes with them: see lifeline.py
        for future, task in self._tasks.items():
            if not future.done():
                self._ray.cancel(task, force=True)
        self._tasks.clear()
        self._ray.shutdown()


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Puts back the handlers of Ctrl-C and SIGTERM: Ray takes SIGTERM for itself."""
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
