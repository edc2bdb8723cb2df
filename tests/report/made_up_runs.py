"""Run folders with planted accuracies: the findings of a study are known beforehand."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from al_lightning.run_folder import (
    CALIBRATION,
    CONFIG,
    DIAGNOSTICS,
    QUERIES,
    ROUNDS,
    CalibrationBin,
    Diagnostic,
    Query,
    Round,
    RunFolder,
)
from al_lightning.run_folder.tables import COLUMNS, to_csv

QUERY_SIZE = 100
NUM_CLASSES = 10
Curve = Callable[[int, int], float]
"""Accuracy by seed and number of labels."""


def settings(
    strategy: str = "Random",
    seed: int = 0,
    num_rounds: int = 100,
    num_initial: int = 500,
    dropout: float = 0.5,
    model: str = "DropoutMLP",
    **trainer: Any,
) -> dict[str, Any]:
    init_args = {"num_samples": 20} if strategy == "BALD" else {}
    return {
        "seed_everything": seed,
        "trainer": {"max_epochs": 200, **trainer},
        "model": {"class_path": f"al_lightning.{model}", "init_args": {"dropout": dropout}},
        "data": {"class_path": "al_lightning.FashionMNIST", "init_args": {"num_initial": num_initial}},
        "loop": {
            "strategy": {"class_path": f"al_lightning.{strategy}", "init_args": init_args},
            "query_size": QUERY_SIZE,
            "num_rounds": num_rounds,
        },
    }


def write_run(
    path: Path,
    given: dict[str, Any],
    accuracy: Sequence[float],
    seconds_score: float = 0.25,
    diagnostics: dict[str, Sequence[float]] | None = None,
    asked_for: Sequence[int] = (),
    metrics: dict[str, Sequence[float | None]] | None = None,
) -> Path:
    """Writes a run folder whose rounds have these test accuracies, as the loop does.

    Each strategy and seed queries at random, unless there are indices that it asks for first. Metrics become further
    columns of rounds.csv.
    """
    folder = RunFolder.open(path, given)
    rounds = _rounds(given, accuracy, seconds_score, metrics)
    queries = _queries(given, len(accuracy), asked_for)
    folder.commit(rounds, queries, _bins(len(accuracy)), _diagnostics(diagnostics))
    folder.close()
    return path


def write_published_run(
    path: Path,
    given: dict[str, Any],
    accuracy: Sequence[float],
    seconds_score: float = 0.25,
    diagnostics: dict[str, Sequence[float]] | None = None,
    asked_for: Sequence[int] = (),
) -> None:
    """Writes the same tables without a commit, like a published run: much faster than :func:`write_run`."""
    path.mkdir(parents=True)
    (path / CONFIG).write_text(yaml.safe_dump(given))
    (path / ROUNDS).write_text(to_csv(ROUNDS, _rounds(given, accuracy, seconds_score)))
    (path / QUERIES).write_text(_queries_text(*_queried(given), len(accuracy), tuple(asked_for)))
    (path / CALIBRATION).write_text(_bins_text(len(accuracy)))
    (path / DIAGNOSTICS).write_text(to_csv(DIAGNOSTICS, _diagnostics(diagnostics)))


def _diagnostics(values: dict[str, Sequence[float]] | None) -> list[Diagnostic]:
    return [Diagnostic(r, name, v) for name, of_rounds in (values or {}).items() for r, v in enumerate(of_rounds)]


def _queried(given: dict[str, Any]) -> tuple[str, int, int]:
    """What the queries of a run depend on: strategy, seed and size of the initial set."""
    return (
        given["loop"]["strategy"]["class_path"],
        given["seed_everything"],
        given["data"]["init_args"]["num_initial"],
    )


def _rounds(
    given: dict[str, Any],
    accuracy: Sequence[float],
    seconds_score: float,
    metrics: dict[str, Sequence[float | None]] | None = None,
) -> list[Round]:
    first = given["data"]["init_args"]["num_initial"]
    return [
        Round(
            *(r, first + QUERY_SIZE * r, acc, 0.5, 0.3, 0.05, 0.99, 60, True, 2.0, seconds_score, 0.0, 0.125),
            metrics={name: values[r] for name, values in (metrics or {}).items()},
        )
        for r, acc in enumerate(accuracy)
    ]


def _bought(strategy: str, seed: int, first: int, num_rounds: int, asked_for: tuple[int, ...]) -> list[int]:
    """Indices in the order bought."""
    initial = np.random.default_rng(seed).permutation(60_000)[:first]
    rest = np.setdiff1d(np.arange(60_000), initial)
    rng = np.random.default_rng([seed, *strategy.encode()])
    indices = np.concatenate([initial, np.asarray(asked_for, int), rng.permutation(rest)])
    return indices[: first + QUERY_SIZE * (num_rounds - 1)].tolist()


def _queries(given: dict[str, Any], num_rounds: int, asked_for: Sequence[int]) -> list[Query]:
    strategy, seed, first = _queried(given)
    return [
        Query(
            round=max(0, (i - first) // QUERY_SIZE + 1),
            order=i if i < first else (i - first) % QUERY_SIZE,
            index=index,
            label=index % NUM_CLASSES,
            score=None,
            predicted=None if i < first else index % 7,
            confidence=None if i < first else 0.5,
        )
        for i, index in enumerate(_bought(strategy, seed, first, num_rounds, tuple(asked_for)))
    ]


@cache
def _queries_text(strategy: str, seed: int, first: int, num_rounds: int, asked_for: tuple[int, ...]) -> str:
    """The same queries as text, written without a million objects."""
    bought = _bought(strategy, seed, first, num_rounds, asked_for)
    lines = [f"0,{i},{index},{index % NUM_CLASSES},,," for i, index in enumerate(bought[:first])]
    for i, index in enumerate(bought[first:]):
        lines.append(f"{i // QUERY_SIZE + 1},{i % QUERY_SIZE},{index},{index % NUM_CLASSES},,{index % 7},0.5")
    return "\n".join([",".join(COLUMNS[QUERIES]), *lines, ""])


def _bins(num_rounds: int) -> list[CalibrationBin]:
    return [CalibrationBin(r, b, 10 * (b + 1), (b + 0.5) / 15, b / 15) for r in range(num_rounds) for b in range(15)]


@cache
def _bins_text(num_rounds: int) -> str:
    return to_csv(CALIBRATION, _bins(num_rounds))


def noise(seed: int, labels: int) -> float:
    """Noise that all arms share, like the initial set and the test set."""
    return 0.01 * float(np.sin(seed + 1)) + 0.002 * float(np.sin(0.01 * labels))


def jitter(arm: str, seed: int, labels: int, size: float = 0.0005) -> float:
    """Noise that pairing does not cancel. Round 0 has none."""
    if labels == 500:
        return 0.0
    return size * float(np.random.default_rng([seed, labels, *arm.encode()]).normal())


def learning_curve(gain: float = 0.0, late_gain: float | None = None) -> Curve:
    """Rises from 0.78 at 500 labels. ``gain`` comes on top from the first query on."""

    def accuracy(seed: int, labels: int) -> float:
        start = 0.78 + 0.035 * float(np.log(labels / 500))
        share = (labels - 500) / 10_000
        added = gain if late_gain is None else gain + (late_gain - gain) * share
        return start + noise(seed, labels) + (added if labels > 500 else 0.0)

    return accuracy


def write_study(
    folder: Path,
    arms: dict[str, tuple[dict[str, Any], Curve]],
    num_seeds: int = 10,
    num_rounds: int = 100,
    seconds_score: dict[str, float] | None = None,
) -> Path:
    """Writes a run for each arm, ``(arguments of settings, curve)``, and seed."""
    for arm, (given, curve) in arms.items():
        for seed in range(num_seeds):
            labels = [500 + QUERY_SIZE * r for r in range(num_rounds + 1)]
            write_published_run(
                folder / arm / f"seed{seed}",
                settings(seed=seed, num_rounds=num_rounds, **given),
                [round(curve(seed, n) + jitter(arm, seed, n), 4) for n in labels],
                (seconds_score or {}).get(arm, 0.25),
            )
    return folder
