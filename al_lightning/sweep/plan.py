"""What a sweep is asked to do: the words of its command line and its study file, as a list of runs."""

import argparse
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from al_lightning.cli.config_files import find_config
from al_lightning.cli.seeds import parse_seeds
from al_lightning.cli.yaml_files import check_yaml
from al_lightning.errors import InputError, did_you_mean
from al_lightning.paths import as_path

MAX_NAME = 255
"""The most bytes in the name of a folder, on nearly all file systems."""
LAUNCHERS = ("local", "ray")
KEYS = ("out", "seeds", "processes", "launcher", "fit", "arms")

# what the sweep gives each run itself, and what a run of a sweep has no use for
INSTEAD = {
    "--seed_everything": "Expected `--seeds` instead of `--seed_everything`, which the sweep sets for each run.",
    "--loop.run_dir": "Expected `--out` instead of `--loop.run_dir`, which the sweep sets for each run.",
    "--print_config": "Expected `--dry_run` instead of `--print_config`.",
}
# all other options of fit have a dot in their names, and are left to fit to judge
UNDOTTED = ("--config", "--data", "--model", "--num_threads", "--trainer", "--loop", "--convergence")

DESCRIPTION = """\
Runs each arm of a study with each seed, several at a time, each in a process with one thread.

An arm is a name and flags of `al-lightning fit`. A study is a file of them:

  out: runs/study
  seeds: 5
  fit: --config my_protocol.yaml          # flags of every run, if any
  arms:
    margin: --config margin
    margin_dropout0: --config margin --model.dropout 0

Each run is an ordinary run folder, OUT/ARM/seedK. What a run prints is in OUT/ARM/seedK.log. The same command continues
a sweep that was stopped: finished runs are skipped, and unfinished runs go on from their last round. A higher
--loop.num_rounds extends all runs.

Exit code: 0 if all runs are finished, 1 if one has failed or waits for labels of people, 2 if the input is bad, 130 and
143 if it was stopped.
"""

EPILOG = """\
All other options are those of `al-lightning fit`, and go to every run.

examples:
  al-lightning sweep --config study
  al-lightning sweep --config study --arms random,margin --seeds 10 --dry_run
  al-lightning sweep --strategies Random,BALD --seeds 0-4 --loop.num_rounds 25 --out runs/quick
"""


@dataclass(frozen=True)
class Arm:
    """One of the things that a study compares."""

    name: str
    flags: tuple[str, ...]
    """Of ``al-lightning fit``, but for those that the sweep sets."""


@dataclass(frozen=True)
class Run:
    """One arm with one seed."""

    arm: Arm
    seed: int
    out: Path

    def __str__(self) -> str:
        return f"{self.arm.name} seed {self.seed}"

    @property
    def folder(self) -> Path:
        return self.out / self.arm.name / f"seed{self.seed}"

    @property
    def log(self) -> Path:
        return self.folder.with_name(f"seed{self.seed}.log")

    @property
    def words(self) -> list[str]:
        """The words after ``al-lightning``."""
        given = ["--seed_everything", str(self.seed), "--loop.run_dir", str(self.folder)]
        return ["fit", *self.arm.flags, *given]

    @property
    def command(self) -> str:
        return shlex.join(["al-lightning", *self.words])

    @property
    def label_command(self) -> str:
        """Takes in the labels that people were asked for."""
        return f"{shlex.join(['al-lightning', 'label', str(self.folder)])} --import FILE"


@dataclass(frozen=True)
class Study:
    """What a sweep is asked to do."""

    out: Path
    arms: list[Arm]
    seeds: list[int]
    processes: int | None
    """The most runs at a time; ``None`` for one a core."""
    launcher: str
    dry_run: bool

    @property
    def runs(self) -> list[Run]:
        """All arms with one seed, then all with the next: what is compared in pairs is soon complete."""
        return [Run(arm, seed, self.out) for seed in self.seeds for arm in self.arms]


