"""The plan of a sweep: the words of its command line and its study file become a list of runs."""

import argparse
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from al_lightning.cli.config_files import find_config
from al_lightning.cli.seeds import parse_seeds
from al_lightning.errors import InputError, did_you_mean
from al_lightning.paths import as_path
from al_lightning.sweep.study_file import (
    KEYS,
    arm_name,
    arms_of_strategies,
    flags_of,
    parse_launcher,
    parse_out,
    parse_processes,
    read_file,
)

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
    """Flags of ``al-lightning fit``, without those that the sweep sets."""


@dataclass(frozen=True)
class PlannedRun:
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
class Plan:
    """What a sweep is asked to do."""

    out: Path
    arms: list[Arm]
    seeds: list[int]
    processes: int | None
    """The most runs at a time; ``None`` leaves it to the launcher."""
    launcher: str
    """``local``, ``ray``, or the import path of a class."""
    dry_run: bool

    @property
    def runs(self) -> list[PlannedRun]:
        """All arms with one seed, then all arms with the next seed: pairs to compare are complete early."""
        return [PlannedRun(arm, seed, self.out) for seed in self.seeds for arm in self.arms]


def read_plan(words: Sequence[str]) -> Plan:
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
        keys = read_file(path)
        out = f"runs/{path.stem}"
    else:
        if given.arms is not None:
            raise InputError("Expected `--arms` together with `--config`, the study that has them.")
        keys = {"arms": arms_of_strategies(given.strategies)}
        out = "runs/sweep"
    keys |= {
        name: value for name, value in vars(given).items() if name in KEYS and name != "arms" and value is not None
    }
    common = flags_of("fit", keys.get("fit"))
    arms = _arms(keys.get("arms"), common, others)
    if given.arms is not None:
        arms = _chosen(arms, given.arms)
    return Plan(
        out=parse_out(out if keys.get("out") is None else keys["out"]),
        arms=arms,
        seeds=parse_seeds(keys.get("seeds", 1)),
        processes=parse_processes(keys.get("processes")),
        launcher=parse_launcher(keys.get("launcher") or "local"),
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
        help="local; or ray: hands the runs to the Ray cluster that this machine is part of, or that RAY_ADDRESS "
        "names, and starts Ray on this machine if there is none, or if RAY_ADDRESS is local. All its machines need the "
        "same paths: a shared file system for the working directory, the data, the Python environment and --out. Or a "
        "launcher of your own, my_module.MyLauncher: a subclass of al_lightning.sweep.launchers.Launcher",
    )
    add("--dry_run", action="store_true", help="print the commands and what is finished, and run nothing")
    return parser


def _check_others(others: Iterable[str], known: Iterable[str]) -> None:
    """Refuses a word that cannot be an option of fit."""
    previous_is_option = False
    for word in others:
        is_option = word.startswith("--")
        if not is_option and not previous_is_option:
            raise InputError(f"Expected options, but got `{word}`; a study is given as --config FILE.")
        name = word.split("=")[0]
        if is_option and "." not in name and name not in (*known, *INSTEAD):
            raise InputError(f"Expected an option of sweep or of fit, but got `{name}`{did_you_mean(name, known)}")
        previous_is_option = is_option and "=" not in word


def _arms(value: object, common: Sequence[str], others: Sequence[str]) -> list[Arm]:
    """Makes the arms of a study: the flags of all arms, then those of the arm, then those of the command line."""
    if not isinstance(value, dict) or not value:
        raise InputError(f"Expected `arms` to have names, each with flags of al-lightning fit, but got `{value}`.")
    arms = []
    for name, flags in value.items():
        arms.append(Arm(arm_name(name), (*common, *flags_of(f"arms.{name}", flags), *others)))
    lower = [arm.name.lower() for arm in arms]
    for arm in arms:
        if lower.count(arm.name.lower()) > 1:  # one folder on many a file system
            raise InputError(f"Expected the names of arms to differ in more than their case, but got `{arm.name}`.")
        for word in arm.flags:
            if word.split("=")[0] in INSTEAD:
                raise InputError(INSTEAD[word.split("=")[0]])
    return arms


def _chosen(arms: list[Arm], text: str) -> list[Arm]:
    """Picks the arms that ``--arms`` names."""
    by_name = {arm.name: arm for arm in arms}
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in by_name:
            hint = did_you_mean(name, by_name)
            raise InputError(f"Expected `--arms` to be some of {', '.join(by_name)}, but got `{name}`{hint}")
    return [by_name[name] for name in names]
