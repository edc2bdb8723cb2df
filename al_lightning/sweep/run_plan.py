"""Runs a plan: sees what of it is done, hands the rest to a launcher, and says what came of each run."""

import importlib
import shutil
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from filelock import FileLock, Timeout

from al_lightning.errors import InputError
from al_lightning.run_folder.folder import CACHE, RunFolder
from al_lightning.sweep.display import SweepDisplay
from al_lightning.sweep.launchers import Launcher, LocalLauncher
from al_lightning.sweep.plan import Plan, PlannedRun
from al_lightning.sweep.processes import sentence
from al_lightning.sweep.settings_of_arms import check

POLL = 0.1
"""Seconds between two updates of the display."""

Settings = Mapping[str, Mapping[str, Any]]
"""The settings of each arm, by its name."""


def list_plan(plan: Plan) -> None:
    """Prints the command and the state of each run.

    Raises:
        InputError: If the plan cannot be run.
    """
    settings = check(plan.arms)
    folders = {run: peek(run, settings[run.arm.name]) for run in plan.runs}
    for run, folder in folders.items():
        print(f"{run.command}  # {_state(folder, _num_rounds(settings)[run.arm.name])}")
    print(f"# {len(plan.runs)} runs, of which {len(_finished(folders, settings))} are finished")


def run_plan(plan: Plan) -> bool:
    """Runs all runs that are not finished.

    Returns:
        Whether all runs are finished now.

    Raises:
        InputError: If the plan cannot be run, or its folder is in use; then nothing was written.
    """
    launcher = make_launcher(plan)  # refuses within seconds; the settings of the arms may take longer
    settings = check(plan.arms)
    finished = _finished({run: peek(run, settings[run.arm.name]) for run in plan.runs}, settings)
    waiting = [run for run in plan.runs if run not in set(finished)]
    if not waiting:
        print(f"All {len(finished)} runs in {plan.out} are finished.")
        return True
    plan.out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(plan.out / ".sweep.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"Expected `--out` {plan.out} to be free, but another sweep is using it.") from None
    try:
        display = SweepDisplay(_num_rounds(settings), finished, waiting, launcher.max_running)
        failed, asking = _run_all(waiting, settings, launcher, display)
    finally:
        lock.release()
    done = len(waiting) - len(failed) - len(asking)
    before = f", {len(finished)} were finished before" if finished else ""
    print(f"{done} of {len(waiting)} runs in {plan.out} finished{before}{'; failed:' if failed else '.'}")
    for run, error in failed.items():
        print(f"  {run}: {error} ({run.log})")
    if asking:
        print("Waiting for labels, and to be continued with the same command:")
    for run in asking:
        print(f"  {run}: {run.label_command}")
    return not failed and not asking


def make_launcher(plan: Plan) -> Launcher:
    """Returns the launcher that a plan asks for.

    Raises:
        InputError: If it cannot be had.
    """
    if plan.launcher == "local":
        return LocalLauncher(plan.processes)
    if plan.launcher == "ray":
        from al_lightning.sweep.ray_launcher import RayLauncher

        return RayLauncher(plan.processes)
    module, _, name = plan.launcher.rpartition(".")
    try:
        launcher = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"Expected `--launcher` {plan.launcher} to be a class, but got: {error}.") from error
    if not (isinstance(launcher, type) and issubclass(launcher, Launcher)):
        raise InputError(
            f"Expected `--launcher` {plan.launcher} to be a subclass of al_lightning.sweep.launchers.Launcher, but it "
            "is not."
        )
    return launcher(plan.processes)


def peek(run: PlannedRun, settings: Mapping[str, Any]) -> RunFolder:
    """Returns what there is of a run.

    A folder that is not whole counts as not begun: fit continues a commit that was cut off, and says what is wrong with
    anything else.

    Raises:
        InputError: If the folder holds another run, or more rounds than the run is to have.
    """
    free = () if "accelerator" in settings["trainer"] else ("trainer.accelerator",)
    folder = RunFolder.peek(run.folder, {**settings, "seed_everything": run.seed}, free)
    num_rounds = settings["loop"]["num_rounds"]
    if folder.rounds and num_rounds is not None and folder.next_round > num_rounds:
        raise InputError(
            f"Expected `loop.num_rounds` to be at least {folder.next_round}, where the run in {run.folder} has got to, "
            f"but got {num_rounds}."
        )
    return folder