def read_study(words: Sequence[str]) -> Study:
    """Reads the words after ``al-lightning sweep``, and the file that they name.

    Raises:
        InputError: If something is wrong with either. What is an option of fit is left to fit to judge.
        SystemExit: After ``--help``.
    """
    parser = _parser()
    given, others = parser.parse_known_args(list(words))
    known = [*parser._option_string_actions, *UNDOTTED]
    _check_others(others, known)
    if len(given.config) > 1:
        raise InputError(
            f"Expected one `--config`, the study, but got {len(given.config)}; those of `al-lightning fit` go into "
            "the study's `fit`, or into an arm."
        )
    if bool(given.config) == bool(given.strategies):
        raise InputError(
            f"Expected either `--config`, a study, or `--strategies`, but got {'both' if given.config else 'neither'}."
        )
    if given.config:
        path = as_path(find_config(given.config[0], "`--config` to be a file, a study"))
        keys = _read_file(path)
        out = f"runs/{path.stem}"
    else:
        if given.arms is not None:
            raise InputError("Expected `--arms` together with `--config`, the study that has them.")
        keys = {"arms": _arms_of_strategies(given.strategies)}
        out = "runs/sweep"
    keys |= {
        name: value for name, value in vars(given).items() if name in KEYS and name != "arms" and value is not None
    }
    common = _flags("fit", keys.get("fit"))
    arms = _arms(keys.get("arms"), common, others)
    if given.arms is not None:
        arms = _chosen(arms, given.arms)
    return Study(
        out=_out(out if keys.get("out") is None else keys["out"]),
        arms=arms,
        seeds=parse_seeds(keys.get("seeds", 1)),
        processes=_processes(keys.get("processes")),
        launcher=_launcher(keys.get("launcher") or "local"),
        dry_run=given.dry_run,
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if match := re.search(r"argument (\S+): expected one argument", message):
            raise InputError(f"Expected `{match[1]}` to be given a value, but got none.")
        raise InputError(message)


def _parser() -> _Parser:
    """All values are text, which is checked together with what the file says."""
    parser = _Parser(
        prog="al-lightning sweep",
        usage="al-lightning sweep --config STUDY [--OPTION VALUE ...]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--config", metavar="FILE", action="append", default=[], help="the study: its keys are the options below")
    add("--strategies", metavar="A,B", help="instead of a study: one arm for each class, in snake case")
    add("--arms", metavar="A,B", help="some of the study's arms; all if not given")
    add("--seeds", metavar="SEEDS", help="n for 0 to n-1, or 0-4, or 0,3,5-7 (default: 1, which is seed 0)")
    add("--out", metavar="FOLDER", help="folder of the runs (default: runs/NAME, of the study file NAME.yaml)")
    add("--processes", metavar="N", help="the most runs at a time (default: one a core; with a Ray cluster, no limit)")
    add(
        "--launcher",
        metavar="NAME",
        help="local, or ray: hands the runs to the Ray cluster that this machine is part of, or that RAY_ADDRESS "
        "names, and starts Ray on this machine if there is none, or if RAY_ADDRESS is local. All its machines need the "
        "same paths: a shared file system for the working directory, the data, the Python environment and --out",
    )
    add("--dry_run", action="store_true", help="print the commands and what is finished, and run nothing")
    return parser


def _check_others(others: Iterable[str], known: Iterable[str]) -> None:
    """Refuses at once what cannot be an option of fit, and what is not for a run of a sweep."""
    previous_is_option = False
    for word in others:
        is_option = word.startswith("--")
        if not is_option and not previous_is_option:
            raise InputError(f"Expected options, but got `{word}`; a study is given as --config FILE.")
        name = word.split("=")[0]
        if is_option and "." not in name and name not in (*known, *INSTEAD):
            raise InputError(f"Expected an option of sweep or of fit, but got `{name}`{did_you_mean(name, known)}")
        previous_is_option = is_option and "=" not in word


def _read_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"Expected `--config` to be a file, a study, but there is no {path}.")
    try:
        text = path.read_text(encoding="utf-8")
        check_yaml(text, str(path))
        content = yaml.safe_load(text)
    except InputError:
        raise
    except (yaml.YAMLError, ValueError) as error:  # also of text in another encoding, and of 2024-02-30, a date
        raise InputError(f"Expected `--config` to be a file in YAML, but got in {path}: {error}") from error
    if content is None:
        raise InputError(f"Expected the keys {', '.join(KEYS)} in {path}, but got `None`: it is empty.")
    if not isinstance(content, dict):
        raise InputError(f"Expected the keys {', '.join(KEYS)} in {path}, but got `{content}`.")
    for name in content:
        if name in ("loop", "model", "data", "trainer", "convergence", "seed_everything"):
            raise InputError(
                f"Expected a study in {path}, with the keys {', '.join(KEYS)}, but got `{name}`, which is for a "
                f"config of fit; that goes into an arm: `arms: {{{path.stem}: --config {path}}}`."
            )
        if name not in KEYS:
            raise InputError(f"Expected the keys {', '.join(KEYS)} in {path}, but got `{name}`{_hint(name)}")
    return content


