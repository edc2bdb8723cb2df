"""Analyses of small run folders, for the tests of reports: real digits, made-up predictions, rough statistics."""

import itertools
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pandas as pd

from al_lightning.run_folder import CalibrationBin, Diagnostic, Query, Round, RunFolder
from al_lightning.study.analysis import Analysis
from al_lightning.study.runs import Study, read_study
from tests.helpers import digits

ARMS = ("random", "entropy", "<b>&")
SEEDS = (0, 1)
NUM_ROUNDS, NUM_INITIAL, QUERY_SIZE = 7, 50, 20
PARTS = ("fit", "score", "select", "test")


@cache
def runs() -> Path:
    """Runs of three arms with two seeds; the third arm queries as the first and is trained in another way."""
    folder = Path(mkdtemp())
    for arm, seed in itertools.product(ARMS, SEEDS):
        write_run(folder / arm / f"seed{seed}", arm, seed)
    return folder


def write_run(path: Path, arm: str, seed: int, data: str = "tests.digits.Digits") -> None:
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
    order = generator.permutation(len(targets))
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
    return read_study([runs() / arm / f"seed{seed}" for arm in arms for seed in SEEDS[:num_seeds]], arms, max_rounds)


def analysis(found: Study | None = None) -> Analysis:
    """The tables of an analysis; the first arm is the baseline, the second reaches no target."""
    found = found or study()
    baseline, num_labeled, many = found.arms[0], found.num_labeled, len(found.seeds) > 1
    half = 0.02 if many else np.nan
    bands: dict[str, pd.DataFrame] = {}
    endpoints, efficiency, balance, calibration, cost, diagnostics = [], [], [], [], [], []
    for arm in found.arms:
        accuracy = found.accuracy[arm]
        difference = accuracy - found.accuracy[baseline]
        bands[arm] = pd.DataFrame(
            {
                "num_labeled": num_labeled,
                "mean": accuracy.mean(0),
                "low": accuracy.mean(0) - half,
                "high": accuracy.mean(0) + half,
                "difference": difference.mean(0),
                "difference_low": difference.mean(0) - half,
                "difference_high": difference.mean(0) + half,
                "simultaneous_low": -np.inf if many else np.nan,  # as with too few seeds
                "simultaneous_high": np.inf if many else np.nan,
            }
        )
        other = np.nan if arm == baseline else 1.0
        p = other if many else np.nan
        for endpoint, first in (("aubc", 0), ("final_accuracy", -1)):
            mean, ahead = accuracy[:, first:].mean(), difference[:, first:].mean() * other
            interval = (mean - half, mean + half, ahead, ahead - half, ahead + half)
            endpoints.append((arm, endpoint, mean, *interval, 0.25 * p, 0.5 * p, 0.5 * p, 0.3 if many else np.nan))
        low, high = (0.9, np.inf) if many else (np.nan, np.nan)
        efficiency.append((arm, num_labeled[-1], 0.5, 60.0, 1.25, low, high, arm == "entropy"))
        balance += [(arm, n, 0.9) for n in num_labeled]
        bins = found.runs[arm][0].calibration
        calibration += [
            (arm, num_labeled[row["round"]], row["bin"], row["count"], row["confidence"], row["accuracy"])
            for row in bins[bins["round"] < len(num_labeled)].to_dict("records")
        ]
        seconds = [found.curves(arm, f"seconds_{part}") for part in PARTS]
        cost.append((arm, *(float(np.median(part)) for part in seconds), float(np.sum(seconds)) / 3600, 0.0))
        diagnostics += [(arm, n, "rank_correlation", 0.9, 0.8, 0.95) for n in num_labeled]
    square = pd.DataFrame(0.5, index=found.arms, columns=found.arms)
    columns = "arm endpoint mean low high difference difference_low difference_high p p_holm p_sign_flip best"
    return Analysis(
        study=found,
        baseline=baseline,
        bands=bands,
        endpoints=_table(endpoints, columns),
        efficiency=_table(efficiency, "arm target_labels target_accuracy labels ratio low high censored"),
        penalty=square.where(~np.eye(len(square), dtype=bool) & many),
        overlap=square,
        balance=_table(balance, "arm num_labeled entropy"),
        calibration=_table(calibration, "arm num_labeled bin count confidence accuracy"),
        cost=_table(cost, f"arm {' '.join(PARTS)} total capped"),
        diagnostics=_table(diagnostics, "arm num_labeled name mean low high"),
    )


def _table(rows: Sequence[tuple], columns: str) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())
