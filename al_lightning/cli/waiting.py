"""``al-lightning fit --wait``: waits for the answers of people, takes them, and goes on by itself."""

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from al_lightning.data.answer import Answer
from al_lightning.errors import InputError
from al_lightning.labeling.filled_tables import take_tables
from al_lightning.labeling.studio.client import Away
from al_lightning.labeling.studio.take import take_pulled
from al_lightning.labeling.tell_answers import counted
from al_lightning.run_folder.folder import InUse, RunFolder
from al_lightning.run_folder.tables import Query

FLAG = "--wait"
SECONDS = 10.0
HELP = f"""\
With {FLAG} [SECONDS], fit waits for the answers of people, takes them, and goes on by itself. It looks every
{SECONDS:g} seconds if no number is given.
"""


def without_wait(words: Sequence[str]) -> tuple[list[str], float | None]:
    """Takes ``--wait`` out of the words of a command, with the seconds that may follow.

    Returns:
        The other words, and the seconds between two looks; ``None`` without the flag.

    Raises:
        InputError: If the seconds are not positive.

    Example:
        >>> without_wait(["run", "--wait", "3"]), without_wait(["--wait", "run"]), without_wait(["run"])
        ((['run'], 3.0), (['run'], 10.0), (['run'], None))
    """
    others: list[str] = []
    seconds = None
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, found, value = word.partition("=")
        if name != FLAG:
            others.append(word)
        elif found:
            seconds = _seconds(value)
        else:
            seconds = _seconds(rest.pop(0)) if rest and _is_number(rest[0]) else SECONDS
    return others, seconds


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _seconds(text: str) -> float:
    if not _is_number(text) or not 0 < float(text) < float("inf"):
        raise InputError(f"Expected `{FLAG}` to be a number of seconds above 0, but got `{text}`.")
    return float(text)


def wait_for_answers(run_dir: Path, seconds: float) -> None:
    """Looks for answers until no question of a run is open, and takes them into the run.

    It looks into the filled-in tables of the run folder and, if the run asks in Label Studio, into its project. While
    it sleeps, other commands may use the folder.

    Args:
        run_dir: The run.
        seconds: Time between two looks.

    Raises:
        InputError: If Label Studio refuses, for example because the key is no longer good.
    """
    print(
        f"Waiting for the answers, with a look every {seconds:g} seconds. Ctrl-C stops; the same command goes on.",
        flush=True,
    )
    look = _Look(run_dir)
    while not look():
        time.sleep(seconds)


def begin_anew(words: Sequence[str], seconds: float, environment: Mapping[str, str]) -> NoReturn:
    """Replaces this program by the same one at its beginning.

    Lightning starts the processes of several devices once in a program.

    Args:
        words: The words after ``fit``, without ``--wait``.
        seconds: Time between two looks.
        environment: The variables that the program began with. Lightning adds some.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-m", "al_lightning", "fit", *words, FLAG, f"{seconds:g}"]
    os.execve(sys.executable, command, dict(environment))


class _Look:
    """Looks for answers. A look that finds nothing new says nothing."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._known: list[Answer] = []
        self._trouble = ""
        self._open: int | None = None

    def __call__(self) -> bool:
        """Takes what is new. Returns whether no question is open."""
        try:
            folder = RunFolder.edit(self._run_dir)
        except InUse:  # by `al-lightning label`
            return False
        try:
            trouble = ""
            try:
                take_tables(folder)
            except InputError as error:  # of a table that somebody is saving
                trouble = str(error)
            try:
                take_pulled(folder, known=self._known)
            except Away as error:
                trouble = str(error)
            self._say(trouble, _open(folder.asked))
            return not folder.asked
        finally:
            folder.close()

    def _say(self, trouble: str, num_open: int) -> None:
        if trouble and trouble != self._trouble:
            print(f"Note: {trouble} Waiting goes on.", file=sys.stderr, flush=True)
        self._trouble = trouble
        if num_open != self._open and self._open is not None:
            print(_says_open(num_open) if num_open else "All is answered.", flush=True)
        self._open = num_open


def _says_open(number: int) -> str:
    return f"{counted(number, 'question')} {'is' if number == 1 else 'are'} open."


def _open(questions: Iterable[Query]) -> int:
    return sum(question.label is None for question in questions)
