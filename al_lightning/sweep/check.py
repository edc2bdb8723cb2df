"""``python -m al_lightning.sweep.check``: asks ``fit`` what it makes of flags, and runs nothing.

One process for all arms of a study, because importing Lightning takes seconds, and not the sweep's own, because that
would keep all of torch in memory. It reads a JSON list of lists of words from standard input. For each it writes one
line of JSON to standard output: ``{"settings": ...}``, or ``{"error": "a sentence"}`` and ends.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from al_lightning.errors import InputError
from al_lightning.sweep.study import Arm


def check(arms: Sequence[Arm]) -> dict[str, dict[str, Any]]:
    """Returns the settings of each arm by its name; ``trainer.accelerator`` is missing if it is up to the machine.

    Raises:
        InputError: If ``al-lightning fit`` would refuse the flags of an arm; the message names it.
    """
    result = subprocess.run(
        [sys.executable, "-m", "al_lightning.sweep.check"],
        input=json.dumps([arm.flags for arm in arms]),
        capture_output=True,
        text=True,
        check=False,
    )
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    for arm, answer in zip(arms, answers, strict=False):
        if "error" in answer:
            raise InputError(f"In arm `{arm.name}`: {answer['error']}")
    if len(answers) < len(arms):  # something of the user's own that cannot be imported, for one
        last = (result.stderr.strip().splitlines() or [f"its check ended with code {result.returncode}"])[-1]
        raise InputError(f"In arm `{arms[len(answers)].name}`: {last}")
    return {arm.name: answer["settings"] for arm, answer in zip(arms, answers, strict=True)}


def main() -> None:
    """Answers."""
    from al_lightning.commands import settings_of_fit

    if os.getcwd() not in sys.path:  # as in cli.py
        sys.path.append(os.getcwd())
    for flags in json.load(sys.stdin):
        try:
            with contextlib.redirect_stdout(sys.stderr):  # what the user's own modules print
                answer: dict[str, Any] = {"settings": settings_of_fit(flags)}
        except InputError as error:
            answer = {"error": " ".join(str(error).split())}
        except SystemExit:
            answer = {"error": "Expected options to run with, but got one that only prints something."}
        print(json.dumps(answer), flush=True)
        if "error" in answer:
            return


if __name__ == "__main__":
    main()
