"""``al-lightning sweep``: reads a study, sees what of it is done, and runs the rest."""

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from filelock import FileLock, Timeout

from al_lightning.errors import InputError
from al_lightning.run_folder.folder import RunFolder
from al_lightning.sweep.display import SweepDisplay
from al_lightning.sweep.launchers import Launcher, check_launcher, make_launcher, num_cores
from al_lightning.sweep.plan import Run, Study, read_study
from al_lightning.sweep.settings_of_arms import check

POLL = 0.1
"""Seconds between two looks at which runs have ended."""

Settings = Mapping[str, Mapping[str, Any]]
"""The settings of each arm, by its name."""


def run(words: Sequence[str]) -> None:
    """Runs a sweep.

    Args:
        words: The words of the command line after ``sweep``.

    Raises:
        InputError: If they are bad, or the study's folder is in use; then nothing was written.
        SystemExit: With code 1 if a run failed or waits for labels, 141 if what is printed is read no longer.
    """
    try:
        _run(read_study(words))
        sys.stdout.flush()
    except BrokenPipeError:  # as of `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at the end
        sys.exit(128 + signal.SIGPIPE)  # as of a program that the signal ends, which Python ignores


def _run(study: Study) -> None:
    if not study.dry_run:
        check_launcher(study)  # takes seconds at most, and the settings of the arms may take longer
    settings = check(study.arms)
    num_rounds = {name: setting["loop"]["num_rounds"] for name, setting in settings.items()}
    folders = {run: _peek(run, settings[run.arm.name]) for run in study.runs}
    finished = [run for run, folder in folders.items() if len(folder.rounds) > num_rounds[run.arm.name]]
    waiting = [run for run in study.runs if run not in set(finished)]
    if study.dry_run:
        for run, folder in folders.items():
            print(f"{run.command}  # {_state(folder, num_rounds[run.arm.name])}")
        print(f"# {len(study.runs)} runs, of which {len(finished)} are finished")
    elif waiting:
        _run_locked(study, settings, finished, waiting)
    else:
        print(f"All {len(finished)} runs in {study.out} are finished.")


def _peek(run: Run, settings: Mapping[str, Any]) -> RunFolder:
    """What there is of a run.

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
    return folder


def _state(folder: RunFolder, num_rounds: int) -> str:
    done = len(folder.rounds)
    if done > num_rounds:
        return "finished"
    text = f"{done} of {num_rounds + 1} fits done" if done else "not begun"
    return f"{text}, waits for labels" if folder.asked else text


def _run_locked(study: Study, settings: Settings, finished: Sequence[Run], waiting: Sequence[Run]) -> None:
    study.out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(study.out / ".sweep.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"Expected `--out` {study.out} to be free, but another sweep is using it.") from None
    try:
        launcher = make_launcher(study)
        processes = study.processes or (num_cores() if study.launcher == "local" else None)
        num_rounds = {name: setting["loop"]["num_rounds"] for name, setting in settings.items()}
        display = SweepDisplay(num_rounds, finished, waiting, processes)
        failed, asking = _run_all(waiting, settings, launcher, display)
    finally:
        lock.release()
    done = len(waiting) - len(failed) - len(asking)
    before = f", {len(finished)} were finished before" if finished else ""
    print(f"{done} of {len(waiting)} runs in {study.out} finished{before}{'; failed:' if failed else '.'}")
    for run, error in failed.items():
        print(f"  {run}: {error} ({run.log})")
    if asking:
        print("Waiting for labels, and to be continued with the same command:")
    for run in asking:
        print(f"  {run}: {run.label_command}")
    if failed or asking:
        sys.exit(1)


def _run_all(
    runs: Sequence[Run], settings: Settings, launcher: Launcher, display: SweepDisplay
) -> tuple[dict[Run, str], list[Run]]:
    """Runs runs; returns what went wrong, by run, and those that wait for labels of people."""
    waiting, failed, asking = deque(runs), {}, []
    try:
        display.start()
        while waiting or not launcher.is_idle():
            while waiting and launcher.has_room():
                launcher.submit(waiting.popleft())
            for run, error in launcher.ended():
                asks = False
                if error is None:
                    asks, error = _outcome(run, settings[run.arm.name])
                if asks:
                    asking.append(run)
                    display.waits(run)
                    continue
                display.ended(run, error)
                if error is not None:
                    failed[run] = error
            display.update(launcher.running())
            time.sleep(POLL)
    finally:
        display.stop()
        launcher.stop()
    return failed, asking


def _outcome(run: Run, settings: Mapping[str, Any]) -> tuple[bool, str | None]:
    """Whether a run whose process ended well waits for labels, and what is wrong if it is not finished either."""
    try:
        folder = _peek(run, settings)
    except InputError as error:
        return False, str(error)
    num_fits = settings["loop"]["num_rounds"] + 1
    if folder.asked or len(folder.rounds) == num_fits:
        return bool(folder.asked), None
    return False, f"it ended without an error, but with {len(folder.rounds)} of {num_fits} fits done"
