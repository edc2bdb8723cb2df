"""Launchers: where the runs of a sweep run. A launcher takes a run and returns a future of how the run ended."""

import os
from abc import ABC, abstractmethod
from concurrent.futures import Future, ThreadPoolExecutor
from subprocess import Popen

from al_lightning.sweep.plan import PlannedRun
from al_lightning.sweep.processes import start, stop, sys_path, wait


class Launcher(ABC):
    """Runs the runs of a sweep, each as the command ``run.command`` or as a process of :func:`run_to_its_end`.

    A class of your own is ``--launcher my_module.MyLauncher``. It needs :meth:`submit` alone.

    Args:
        processes: The most runs at a time, as ``--processes``; ``None`` if it was not given.

    Raises:
        InputError: If the launcher cannot be had; nothing is written or started by then.

    Example:
        >>> from al_lightning.sweep.processes import run_to_its_end, sys_path
        >>> class Threads(Launcher):
        ...     pool = ThreadPoolExecutor(8)
        ...
        ...     def submit(self, run):
        ...         return self.pool.submit(run_to_its_end, run, os.getcwd(), sys_path())
    """

    def __init__(self, processes: int | None) -> None:
        self.max_running = processes
        """The most runs that are submitted at a time; ``None`` if the launcher has a queue of its own."""

    def start(self) -> None:  # noqa: B027
        """Connects to what runs the runs, once the sweep has its folder."""

    @abstractmethod
    def submit(self, run: PlannedRun) -> Future[str | None]:
        """Starts a run, or queues it.

        Returns:
            What went wrong, once the run has ended; ``None`` if nothing did. An exception also says that it went wrong.
        """

    def stop(self) -> None:  # noqa: B027
        """Ends the runs that were submitted and did not end, because the sweep ends.

        By default they go on: the jobs of a batch system outlive the sweep that submitted them.
        """


class LocalLauncher(Launcher):
    """Runs processes on this machine: as many at a time as there are cores, if not told otherwise."""

    def __init__(self, processes: int | None) -> None:
        super().__init__(processes or num_cores())
        self._processes: list[Popen] = []
        self._pool = ThreadPoolExecutor(self.max_running)  # its threads wait for processes

    def submit(self, run: PlannedRun) -> Future[str | None]:
        process = start(run, os.getcwd(), sys_path())
        self._processes.append(process)
        return self._pool.submit(wait, run, process)

    def stop(self) -> None:
        stop(self._processes)
        self._pool.shutdown()


def num_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
