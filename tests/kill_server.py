"""Runs `al-lightning fit` again and again in forked children, each of which kills itself at a chosen moment.

Usage: python -m tests.kill_server FOLDER FLAG ...

Imports cost seconds, and a forked child has them for nothing. The parent never computes, so that a child starts with
no threads but its own.

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

from lightning.pytorch import Trainer

import tests.digits
from al_lightning import inference, loop
from al_lightning.cli import main
from al_lightning.run_folder import events, folder as run_folder

MOMENTS = [
    (tests.digits.DigitsMLP, "training_step"),
    (inference.Predictions, "__init__"),
    (loop.ActiveLearningLoop, "on_train_end"),
    (Trainer, "test"),
    (Trainer, "save_checkpoint"),
    (events.RunEvents, "log_round"),
    (run_folder, "write_synced"),
    (run_folder.os, "replace"),
    (run_folder, "sync_folder"),
]
NUM_KILLS = 40


def run(folder: Path, flags: list[str], kill_at: int | None, log: Path) -> int:
    """Runs the command in a child that is killed at a moment; returns the child's wait status."""
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
            main(["fit", "--loop.run_dir", str(folder), *flags])
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)


if __name__ == "__main__":
    root, flags = Path(sys.argv[1]), sys.argv[2:]
    log = root / "moments.txt"
    assert run(root / "whole", flags, None, log) == 0
    moments = log.read_text().split()
    for at in sorted({round(1 + i * (len(moments) - 1) / (NUM_KILLS - 1)) for i in range(NUM_KILLS)}):
        folder = root / f"{at}-{moments[at - 1]}"
        status = run(folder, flags, at, root / "killed.txt")
        assert os.WIFSIGNALED(status), folder
        assert run(folder, flags, None, root / "continued.txt") == 0, folder
        print(folder.name, flush=True)