def _hint(name: object) -> str:
    return did_you_mean(str(name), KEYS)


def _arms_of_strategies(text: str) -> dict[str, list[str]]:
    classes = [name.strip() for name in text.split(",")]
    if not all(classes):
        raise InputError(f"Expected `--strategies` to be classes with commas between them, but got `{text}`.")
    arms: dict[str, list[str]] = {}
    for path in classes:
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", path.rsplit(".", 1)[-1]).lower()
        if name in arms:
            raise InputError(f"Expected `--strategies` to have other names than one another, but got `{text}`.")
        arms[name] = ["--loop.strategy", path]
    return arms


def _arms(value: object, common: Sequence[str], others: Sequence[str]) -> list[Arm]:
    if not isinstance(value, dict) or not value:
        raise InputError(f"Expected `arms` to have names, each with flags of al-lightning fit, but got `{value}`.")
    arms = []
    for name, flags in value.items():
        arms.append(Arm(_arm_name(name), (*common, *_flags(f"arms.{name}", flags), *others)))
    lower = [arm.name.lower() for arm in arms]
    for arm in arms:
        if lower.count(arm.name.lower()) > 1:  # one folder on many a file system
            raise InputError(f"Expected the names of arms to differ in more than their case, but got `{arm.name}`.")
        for word in arm.flags:
            if word.split("=")[0] in INSTEAD:
                raise InputError(INSTEAD[word.split("=")[0]])
    return arms


def _arm_name(name: object) -> str:
    """Checks what becomes a folder, and a word of ``--arms``."""
    if not isinstance(name, str):
        raise InputError(
            f"Expected the name of an arm to be text, but got `{name}`, which is how YAML reads what has no quotes and "
            "is like a number or a date, or yes, no, on, off or null; write it in quotes, as in `'1': --config FILE`."
        )
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"Expected the name of an arm to be letters, digits and any of _.-, but got `{name}`.")
    if len(name.encode()) > MAX_NAME:
        raise InputError(
            f"Expected the name of an arm, which its folder gets, to be at most {MAX_NAME} bytes long, but got "
            f"{len(name.encode())}: `{name}`."
        )
    return name


def _flags(name: str, value: object) -> list[str]:
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:
        raise InputError(f"Expected `{name}` to be flags of al-lightning fit, but got `{value}`: {error}.") from error
    if words is None:
        return []
    if not isinstance(words, list) or any(isinstance(word, dict | list) or word is None for word in words):
        raise InputError(f"Expected `{name}` to be flags of al-lightning fit, text or a list, but got `{value}`.")
    # YAML reads the true of [--x, true] as a value of its own
    return [str(word).lower() if isinstance(word, bool) else str(word) for word in words]


def _chosen(arms: list[Arm], text: str) -> list[Arm]:
    by_name = {arm.name: arm for arm in arms}
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in by_name:
            hint = did_you_mean(name, by_name)
            raise InputError(f"Expected `--arms` to be some of {', '.join(by_name)}, but got `{name}`{hint}")
    return [by_name[name] for name in names]


def _processes(value: object) -> int | None:
    if value is None:
        return None
    if re.fullmatch(r"\d{10,}", str(value).strip()):  # Python reads no number of 5,000 digits
        raise InputError(f"Expected `--processes` to be at most 10 ** 9, but got a number of {len(str(value))} digits.")
    if isinstance(value, bool) or not re.fullmatch(r"\d+", str(value).strip()) or int(str(value)) < 1:
        raise InputError(f"Expected `--processes` to be at least 1, but got `{value}`.")
    return int(str(value))


def _launcher(value: object) -> str:
    if value not in LAUNCHERS:
        hint = did_you_mean(str(value), LAUNCHERS)
        raise InputError(f"Expected `--launcher` to be one of {', '.join(LAUNCHERS)}, but got `{value}`{hint}")
    return str(value)


def _out(value: object) -> Path:
    if not isinstance(value, str):
        raise InputError(f"Expected `--out` to be a folder, but got `{value}`.")
    if not value.strip():  # Path("") is the working directory
        raise InputError("Expected `--out` to be a folder, but got no name; . is the working directory.")
    path = as_path(value)
    for folder in (path, *path.parents):
        if folder.exists():
            if not folder.is_dir():
                raise InputError(f"Expected `--out` to be a folder, but {folder} is a file.")
            if not os.access(folder, os.W_OK):
                raise InputError(f"Expected `--out` to be a folder that can be written, but {folder} cannot.")
            break
    return path
