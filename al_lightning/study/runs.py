"""Reads run folders, and sees to it that what is compared can be compared."""

import gzip
import hashlib
import io
import json
import re
import time
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from pandas.api.types import is_numeric_dtype

from al_lightning.errors import InputError
from al_lightning.run_folder import (
    CALIBRATION,
    COMMIT,
    CONFIG,
    DIAGNOSTICS,
    QUERIES,
    ROUNDS,
    Round,
    comparable_settings,
)

METHOD = ("loop.strategy", "model")
"""Settings that make an arm: what is queried and how a model is trained. All others are the protocol."""


@dataclass(frozen=True)
class Run:
    """One run: an arm with one seed."""

    path: Path
    arm: str
    seed: int
    settings: Mapping[str, Any]
    """By dotted name, without those that do not matter, such as folders."""
    rounds: pd.DataFrame
    """As in rounds.csv."""
    queries: pd.DataFrame
    """As in queries.csv; what is not known is NaN."""
    calibration: pd.DataFrame
    """As in calibration.csv; empty for runs without."""
    diagnostics: pd.DataFrame
    """As in diagnostics.csv, likewise."""
    num_rounds: int
    """Rounds that the run is to have: its fits."""

    @property
    def is_finished(self) -> bool:
        return len(self.rounds) >= self.num_rounds


