"""Asks ``fit`` what it makes of flags, in a process of its own, and runs nothing.

One process for all arms of a study, because importing Lightning takes seconds, and not the sweep's own, because that
would keep all of torch in memory. It reads a JSON list of lists of words from standard input. For each it writes one
line of JSON to the file that its one argument names: ``{"settings": ...}``, or ``{"error": "a sentence"}`` and ends.
Not to standard output, which is for whatever the user's own modules, and processes that they start, have to say.
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
        InputError: If ``al-lightning fit`` would refuse the flags of an arm, or a sweep cannot do with them; the
            message names it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answers"
        file.touch()
        result = subprocess.run(
            [*python("al_lightning.sweep.settings_of_arms", sys.path), str(file)],
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
    if len(answers) < len(arms):  # something of the user's own that cannot be imported, for one
        error = last_error(result.stderr, f"its check ended with code {result.returncode}")
        raise InputError(f"In arm `{arms[len(answers)].name}`: {error}")
    return {arm.name: answer["settings"] for arm, answer in zip(arms, answers, strict=True)}


def _unfit(trainer: Mapping[str, Any]) -> str | None:
    """What no run of a sweep can do, though `fit` can."""
    if trainer["fast_dev_run"]:
        return (
            "Expected no `trainer.fast_dev_run` in a sweep, where no run would be saved, but got "
            f"{trainer['fast_dev_run']}; it is for `al-lightning fit`."
        )
    for name in ("devices", "num_nodes"):
        if _is_several(trainer[name]):  # these share no first fit
            return f"Expected `trainer.{name}` to be 1 for the runs of a sweep, but got {trainer[name]}."
    return None


def _is_several(devices: object) -> bool:
    """Whether a number of devices, or a list of them, is more than one; of auto and -1 only a run's machine knows."""
    if isinstance(devices, str) and "," in devices:
        devices = [part for part in devices.split(",") if part.strip()]
    if isinstance(devices, list):
        return len(devices) > 1
    return str(devices).isdecimal() and int(str(devices)) > 1


def main() -> None:
    """Answers."""
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
