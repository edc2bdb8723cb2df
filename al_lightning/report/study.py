"""Reads runs as a study, and refuses runs that cannot be compared."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from al_lightning.errors import InputError, did_you_mean
from al_lightning.report.read_run import Run, arm_of, find_runs, has_no_round, read_run
from al_lightning.run_folder.settings import differing
from al_lightning.run_folder.tables import ASKED, QUERIES

METHOD = ("loop.strategy", "model")
"""The settings that make an arm: its query and its training. All other settings are the protocol."""
SEED = "seed_everything"
NEVER_VARIED = ("data", "data.num_initial", "loop", "loop.query_size", SEED, "trainer")
"""Names that ``vary`` does not take: arms with other data, or with other numbers of labels, cannot be paired."""


ONE_BY_ONE = "; a report of one run of people works by itself"


@dataclass(frozen=True)
class Study:
    """Runs of one protocol: K arms with S seeds each, and as many rounds R as all of them have.

    :func:`read_study` makes it. Row ``s`` of each array is the same seed in all arms, so that comparisons are paired.
    """

    runs: Mapping[str, Sequence[Run]]
    """The runs of each arm with the common seeds, by ascending seed."""
    seeds: tuple[int, ...]
    num_labeled: np.ndarray
    """Labels in each round, int, shape ``(R,)``."""
    notes: tuple[str, ...]
    """Sentences about what was left out, and why."""
    varied: tuple[str, ...] = ()
    """Further settings by which arms may differ. They belong to the training of an arm."""

    @property
    def arms(self) -> list[str]:
        return list(self.runs)

    @property
    def num_rounds(self) -> int:
        return len(self.num_labeled)

    @property
    def all_runs(self) -> list[Run]:
        return [run for runs in self.runs.values() for run in runs]

    @property
    def is_of_people(self) -> bool:
        """Whether people answered the questions of a run."""
        return any(run.is_of_people for run in self.all_runs)

    @cached_property
    def is_tested(self) -> bool:
        """Whether all runs have a curve of test accuracies over labels.

        Runs of people may have no test set. If people skip a whole query, two rounds have the same number of labels,
        and there is no such curve either.
        """
        return bool((np.diff(self.num_labeled) > 0).all()) and not any(
            run.rounds["test_acc"].isna().any() for run in self.all_runs
        )

    def curves(self, arm: str, column: str = "test_acc") -> np.ndarray:
        """Returns a column of rounds.csv, float, shape ``(S, R)``."""
        return np.stack([run.rounds[column].to_numpy(float)[: self.num_rounds] for run in self.runs[arm]])

    @cached_property
    def accuracy(self) -> dict[str, np.ndarray]:
        """Test accuracies by arm, ``(S, R)`` each."""
        return {arm: self.curves(arm) for arm in self.arms}

    def method(self, arm: str) -> dict[str, Any]:
        """Settings by which an arm differs from the protocol."""
        return {name: value for name, value in self.runs[arm][0].settings.items() if self._is_method(name)}

    def recipe(self, arm: str) -> dict[str, Any]:
        """Settings of an arm's training. Arms with the same recipe and seed have the same round 0."""
        return {name: value for name, value in self.method(arm).items() if not name.startswith("loop.strategy")}

    @property
    def protocol(self) -> dict[str, Any]:
        """Settings that all runs share."""
        settings = next(iter(self.runs.values()))[0].settings
        return {name: value for name, value in settings.items() if not (self._is_method(name) or name == SEED)}

    def is_varied(self, name: str) -> bool:
        """Whether a setting is one by which arms were allowed to differ."""
        return _is_below(name, self.varied)

    def _is_method(self, name: str) -> bool:
        return _is_below(name, (*METHOD, *self.varied))