def _num_rounds(settings: Settings) -> dict[str, int | None]:
    return {name: setting["loop"]["num_rounds"] for name, setting in settings.items()}


def _finished(folders: Mapping[PlannedRun, RunFolder], settings: Settings) -> list[PlannedRun]:
    num_rounds = _num_rounds(settings)
    return [run for run, folder in folders.items() if _is_finished(folder, num_rounds[run.arm.name])]


def _is_finished(folder: RunFolder, num_rounds: int | None) -> bool:
    """Whether a run has all its rounds. Without a last round, only `fit` knows, which looks at the pool."""
    return num_rounds is not None and len(folder.rounds) > num_rounds


def _state(folder: RunFolder, num_rounds: int | None) -> str:
    if _is_finished(folder, num_rounds):
        return "finished"
    done = len(folder.rounds)
    text = f"{_fits(done, num_rounds)} done" if done else "not begun"
    return f"{text}, waits for labels" if folder.asked else text


def _run_all(
    runs: Sequence[PlannedRun], settings: Settings, launcher: Launcher, display: SweepDisplay
) -> tuple[dict[PlannedRun, str], list[PlannedRun]]:
    """Runs runs; returns what went wrong, by run, and the runs that wait for labels of people."""
    waiting, failed, asking = deque(runs), {}, []
    submitted: dict[Future[str | None], PlannedRun] = {}
    log_sizes: dict[PlannedRun, int] = {}

    def running() -> list[PlannedRun]:
        # a run that has begun has written its command to its log; the clocks of two machines would not tell
        return [run for run in submitted.values() if _size_of_log(run) > log_sizes[run]]

    try:
        display.start()
        launcher.start()
        while waiting or submitted:
            while waiting and (launcher.max_running is None or len(submitted) < launcher.max_running):
                run = waiting.popleft()
                log_sizes[run] = _size_of_log(run)
                submitted[_submit(launcher, run)] = run
            done, _ = wait(submitted, timeout=POLL, return_when=FIRST_COMPLETED)
            for future in [future for future in submitted if future in done]:
                run = submitted.pop(future)
                error = _what_went_wrong(future)
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
                else:  # each run of a sweep has a cache of the same data
                    shutil.rmtree(run.folder / CACHE, ignore_errors=True)
            display.update(running)
    finally:
        display.stop()
        launcher.stop()
    return failed, asking


def _submit(launcher: Launcher, run: PlannedRun) -> Future[str | None]:
    try:
        return launcher.submit(run)
    except OSError as error:  # of the run's folder or log; the others have theirs
        future: Future[str | None] = Future()
        future.set_exception(error)
        return future


def _what_went_wrong(future: Future[str | None]) -> str | None:
    """What went wrong with a run before its folder is looked at."""
    if future.cancelled():
        return "cancelled"
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, OSError) and error.strerror:
        return sentence(error)
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _size_of_log(run: PlannedRun) -> int:
    try:
        return run.log.stat().st_size
    except OSError:
        return 0


def _outcome(run: PlannedRun, settings: Mapping[str, Any]) -> tuple[bool, str | None]:
    """Whether a run whose process ended well waits for labels, and what is wrong if it is not finished either."""
    try:
        folder = peek(run, settings)
    except InputError as error:
        return False, str(error)
    num_rounds, done = settings["loop"]["num_rounds"], len(folder.rounds)
    may_end_early = num_rounds is None or settings["loop"].get("oracle") is not None  # when the pool is used up
    is_at_end = done > folder.next_round if done and may_end_early else _is_finished(folder, num_rounds)
    if folder.asked or is_at_end:
        return bool(folder.asked), None
    return False, f"it ended without an error, but with {_fits(done, num_rounds)} done"


def _fits(done: int, num_rounds: int | None) -> str:
    return f"{done} fits" if num_rounds is None else f"{done} of {num_rounds + 1} fits"
