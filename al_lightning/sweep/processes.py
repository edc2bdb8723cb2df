"""The processes that a sweep starts: how they start and stop, and what went wrong in them."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from al_lightning.sweep.lifeline import GRACE, LIFELINE
from al_lightning.sweep.plan import PlannedRun

SCRIPT = str(Path(__file__).resolve().with_name("start.py"))
SYS_PATH = "AL_LIGHTNING_SWEEP_PATH"
"""Environment variable in which that script finds the ``sys.path`` of the sweep, one folder a line."""


def run_to_its_end(run: PlannedRun, folder: str, path: Sequence[str]) -> str | None:
    """Runs a run in a process of its own, which ends if the caller is interrupted.

    Args:
        run: The run.
        folder: The working directory.
        path: ``sys.path`` of the sweep.

    Returns:
        What went wrong; ``None`` if nothing did.
    """
    try:
        process = start(run, folder, path)
    except OSError as error:
        return sentence(error)
    try:
        return wait(run, process)
    finally:
        stop([process])


def start(run: PlannedRun, folder: str, path: Sequence[str]) -> subprocess.Popen:
    """Starts a run; its log gets the command first, then all that the process says.

    Raises:
        OSError: If the folder of the log cannot be made or written.
    """
    run.log.parent.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",  # also for what --num_threads does not govern
        "PYTHONUNBUFFERED": "1",  # the log is there as it is written
        SYS_PATH: "\n".join(path),
        LIFELINE: "1",
    }
    with run.log.open("ab") as log:
        log.write(f"$ {run.command}\n".encode())
        log.flush()
        return subprocess.Popen(
            [sys.executable, SCRIPT, *run.words],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C is for the sweep, which passes it on
        )


def wait(run: PlannedRun, process: subprocess.Popen) -> str | None:
    """Waits for a run; returns what went wrong: the last thing that the run said."""
    code = process.wait()
    _close(process)
    if code == 0:
        return None
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    try:
        said = run.log.read_text(errors="replace").rpartition(f"$ {run.command}\n")[2]  # not by earlier attempts
    except OSError:  # someone took it away
        said = ""
    return last_error(said, f"exit code {code}").removeprefix("al-lightning: error: ")


def stop(processes: Iterable[subprocess.Popen]) -> None:
    """Tells processes to stop, and kills those that do not, or all of them at a second Ctrl-C."""
    processes = list(processes)
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


def sys_path() -> list[str]:
    """Returns the folders of ``sys.path``, for another process; the empty one is the working directory."""
    return [folder or os.getcwd() for folder in sys.path if isinstance(folder, str)]


def python(module: str) -> list[str]:
    """Returns the first words of a command that runs ``main`` of a module, which finds modules where this process does.

    ``python -m`` would have the working directory before all else, and take a file there for a module of the standard
    library that has its name. ``al-lightning fit`` has it last.
    """
    # sys is built in: nothing is looked for before the path is set
    return [sys.executable, "-c", f"import sys; sys.path[:] = {sys_path()!a}; from {module} import main; main()"]


def last_error(said: str, otherwise: str) -> str:
    """Returns the last error in what a process said, or else its last line, or else another sentence."""
    lines = [line for line in said.splitlines() if line.strip()]
    # a message may go on for many lines after the one that names the exception
    errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception): ", line)]
    return (errors or lines or [otherwise])[-1].strip()


def sentence(error: OSError) -> str:
    """Returns what the system says went wrong, and with which file."""
    what = error.strerror or str(error)
    return f"{what}: {error.filename}" if error.filename else what
