"""Analyses of small run folders, for the tests of reports: real digits, made-up predictions."""

import itertools
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from al_lightning.report.analysis import Analysis, analyse
from al_lightning.report.study import Study, read_study
from al_lightning.run_folder import CalibrationBin, Diagnostic, Query, Round, RunFolder
from tests.helpers import digits

ARMS = ("random", "entropy", "<b>&")
SEEDS = (0, 1)
NUM_ROUNDS, NUM_INITIAL, QUERY_SIZE = 7, 50, 20


@cache
def runs() -> Path:
    """Runs of three arms with two seeds; the third arm queries as the first and is trained in another way."""
    folder = Path(mkdtemp())
    for arm, seed in itertools.product(ARMS, SEEDS):
        write_run(folder / arm / f"seed{seed}", arm, seed)
    return folder


def write_run(path: Path, arm: str, seed: int, data: str = "tests.digits.FlatDigits") -> None:
    """Writes a run folder as the loop does."""
    generator = np.random.default_rng([seed, ARMS.index(arm)])
    settings = {
        "seed_everything": seed,
        "data": {"class_path": data, "init_args": {"num_initial": NUM_INITIAL}},
        "model": {"class_path": "tests.digits.DigitsMLP", "init_args": {"dropout": 0.1 if arm == "<b>&" else 0.5}},
        "loop": {
            "strategy": {"class_path": "al_lightning.Entropy" if arm == "entropy" else "al_lightning.Random"},
            "query_size": QUERY_SIZE,
            "num_rounds": NUM_ROUNDS - 1,
        },
    }
    targets = digits().train_targets
    shared = np.random.default_rng(seed).permutation(len(targets))
    order = np.concatenate([shared[:NUM_INITIAL], generator.permutation(shared[NUM_INITIAL:])])
    run = RunFolder.open(path, settings)
    bought: list[Query] = []
    for i in range(NUM_ROUNDS):
        num_labeled = NUM_INITIAL + i * QUERY_SIZE
        start = len(bought)
        for place, index in enumerate(order[start:num_labeled].tolist()):
            guess: tuple[Any, ...] = (None, None) if i == 0 else (int(generator.integers(10)), generator.random())
            bought.append(Query(i, place, index, int(targets[index]), None, *guess))
        accuracy = 0.5 + 0.05 * i + 0.02 * ARMS.index(arm) + 0.02 * generator.random()
        run.commit(
            [Round(i, num_labeled, accuracy, 1.0, 0.5, 0.1, 0.99, 20, True, 2.0 + i, 0.5, 0.1, 0.1)],
            bought[start:],
            [CalibrationBin(i, b, 40, (b + 0.5) / 10, (b + 0.3) / 10) for b in range(3, 10)],
            [Diagnostic(i, "rank_correlation", 0.9)],
        )
    run.close()


def study(arms: Sequence[str] = ARMS, max_rounds: int | None = None, num_seeds: int = 2) -> Study:
    """The runs as a study, read once; do not change it."""
    return _study(tuple(arms), max_rounds, num_seeds)


@cache
def _study(arms: tuple[str, ...], max_rounds: int | None, num_seeds: int) -> Study:
    max_labels = None if max_rounds is None else NUM_INITIAL + (max_rounds - 1) * QUERY_SIZE
    return read_study([runs() / arm / f"seed{seed}" for arm in arms for seed in SEEDS[:num_seeds]], arms, max_labels)


def analysis(found: Study | None = None) -> Analysis:
    """The tables of an analysis, computed once for each study; the first arm is the baseline. Do not change them."""
    found = found or study()
    if id(found) not in _analyses:
        _analyses[id(found)] = analyse(found, found.arms[0])
    return _analyses[id(found)]


_analyses: dict[int, Analysis] = {}
"""By the identity of the study, which lives on in the analysis."""
