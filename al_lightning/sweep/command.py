"""``al-lightning sweep``: reads a study, sees what of it is done, and runs the rest."""

import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from filelock import FileLock, Timeout

from al_lightning.errors import InputError
from al_lightning.run_folder import RunFolder
from al_lightning.sweep.check import check
from al_lightning.sweep.display import SweepDisplay
from al_lightning.sweep.launchers import Launcher, make_launcher, num_cores
from al_lightning.sweep.study import Run, Study, read_study

POLL = 0.1
"""Seconds between two looks at which runs have ended."""


def run(words: Sequence[str]) -> None:
    """Runs a sweep.

    Args:
        words: The words of the command line after ``sweep``.

    Raises:
        InputError: If they are bad, or the study's folder is in use; then nothing was written.
        SystemExit: With code 1 if a run failed.
    """
    study = read_study(words)
    settings = check(study.arms)
    num_rounds = {name: setting["loop"]["num_rounds"] for name, setting in settings.items()}
    rounds_done = {run: _rounds_done(run, settings[run.arm.name]) for run in study.runs}
    finished = [run for run, done in rounds_done.items() if done > num_rounds[run.arm.name]]
    waiting = [run for run in study.runs if run not in set(finished)]
    if study.dry_run:
        for run, done in rounds_done.items():
            print(f"{run.command}  # {_state(done, num_rounds[run.arm.name])}")
        print(f"# {len(study.runs)} runs, of which {len(finished)} are finished")
    elif waiting:
        _run_locked(study, num_rounds, finished, waiting)
    else:
        print(f"All {len(finished)} runs in {study.out} are finished.")


def _rounds_done(run: Run, settings: Mapping[str, Any]) -> int:
    """Number of fits that are done.

    A folder that is not whole counts as not begun: fit continues a commit that was cut off, and says what is wrong with
    anything else.
    """
    free = () if "accelerator" in settings["trainer"] else ("trainer.accelerator",)
    folder = RunFolder.peek(run.folder, {**settings, "seed_everything": run.seed}, free)
    num_rounds = settings["loop"]["num_rounds"]
    if folder.rounds and folder.next_round > num_rounds:
        raise InputError(
            f"Expected `loop.num_rounds` to be at least {folder.next_round}, where the run in {run.folder} has got to, "
            f"but got {num_rounds}."
        )
    return len(folder.rounds)


def _state(done: int, num_rounds: int) -> str:
    return "finished" if done > num_rounds else f"{done} of {num_rounds + 1} fits done" if done else "not begun"


def _run_locked(study: Study, num_rounds: Mapping[str, int], finished: Sequence[Run], waiting: Sequence[Run]) -> None:
    study.out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(study.out / ".sweep.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"Expected `--out` {study.out} to be free, but another sweep is using it.") from None
    try:
        launcher = make_launcher(study)
        processes = study.processes or (num_cores() if study.launcher == "local" else None)
        display = SweepDisplay(num_rounds, finished, waiting, processes)
        failed = _run_all(waiting, launcher, display)
    finally:
        lock.release()
    done = len(waiting) - len(failed)
    before = f", {len(finished)} were finished before" if finished else ""
    print(f"{done} of {len(waiting)} runs in {study.out} finished{before}{'; failed:' if failed else '.'}")
    for run, error in failed.items():
        print(f"  {run}: {error} ({run.log})")
    if failed:
        sys.exit(1)


def _run_all(runs: Sequence[Run], launcher: Launcher, display: SweepDisplay) -> dict[Run, str]:
    """Runs runs; returns what went wrong, by run."""
    waiting, failed = deque(runs), {}
    try:
        display.start()
        while waiting or not launcher.is_idle():
            while waiting and launcher.has_room():
                launcher.submit(waiting.popleft())
            for run, error in launcher.ended():
                display.ended(run, error)
                if error is not None:
                    failed[run] = error
            display.update(launcher.running())
            time.sleep(POLL)
    finally:
        display.stop()
        launcher.stop()
    return failed