@dataclass(frozen=True)
class Study:
    """Runs of one protocol: K arms with S seeds each, and as many rounds R as all of them have.

    Use :func:`read_study`. Row ``s`` of every array is the same seed in all arms: comparisons are paired.
    """

    runs: Mapping[str, Sequence[Run]]
    """The runs of each arm, by ascending seed, of the common seeds."""
    seeds: tuple[int, ...]
    num_labeled: np.ndarray
    """Labels in each round, int, shape ``(R,)``."""
    notes: tuple[str, ...]
    """What was left out and why, in sentences."""

    @property
    def arms(self) -> list[str]:
        return list(self.runs)

    @property
    def num_rounds(self) -> int:
        return len(self.num_labeled)

    def curves(self, arm: str, column: str = "test_acc") -> np.ndarray:
        """Returns a column of rounds.csv, float, shape ``(S, R)``."""
        return np.stack([run.rounds[column].to_numpy(float)[: self.num_rounds] for run in self.runs[arm]])

    @cached_property
    def accuracy(self) -> dict[str, np.ndarray]:
        """Test accuracies by arm, ``(S, R)`` each."""
        return {arm: self.curves(arm) for arm in self.arms}

    def method(self, arm: str) -> dict[str, Any]:
        """Settings of an arm that are not those of the protocol."""
        return {name: value for name, value in self.runs[arm][0].settings.items() if _is_method(name)}

    def recipe(self, arm: str) -> dict[str, Any]:
        """Settings of how an arm's models are trained: with the same recipe and seed, round 0 is the same."""
        return {name: value for name, value in self.method(arm).items() if not name.startswith("loop.strategy")}

    @property
    def protocol(self) -> dict[str, Any]:
        """Settings that all runs share."""
        settings = next(iter(self.runs.values()))[0].settings
        return {name: value for name, value in settings.items() if not _is_method(name) and name != "seed_everything"}


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Returns the run folders at or below some folders, sorted.

    Raises:
        InputError: If a folder does not exist or has no run.
    """
    found: set[Path] = set()
    for path in paths:
        if not path.is_dir():
            what = f"{path} is a file" if path.exists() else f"there is no folder {path}"
            raise InputError(f"Expected a run folder or a folder of them, but {what}.")
        below = {config.parent for config in path.rglob(CONFIG)} | {log.parent for log in path.rglob(ROUNDS)}
        if not below:
            raise InputError(f"Expected runs in {path}, but found no {ROUNDS} in it or below.")
        found |= below
    return sorted(found)


def read_run(path: Path) -> Run:
    """Reads a run folder, also one that a process is working on, and also one with ``*.csv.gz``.

    Raises:
        InputError: If a file is missing, torn, or not one of a run.
    """
    contents = _read_contents(path)
    try:
        config = yaml.safe_load(contents[CONFIG])
        settings = comparable_settings(config)
        seed, num_rounds = int(settings["seed_everything"]), int(config["loop"]["num_rounds"]) + 1
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"Expected {path / CONFIG} to have the settings of a run, but got something else.") from error
    rounds = _table(path, ROUNDS, contents, [field.name for field in fields(Round)])
    queries = _table(path, QUERIES, contents, ["round", "order", "index", "label"])
    if not np.isfinite(rounds["test_acc"]).all():
        raise InputError(f"Expected test accuracies in {path / ROUNDS}, but one is not a number.")
    if (np.diff(rounds["num_labeled"]) <= 0).any():
        raise InputError(f"Expected more labels in each round of {path / ROUNDS}, but they do not ascend.")
    if not len(rounds):
        raise InputError(f"Expected a finished round in {path}, but its {ROUNDS} has none yet.")
    return Run(
        path=path,
        arm=_arm(path),
        seed=seed,
        settings=settings,
        rounds=rounds,
        queries=queries[queries["label"] >= 0],  # without those that a labeler skipped
        calibration=_table(path, CALIBRATION, contents, ["round", "bin", "count", "confidence", "accuracy"]),
        diagnostics=_table(path, DIAGNOSTICS, contents, ["round", "name", "value"]),
        num_rounds=num_rounds,
    )


def read_study(
    paths: Iterable[Path],
    arms: Sequence[str] | None = None,
    max_labels: int | None = None,
    seeds: Sequence[int] | None = None,
) -> Study:
    """Reads the runs at or below some folders.

    Args:
        paths: Run folders, or folders of them.
        arms: The arms to keep, in this order; all of them, sorted, if not given.
        max_labels: Rounds with more labels are left out.
        seeds: The seeds to keep, which all arms must have; those that all arms have, if not given.

    Raises:
        InputError: If there are no runs, or they are not of one protocol; the message names the setting that differs.
    """
    runs: dict[tuple[str, int], Run] = {}
    notes = []
    found = find_runs(paths)
    known = sorted({_arm(path) for path in found})
    for arm in arms or []:
        if arm not in known:
            raise InputError(f"Expected the arms to be among {', '.join(known)}, but got `{arm}`.")
    for path in found:
        if arms is not None and _arm(path) not in arms:
            continue
        if has_no_round(path):
            notes.append(f"{path} has no finished round yet: left out.")
            continue
        run = read_run(path)
        other = runs.setdefault((run.arm, run.seed), run)
        if other is not run:
            raise InputError(f"Expected one run of `{run.arm}` with seed {run.seed}, but got {other.path} and {path}.")
    for arm in arms or []:
        if not any(run.arm == arm for run in runs.values()):
            raise InputError(f"Expected a run of `{arm}` with a finished round, but there is none yet.")
    if not runs:
        raise InputError(f"Expected runs with finished rounds in {', '.join(map(str, paths))}, but found none.")
    names = list(arms) if arms is not None else sorted({arm for arm, _ in runs})
    by_arm = {
        name: sorted((run for run in runs.values() if run.arm == name), key=lambda run: run.seed) for name in names
    }
    if seeds is not None:
        _check_seeds(by_arm, seeds)
        by_arm = _of_seeds(by_arm, seeds)
    _check_settings(by_arm)
    common = _common_seeds(by_arm, notes)
    by_arm = _of_seeds(by_arm, common)
    num_labeled = _common_rounds(by_arm, max_labels, notes)
    _check_queries(by_arm, num_labeled)
    return Study(by_arm, common, num_labeled, tuple(notes))


# --------------------------------------------------------------------------------------------------- what is compared


def _is_method(name: str) -> bool:
    return any(name == method or name.startswith(f"{method}.") for method in METHOD)


def _check_settings(by_arm: Mapping[str, Sequence[Run]]) -> None:
    """Raises :class:`InputError` if runs of an arm differ in more than the seed, or arms in more than the method."""
    first = next(iter(by_arm.values()))[0]
    for runs in by_arm.values():
        for run in runs:
            for other, same_arm in ((runs[0], True), (first, False)):
                for name in sorted(run.settings.keys() | other.settings.keys()):
                    here, there = run.settings.get(name), other.settings.get(name)
                    if here != there and name != "seed_everything" and (same_arm or not _is_method(name)):
                        raise InputError(
                            f"Expected runs of one protocol, but `{name}` is {there} in {other.path} and {here} in "
                            f"{run.path}."
                        )


def _of_seeds(by_arm: Mapping[str, Sequence[Run]], seeds: Collection[int]) -> dict[str, list[Run]]:
    return {name: [run for run in runs if run.seed in seeds] for name, runs in by_arm.items()}


def _check_seeds(by_arm: Mapping[str, Sequence[Run]], seeds: Iterable[int]) -> None:
    """Raises :class:`InputError` if an arm has no run with one of the seeds that were asked for."""
    for name, runs in by_arm.items():
        found = sorted(run.seed for run in runs)
        if missing := sorted(set(seeds).difference(found)):
            raise InputError(
                f"Expected `--seeds` to be seeds that all arms have, but `{name}` has no run with seed {missing[0]}, "
                f"only with {', '.join(map(str, found))}."
            )


def _common_seeds(by_arm: Mapping[str, Sequence[Run]], notes: list[str]) -> tuple[int, ...]:
    seeds = {name: {run.seed for run in runs} for name, runs in by_arm.items()}
    common = set.intersection(*seeds.values())
    if not common:
        listed = ", ".join(f"{name} {sorted(found)}" for name, found in seeds.items())
        raise InputError(f"Expected a seed that all arms have, to pair the runs by, but got {listed}.")
    for name, found in seeds.items():
        if found - common:
            left_out = ", ".join(map(str, sorted(found - common)))
            notes.append(f"Seeds {left_out} of {name} are left out: not all arms have them.")
    if len(common) == 1:
        notes.append("There is one seed only: no interval and no test is possible, and a lead may be chance.")
    return tuple(sorted(common))


def _common_rounds(by_arm: Mapping[str, Sequence[Run]], max_labels: int | None, notes: list[str]) -> np.ndarray:
    runs = [run for arm_runs in by_arm.values() for run in arm_runs]
    common = min(len(run.rounds) for run in runs)
    shortest = min(runs, key=lambda run: len(run.rounds))
    if any(len(run.rounds) > common for run in runs):
        notes.append(
            f"The runs have different numbers of rounds: the first {common}, which all have, are used "
            f"({shortest.path} has no more)."
        )
    unfinished = sum(not run.is_finished for run in runs)
    if unfinished:
        notes.append(f"{unfinished} of {len(runs)} runs are in progress, or were stopped: figures will change.")
    num_labeled = shortest.rounds["num_labeled"].to_numpy(int)[:common]
    for run in runs:
        if not np.array_equal(run.rounds["num_labeled"].to_numpy(int)[:common], num_labeled):
            raise InputError(f"Expected the same numbers of labels in {run.path} and {shortest.path}, but they differ.")
    if max_labels is not None:
        if max_labels < num_labeled[0]:
            raise InputError(f"Expected `--max_labels` to be at least {num_labeled[0]}, but got {max_labels}.")
        num_labeled = num_labeled[num_labeled <= max_labels]
    return num_labeled


def _check_queries(by_arm: Mapping[str, Sequence[Run]], num_labeled: np.ndarray) -> None:
    """Raises :class:`InputError` if labels are missing, or runs of one seed start from different ones."""
    first = next(iter(by_arm.values()))
    for run, other in ((run, other) for runs in by_arm.values() for run, other in zip(runs, first, strict=True)):
        if len(run.queries) < num_labeled[-1]:
            raise InputError(f"Expected {num_labeled[-1]} labels in {run.path / QUERIES}, but got {len(run.queries)}.")
        initial = [set(r.queries["index"][: num_labeled[0]]) for r in (run, other)]
        if initial[0] != initial[1]:
            raise InputError(f"Expected the same initial set in {run.path} and {other.path}, but they differ.")


# ------------------------------------------------------------------------------------------------------------ reading


def _arm(path: Path) -> str:
    """``runs/badge/seed0`` is a run of ``badge``; any other folder is an arm of its own name."""
    path = path.resolve()
    return path.parent.name if re.fullmatch(r"seed\d+", path.name) else path.name


def has_no_round(path: Path) -> bool:
    """Whether a run has not finished its first round yet."""
    return len((_read(path / ROUNDS) or "").splitlines()) < 2


def _read_contents(path: Path) -> dict[str, str]:
    """Reads all files, of one moment: a process may be committing the next round just now."""
    for _ in range(50):
        contents = {
            name: text
            for name in (CONFIG, ROUNDS, QUERIES, CALIBRATION, DIAGNOSTICS)
            if (text := _read(path / name)) is not None
        }
        for name in (CONFIG, ROUNDS, QUERIES):
            if name not in contents:
                raise InputError(f"Expected {name} in the run folder {path}, but it is missing.")
        commit = _read(path / COMMIT)
        if commit is None:  # published results have none
            return contents
        try:
            sha256 = json.loads(commit)["sha256"]
        except (ValueError, KeyError, TypeError):
            sha256 = {}
        if (
            all(
                sha256.get(name) == hashlib.sha256(text.encode()).hexdigest()
                for name, text in contents.items()
                if name in sha256
            )
            and sha256
        ):
            return contents
        time.sleep(0.05)
    raise InputError(f"Expected the files in {path} as they were committed, but one was edited or is torn.")


def _read(path: Path) -> str | None:
    compressed = path.with_name(f"{path.name}.gz")
    try:
        if path.exists():
            return path.read_bytes().decode()
        return gzip.decompress(compressed.read_bytes()).decode() if compressed.exists() else None
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(f"Expected {path} to be a file of a run, but it cannot be read: {error}.") from error


def _table(path: Path, name: str, contents: Mapping[str, str], columns: list[str]) -> pd.DataFrame:
    text = contents.get(name)
    if text is None:
        return pd.DataFrame(columns=columns)
    try:
        table = pd.read_csv(io.StringIO(text))
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(f"Expected {path / name} to be a table of a run, but it cannot be read: {error}.") from error
    for column in columns:
        if column not in table:
            raise InputError(f"Expected the column `{column}` in {path / name}, but it has {', '.join(table.columns)}.")
        if column != "name" and len(table) and not is_numeric_dtype(table[column]):
            raise InputError(f"Expected numbers in the column `{column}` of {path / name}, but got something else.")
    return table
