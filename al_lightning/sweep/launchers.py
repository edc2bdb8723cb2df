"""Where runs run: on this machine, or wherever a Ray cluster puts them. Either way a run is a process."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from al_lightning.errors import InputError
from al_lightning.sweep.plan import Run, Study
from al_lightning.sweep.processes import GRACE, last_error, python
from al_lightning.sweep.ray_address import cluster_address


class Launcher(Protocol):
    """Starts runs and says which have ended."""

    def has_room(self) -> bool:
        """Whether to submit another one."""

    def submit(self, run: Run) -> None:
        """Starts a run, or queues it where something else has a queue."""

    def running(self) -> list[Run]:
        """Those that run now, in the order submitted."""

    def ended(self) -> list[tuple[Run, str | None]]:
        """Those that ended since the last call, each with what went wrong, if anything did."""

    def is_idle(self) -> bool:
        """Whether all that were submitted have ended."""

    def stop(self) -> None:
        """Stops all that run: each is told to stop, and killed if it does not."""


def check_launcher(study: Study) -> None:
    """Raises :class:`InputError` if the launcher of a study cannot be had: before anything is written for it."""
    if study.launcher == "ray":
        _import_ray()
        cluster_address()


def make_launcher(study: Study) -> Launcher:
    """Returns the launcher that a study asks for.

    Raises:
        InputError: If it is Ray and there is none.
    """
    if study.launcher == "ray":
        return RayLauncher(study.processes)
    return LocalLauncher(study.processes or num_cores())


def num_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalLauncher:
    """Runs processes on this machine.

    Args:
        processes: The most at a time.
    """

    def __init__(self, processes: int) -> None:
        self._max = processes
        self._processes: dict[Run, subprocess.Popen] = {}
        self._not_started: list[tuple[Run, str | None]] = []

    def has_room(self) -> bool:
        return len(self._processes) < self._max

    def submit(self, run: Run) -> None:
        try:
            self._processes[run] = _start(run, os.getcwd(), sys.path)
        except OSError as error:  # of its folder or its log; the others have theirs
            self._not_started.append((run, _sentence(error)))

    def running(self) -> list[Run]:
        return list(self._processes)

    def ended(self) -> list[tuple[Run, str | None]]:
        codes = {run: process.poll() for run, process in self._processes.items()}
        done = [(run, code) for run, code in codes.items() if code is not None]
        for run, _ in done:
            _close(self._processes.pop(run))
        not_started, self._not_started = self._not_started, []
        return not_started + [(run, _error(run, code)) for run, code in done]

    def is_idle(self) -> bool:
        return not self._processes and not self._not_started

    def stop(self) -> None:
        _stop(list(self._processes.values()))
        self._processes.clear()


class RayLauncher:
    """Hands runs to Ray, each as a task of one CPU, and leaves it to Ray where and when they run.

    A task is the same process as of :class:`LocalLauncher`. If its machine is lost, Ray starts it again elsewhere,
    where it continues from its last round.

    Args:
        processes: The most at a time; ``None`` for as many as Ray has room for.

    Raises:
        InputError: If Ray is not installed, or its cluster does not answer or refuses this machine.
    """

    def __init__(self, processes: int | None) -> None:
        self._path = list(sys.path)  # Ray adds folders of its own
        ray = _import_ray()
        self._ray = ray
        self._max = processes
        self._tasks: dict[Any, Run] = {}
        self._log_sizes: dict[Run, int] = {}
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        address = cluster_address()
        with _signal_handlers_kept():
            if address is None:
                os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a Ray of ours reports to nobody
                ray.init(address="local", num_cpus=processes or num_cores(), include_dashboard=False, **options)
            else:
                _connect(ray, address, options)
        self._remote = ray.remote(num_cpus=1)(_run_to_its_end)

    def has_room(self) -> bool:
        return self._max is None or len(self._tasks) < self._max

    def submit(self, run: Run) -> None:
        self._log_sizes[run] = _size_of_log(run)
        self._tasks[self._remote.options(name=str(run)).remote(run, os.getcwd(), self._path)] = run

    def running(self) -> list[Run]:
        # a task that has begun has written its command; the clocks of two machines would not tell
        return [run for run in self._tasks.values() if _size_of_log(run) > self._log_sizes[run]]

    def ended(self) -> list[tuple[Run, str | None]]:
        if not self._tasks:
            return []
        done, _ = self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0)
        return [(self._tasks.pop(task), self._result(task)) for task in done]

    def _result(self, task: Any) -> str | None:
        try:
            return self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            return (str(error).strip().splitlines() or [type(error).__name__])[-1]

    def is_idle(self) -> bool:
        return not self._tasks

    def stop(self) -> None:
        # ends the workers of this job, and their processes with them: see child.py
        for task in self._tasks:
            self._ray.cancel(task, force=True)
        self._tasks.clear()
        self._ray.shutdown()


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "Expected Ray to be installed for `--launcher ray`, but it is not: pip install 'al-lightning[ray]'."
        ) from error
    return ray


def _connect(ray: Any, address: str, options: dict[str, Any]) -> None:
    """Connects to a cluster, and to no other one."""
    print(f"Connecting to the Ray cluster at {address}.", flush=True)
    try:
        ray.init(address=address, **options)
    except (ConnectionError, ImportError, OSError, RuntimeError, TimeoutError, ValueError) as error:
        raise InputError(
            f"Expected the Ray cluster at {address} to take this machine in, but got: {' '.join(str(error).split())}"
        ) from error


def _run_to_its_end(run: Run, folder: str, path: Sequence[str]) -> str | None:
    """Runs a run in a worker of Ray; returns what went wrong, if anything did."""
    try:
        process = _start(run, folder, path)
    except OSError as error:
        return _sentence(error)
    try:
        return _error(run, process.wait())
    finally:
        _stop([process])


def _start(run: Run, folder: str, path: Sequence[str]) -> subprocess.Popen:
    run.log.parent.mkdir(parents=True, exist_ok=True)
    with run.log.open("ab") as log:
        log.write(f"$ {run.command}\n".encode())
        log.flush()
        return subprocess.Popen(
            [*python("al_lightning.sweep.child", path), *run.words],
            cwd=folder,
            # one thread also for what --num_threads does not govern; and the log is there as it is written
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C is for the sweep, which passes it on
        )


def _stop(processes: list[subprocess.Popen]) -> None:
    """Tells processes to stop, and kills those that do not, or all of them at a second Ctrl-C."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE
    try:
        for process in processes:
            try:
                process.wait(timeout=max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                continue
    finally:
        for process in processes:
            process.kill()
            process.wait()
            _close(process)


def _close(process: subprocess.Popen) -> None:
    assert process.stdin is not None
    process.stdin.close()


def _error(run: Run, code: int) -> str | None:
    """What went wrong with a run: the last thing that it said."""
    if code == 0:
        return None
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    try:
        said = run.log.read_text(errors="replace").rpartition(f"$ {run.command}\n")[2]  # not by earlier attempts
    except OSError:  # someone took it away
        said = ""
    return last_error(said, f"exit code {code}").removeprefix("al-lightning: error: ")


def _sentence(error: OSError) -> str:
    what = error.strerror or str(error)
    return f"{what}: {error.filename}" if error.filename else what


def _size_of_log(run: Run) -> int:
    try:
        return run.log.stat().st_size
    except OSError:
        return 0


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself."""
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
