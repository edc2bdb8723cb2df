"""Asks ``fit`` for the settings that it makes of flags, in a process of its own, and runs nothing.

One process serves all arms of a study, because importing Lightning takes seconds. The sweep does not import it itself,
because torch would stay in memory. The process reads a JSON list of lists of words from standard input. For each list
it writes one line of JSON to the file that its argument names: ``{"settings": ...}``, or ``{"error": "a sentence"}``,
after which it ends. It does not write to standard output, because the user's own modules may print there.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from al_lightning.errors import InputError
from al_lightning.sweep.plan import Arm
from al_lightning.sweep.processes import last_error, python


def check(arms: Sequence[Arm]) -> dict[str, dict[str, Any]]:
    """Returns the settings of each arm by its name; ``trainer.accelerator`` is missing if it is up to the machine.

    Raises:
        InputError: If ``al-lightning fit`` would refuse the flags of an arm, or a sweep cannot run them; the message
            names the arm.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answers"
        file.touch()
        result = subprocess.run(
            [*python("al_lightning.sweep.settings_of_arms"), str(file)],
            input=json.dumps([arm.flags for arm in arms]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
        answers = [json.loads(line) for line in file.read_text().splitlines()]
    for arm, answer in zip(arms, answers, strict=False):
        error = answer["error"] if "error" in answer else _unfit(answer["settings"]["trainer"])
        if error is not None:
            raise InputError(f"In arm `{arm.name}`: {error}")
    if len(answers) < len(arms):  # for example, a module of the user cannot be imported
        error = last_error(result.stderr, f"its check ended with code {result.returncode}")
        raise InputError(f"In arm `{arms[len(answers)].name}`: {error}")
    return {arm.name: answer["settings"] for arm, answer in zip(arms, answers, strict=True)}


def _unfit(trainer: Mapping[str, Any]) -> str | None:
    """What is wrong with a trainer for a run of a sweep, though `fit` takes it."""
    if trainer["fast_dev_run"]:
        return (
            "Expected no `trainer.fast_dev_run` in a sweep, where no run would be saved, but got "
            f"{trainer['fast_dev_run']}; it is for `al-lightning fit`."
        )
    if trainer["num_nodes"] != 1:
        return f"Expected `trainer.num_nodes` to be 1 for the runs of a sweep, but got {trainer['num_nodes']}."
    return None


def main() -> None:
    """Writes the settings of each list of flags."""
    from al_lightning.cli.fit import settings_of_fit

    with open(sys.argv[1], "w") as file:
        for flags in json.load(sys.stdin):
            try:
                answer: dict[str, Any] = {"settings": settings_of_fit(flags)}
            except InputError as error:
                answer = {"error": " ".join(str(error).split())}
            except SystemExit:
                answer = {"error": "Expected options to run with, but got one that only prints something."}
            print(json.dumps(answer), file=file, flush=True)
            if "error" in answer:
                return