def read_study(
    paths: Iterable[Path],
    arms: Sequence[str] | None = None,
    max_labels: int | None = None,
    seeds: Sequence[int] | None = None,
    vary: Sequence[str] = (),
) -> Study:
    """Reads the runs at or below some folders.

    Args:
        paths: Run folders, or folders of run folders.
        arms: The arms to keep, in this order. By default all arms, sorted.
        max_labels: Rounds with more labels are left out.
        seeds: The seeds to keep, which all arms must have. By default the seeds that all arms have.
        vary: Settings of the protocol by which arms may differ, such as ``data.batch_size``.

    Raises:
        InputError: If there are no runs, or their protocols differ. The message names the setting that differs. Also if
            ``vary`` is not a setting of the runs.
    """
    runs: dict[tuple[str, int], Run] = {}
    notes = []
    found = find_runs(paths)
    known = sorted({arm_of(path) for path in found})
    for arm in arms or []:
        if arm not in known:
            raise InputError(f"Expected the arms to be among {', '.join(known)}, but got `{arm}`.")
    for path in found:
        if arms is not None and arm_of(path) not in arms:
            continue
        if has_no_round(path):
            notes.append(f"{path} has no finished round yet{_waiting(path)}: left out.")
            continue
        run = read_run(path)
        other = runs.setdefault((run.arm, run.seed), run)
        if other is not run:
            raise InputError(f"Expected one run of `{run.arm}` with seed {run.seed}, but got {other.path} and {path}.")
    for arm in arms or []:
        if not any(run.arm == arm for run in runs.values()):
            raise InputError(f"Expected a run of `{arm}` with a finished round, but there is none yet.")
    if not runs:
        where, waiting = ", ".join(map(str, paths)), "".join(map(_waiting, found[:1]))
        raise InputError(f"Expected runs with finished rounds in {where}, but found none{waiting}.")
    names = list(arms) if arms is not None else sorted({arm for arm, _ in runs})
    by_arm = {
        name: sorted((run for run in runs.values() if run.arm == name), key=lambda run: run.seed) for name in names
    }
    if seeds is not None:
        _check_seeds(by_arm, seeds)
        by_arm = _of_seeds(by_arm, seeds)
    _check_varied(runs.values(), vary)
    _check_settings(by_arm, vary)
    common = _common_seeds(by_arm, notes)
    by_arm = _of_seeds(by_arm, common)
    num_labeled = _common_rounds(by_arm, max_labels, notes)
    _check_queries(by_arm, num_labeled)
    study = Study(by_arm, common, num_labeled, tuple(notes), tuple(vary))
    return replace(study, notes=(*notes, *_notes_on_tests(study)))


def _waiting(path: Path) -> str:
    """Words for a run that waits for its first labels; empty for any other run."""
    return f", because it waits for labels: al-lightning label {path}" if (path / ASKED).is_file() else ""


def _notes_on_tests(study: Study) -> list[str]:
    """Says why there is no accuracy."""
    if study.is_tested:
        return []
    without = [run for run in study.all_runs if run.rounds["test_acc"].isna().any()]
    if without:
        where = "" if len(without) == len(study.all_runs) else f" of {', '.join(str(run.path) for run in without)}"
        return [f"There is no test set{where}, so that the accuracy is not known."]
    return ["A whole query was skipped, so that two rounds have the same labels: curves over labels are left out."]


# --------------------------------------------------------------------------------------------------- what is compared


def _is_below(name: str, groups: Collection[str]) -> bool:
    """Whether a setting is one of some names, or below one, as ``data.train_transform.size`` is."""
    return any(name == group or name.startswith(f"{group}.") for group in groups)


def _check_varied(runs: Iterable[Run], vary: Sequence[str]) -> None:
    """Raises :class:`InputError` unless arms may differ by these settings, and a run has them."""
    names = sorted({name for run in runs for name in run.settings})
    for name in vary:
        if name in NEVER_VARIED:
            raise InputError(
                f"Expected `--vary` to name a setting of the training, such as `data.batch_size`, but got `{name}`."
            )
        if not any(_is_below(known, [name]) for known in names):
            raise InputError(
                f"Expected `--vary` to name a setting of the runs, but got `{name}`{did_you_mean(name, names)}"
            )


def _check_settings(by_arm: Mapping[str, Sequence[Run]], vary: Sequence[str]) -> None:
    """Raises :class:`InputError` if runs of an arm differ beyond the seed, or arms differ beyond the method."""
    first = next(iter(by_arm.values()))[0]
    method = (*METHOD, *vary)
    for arm, runs in by_arm.items():
        for run in runs:
            for name, was, now in _differing(runs[0], run, ()):
                raise InputError(
                    f"Expected runs of `{arm}` that differ in their seeds only, but `{name}` is {was} in "
                    f"{runs[0].path} and {now} in {run.path}."
                )
            found = _differing(first, run, method)
            for name, was, now in sorted(found, key=lambda row: row[0] not in NEVER_VARIED):
                raise InputError(
                    f"Expected runs of one protocol, but `{name}` is {was} in {first.path} and {now} in {run.path}"
                    f"{ONE_BY_ONE if run.is_of_people else _hint([name for name, _, _ in found])}."
                )


