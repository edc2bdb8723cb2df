"""The words of ``fit`` for a run that asks people: what they leave out is taken from the run, or chosen.

Needs no torch.
"""

import os
import re
import shlex
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from al_lightning.cli.given_options import given_options, last_name, options_of_config
from al_lightning.cli.people import asks_people, choices
from al_lightning.paths import as_path
from al_lightning.run_folder.default_folder import named_folder, snake_case
from al_lightning.run_folder.folder import CONFIG

PLACES = ("root", "path", "train_inputs", "dataset", "train", "datamodule")
"""Arguments of data modules that say which data they are; a run folder has the name of the last part."""
CLASSES = ("model", "loop.strategy")
HINT = "to start from pretrained weights: --model.weights DEFAULT --loop.reinit initial"


def words_of_people(words: list[str], may_go_on: bool = True) -> tuple[list[str], str]:
    """Completes the words of ``fit``: much if they ask people, and little if they are an experiment.

    For people:

    - What the words leave out is taken from the run, if there is one in their folder: the same command goes on with it.
    - In a new run, the defaults of :mod:`~al_lightning.cli.people` are chosen.
    - The folder of a run is ``runs/NAME``, with the name of the data, if none is given.

    For an experiment, :data:`~al_lightning.cli.people.CHOICES_OF_EXPERIMENTS` are chosen.

    Args:
        words: The words after ``fit``, with paths after ``--config``.
        may_go_on: Whether the words may go on with a run. If not, no folder is looked at or chosen.

    Returns:
        The words, and a line that says what was chosen; empty if nothing was.
    """
    given = given_options(words)
    if not asks_people(given):
        chosen = choices(given)
        return _with_flags(words, chosen), _line(chosen, given) if chosen else ""
    run, config = _find_run(given) if may_go_on else (None, None)
    chosen = {} if run is None or given.get("loop.run_dir") else {"loop.run_dir": str(run)}
    if config is not None:
        return ["--config", str(config), *words, *_flags(chosen)], ""
    chosen = choices(given) | chosen
    return _with_flags(words, chosen), _line(chosen, given) if chosen else ""


def _with_flags(words: list[str], chosen: Mapping[str, str]) -> list[str]:
    """Adds options: a class before its arguments that are given, and an argument after its class."""
    classes = {option: value for option, value in chosen.items() if option in CLASSES}
    others = {option: value for option, value in chosen.items() if option not in CLASSES}
    return [*_flags(classes), *words, *_flags(others)]


def _flags(chosen: Mapping[str, str]) -> list[str]:
    return [f"--{option}={value}" for option, value in chosen.items()]


def _line(chosen: Mapping[str, str], given: Mapping[str, Any]) -> str:
    flags = shlex.join(word for option, value in chosen.items() for word in (f"--{option}", value))
    hint = f"; {HINT}" if chosen.get("model") == "Backbone" and "model.weights" not in given else ""
    return f"Chosen, because nothing else was given: {flags}{hint}."


def _find_run(given: Mapping[str, Any]) -> tuple[Path, Path | None]:
    """The folder of a run, and its config if the run has begun."""
    if given.get("loop.run_dir"):
        run = as_path(str(given["loop.run_dir"]))
        return run, run / CONFIG if _asks(run) else None
    before = _earlier_default(given)
    if _asks(before) and _is_same(before, given):
        return before, before / CONFIG
    name = _name_of_data(given)
    for number in count(1):
        run = Path("runs", name if number == 1 else f"{name}-{number}")
        if _asks(run) and _is_same(run, given):
            return run, run / CONFIG
        if not (run / CONFIG).exists() and not any(run.glob("seed*")):
            return run, None
    raise AssertionError("numbers do not end")


def _earlier_default(given: Mapping[str, Any]) -> Path:
    """The folder that earlier versions chose, with their defaults for strategy and model."""
    strategy = last_name(given.get("loop.strategy")) or "Random"
    model = last_name(given.get("model")) or "DropoutMLP"
    names = [strategy] if model == "DropoutMLP" else [strategy, model]
    seed = str(given.get("seed_everything", 0))
    return named_folder(names, int(seed) if seed.isdecimal() else 0)


def _asks(run: Path) -> bool:
    return asks_people(options_of_config(str(run / CONFIG)))


def _is_same(run: Path, given: Mapping[str, Any]) -> bool:
    """Whether a run has the data that are given, and the seed if one is given."""
    stored = options_of_config(str(run / CONFIG))
    places = [(stored.get(f"data.{name}"), given.get(f"data.{name}")) for name in PLACES]
    is_same = all(None in pair or _same_place(*map(str, pair)) for pair in places)
    seeds = {str(options["seed_everything"]) for options in (stored, given) if "seed_everything" in options}
    return last_name(stored.get("data")) == last_name(given.get("data")) and is_same and len(seeds) <= 1


def _same_place(one: str, other: str) -> bool:
    return os.path.realpath(as_path(one)) == os.path.realpath(as_path(other))


def _name_of_data(given: Mapping[str, Any]) -> str:
    """What says which data they are, as a name of a folder."""
    place = next((name for name in PLACES if given.get(f"data.{name}")), None)
    if place is None:
        name = snake_case(last_name(given.get("data")))
    elif place in ("train", "datamodule"):
        name = snake_case(last_name(str(given[f"data.{place}"])))
    else:
        path = Path(os.path.abspath(as_path(str(given[f"data.{place}"]))))
        name = path.stem if path.suffix in (".npz", ".npy") else path.name
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "people"
