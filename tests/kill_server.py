"""Does a run of `al-lightning fit` again and again in forked children, each of which kills itself at a chosen moment.

Usage: python -m tests.kill_server FOLDER FLAG ...

The command is read once: a child is forked where the command has made its objects and is about to run the loop. The
parent never computes, so that a child starts with no threads but its own.

A moment is the n-th call of one of the functions below: the steps of a fit, the blocks of a scoring, the writes and
renames of a commit, and what lies between. First the run is done undisturbed, in FOLDER/whole, and its moments are
counted. Then, for moments all over the run, it is killed there and continued, in FOLDER/<moment>.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer

import tests.digits
from al_lightning import ActiveLearningLoop, PoolDataModule, inference
from al_lightning.cli import main
from al_lightning.fitting.round_fit import RoundFit
from al_lightning.run_folder import events, folder as run_folder

MOMENTS = [
    (tests.digits.DigitsMLP, "training_step"),
    (inference.Predictions, "__init__"),
    (RoundFit, "on_train_end"),
    (Trainer, "test"),
    (Trainer, "save_checkpoint"),
    (events.RunEvents, "log_round"),
    (run_folder, "write_synced"),
    (run_folder.os, "replace"),
    (run_folder, "sync_folder"),
]
NUM_KILLS = 40


def in_child(work: Callable[[], object], kill_at: int | None, log: Path) -> int:
    """Works in a child that is killed at a moment; returns the child's wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    count = 0

    def counted(name: str, function: Callable) -> Callable:
        @wraps(function)  # Lightning looks at the arguments of training_step
        def wrapped(*args, **kwargs):
            nonlocal count
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            with log.open("a") as file:
                file.write(f"{name}\n")
            return function(*args, **kwargs)

        return wrapped

    for owner, name in MOMENTS:
        setattr(owner, name, counted(name, getattr(owner, name)))
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 1)
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)


def kill_and_continue(root: Path, run_in: Callable[[Path], object]) -> None:
    log = root / "moments.txt"
    assert in_child(lambda: run_in(root / "whole"), None, log) == 0
    moments = log.read_text().split()
    last = {name: at for at, name in enumerate(moments, start=1)}  # of each function, the last call
    spread = NUM_KILLS - len(last)
    for at in sorted({*last.values(), *(round(1 + i * (len(moments) - 1) / (spread - 1)) for i in range(spread))}):
        folder = root / f"{at}-{moments[at - 1]}"
        status = in_child(lambda: run_in(folder), at, root / "killed.txt")  # noqa: B023
        assert os.WIFSIGNALED(status), folder
        assert in_child(lambda: run_in(folder), None, root / "continued.txt") == 0, folder  # noqa: B023
        print(folder.name, flush=True)


if __name__ == "__main__":
    root, flags = Path(sys.argv[1]), sys.argv[2:]
    run = ActiveLearningLoop.run

    def run_many(
        loop: ActiveLearningLoop, trainer: Trainer, model: LightningModule, data: PoolDataModule, settings: dict, *args
    ) -> None:
        data.setup("fit")  # once for all

        def run_in(folder: Path) -> None:
            loop.run_dir = folder
            settings["loop"]["run_dir"] = str(folder)
            run(loop, trainer, model, data, settings, *args)

        kill_and_continue(root, run_in)

    ActiveLearningLoop.run = run_many  # type: ignore[method-assign, assignment]
    main(["fit", "--loop.run_dir", str(root / "run"), *flags])