def _hint(names: Sequence[str]) -> str:
    """Words for the option that compares arms which differ in these settings, if there is one."""
    if any(name in NEVER_VARIED for name in names):
        return ""
    whole = [name for name in names if not any(name.startswith(f"{other}.") for other in names)]
    return f"; to compare them anyway: {' '.join(f'--vary {name}' for name in whole)}"


def _differing(run: Run, other: Run, ignored: Collection[str]) -> list[tuple[str, Any, Any]]:
    """Returns the settings besides the seed that differ between two runs, with both values."""
    there, here = (
        {name: value for name, value in one.settings.items() if not _is_below(name, (SEED, *ignored))}
        for one in (run, other)
    )
    return [(name, was, now) for name, (was, now) in differing(there, here).items()]


def _of_seeds(by_arm: Mapping[str, Sequence[Run]], seeds: Collection[int]) -> dict[str, list[Run]]:
    return {name: [run for run in runs if run.seed in seeds] for name, runs in by_arm.items()}


def _check_seeds(by_arm: Mapping[str, Sequence[Run]], seeds: Iterable[int]) -> None:
    """Raises :class:`InputError` if an arm has no run with one of the given seeds."""
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
    arms_of: dict[tuple[int, ...], list[str]] = {}  # by the seeds that other arms lack
    for name, found in seeds.items():
        if left_out := tuple(sorted(found - common)):
            arms_of.setdefault(left_out, []).append(name)
    if arms_of:
        listed = "; ".join(
            f"seed{'s' * (len(left_out) > 1)} {', '.join(map(str, left_out))} of {', '.join(names)}"
            for left_out, names in arms_of.items()
        )
        notes.append(f"Not all arms have all seeds, and these are left out: {listed}.")
    if len(common) == 1 and (len(by_arm) > 1 or not next(iter(by_arm.values()))[0].is_of_people):
        notes.append("There is one seed only: no interval and no test is possible, and a lead may be chance.")
    return tuple(sorted(common))


def _common_rounds(by_arm: Mapping[str, Sequence[Run]], max_labels: int | None, notes: list[str]) -> np.ndarray:
    runs = [run for arm_runs in by_arm.values() for run in arm_runs]
    common = min(len(run.rounds) for run in runs)
    shortest = min(runs, key=lambda run: len(run.rounds))
    if any(len(run.rounds) > common for run in runs):
        notes.append(
            f"The runs have different numbers of rounds. The report uses the first {common}, which all have "
            f"({shortest.path} has no more)."
        )
    planned = max(run.num_rounds for run in runs)
    unfinished = sum(len(run.rounds) < planned for run in runs)
    if unfinished:
        which = "The run is" if len(runs) == 1 else f"{unfinished} of {len(runs)} runs are"
        stopped = "was" if len(runs) == 1 else "were"
        notes.append(
            f"{which} in progress, or {stopped} stopped, before the {planned} planned rounds: the numbers will change."
        )
    num_labeled = shortest.rounds["num_labeled"].to_numpy(int)[:common]
    for run in runs:
        if not np.array_equal(run.rounds["num_labeled"].to_numpy(int)[:common], num_labeled):
            raise InputError(
                f"Expected the same numbers of labels in {run.path} and {shortest.path}, but they differ"
                f"{ONE_BY_ONE if run.is_of_people else ''}."
            )
    if max_labels is not None:
        if max_labels < num_labeled[0]:
            raise InputError(f"Expected `--max_labels` to be at least {num_labeled[0]}, but got {max_labels}.")
        num_labeled = num_labeled[num_labeled <= max_labels]
    return num_labeled


def _check_queries(by_arm: Mapping[str, Sequence[Run]], num_labeled: np.ndarray) -> None:
    """Raises :class:`InputError` if labels are missing, or runs of one seed have different initial sets."""
    first = next(iter(by_arm.values()))
    for run, other in ((run, other) for runs in by_arm.values() for run, other in zip(runs, first, strict=True)):
        bought = int((run.all_queries["label"] >= 0).sum())
        if bought < num_labeled[-1] and run.current_queries.equals(run.all_queries):  # corrections change the number
            raise InputError(f"Expected {num_labeled[-1]} labels in {run.path / QUERIES}, but got {bought}.")
        initial = [set(r.queries["index"][r.queries["round"] == 0]) for r in (run, other)]
        if initial[0] != initial[1]:
            raise InputError(f"Expected the same initial set in {run.path} and {other.path}, but they differ.")
