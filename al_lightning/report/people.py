"""What people were asked in each round, what they answered, and what a round cost."""

from math import nan
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from al_lightning.report.read_run import Run
from al_lightning.report.study import Study

ASKED = [
    *("arm", "seed", "round", "num_labeled", "asked", "labeled", "skipped", "agreed", "agreed_low", "agreed_high"),
    *("corrected", "test_acc", "fit", "score", "select", "test"),
]
"""Columns of :attr:`Analysis.asked`."""
CLASSES = ["arm", "seed", "name", "labels", "share"]
"""Columns of :attr:`Analysis.classes`."""


def asked_table(study: Study) -> pd.DataFrame:
    """Returns what people were asked: :attr:`Analysis.asked`. It is empty if no run is of people."""
    rows = [row for run in study.all_runs if run.is_of_people for row in _rounds_of(run)]
    return pd.DataFrame(rows, columns=ASKED)


def class_table(study: Study) -> pd.DataFrame:
    """Returns how often people gave each class: :attr:`Analysis.classes`. It is empty if no run is of people."""
    rows = [row for run in study.all_runs if run.is_of_people for row in _classes_of(run)]
    return pd.DataFrame(rows, columns=CLASSES)


def by_run(table: pd.DataFrame) -> dict[tuple[str, int], pd.DataFrame]:
    """Returns the rows of each run, by its arm and seed."""
    found: dict[tuple[str, int], list[int]] = {}
    for place, (arm, seed) in enumerate(zip(table["arm"], table["seed"], strict=True)):
        found.setdefault((str(arm), int(seed)), []).append(place)
    return {run: table.iloc[places] for run, places in found.items()}


def _rounds_of(run: Run) -> list[dict[str, Any]]:
    """One row a round: the answers with which it began, and the seconds of its parts."""
    queries = run.current_queries
    corrected = queries["round"][queries["label"] != run.all_queries["label"]]
    rows = []
    num_labeled = 0
    for round in range(max(len(run.rounds), 1 + int(queries["round"].max() if len(queries) else 0))):
        answers = queries[queries["round"] == round]
        labeled = answers[answers["label"] >= 0]
        made = round < len(run.rounds)  # a round whose labels are there may still have to be fitted
        num_labeled = int(run.rounds["num_labeled"][round]) if made else num_labeled + len(labeled)
        agreed, low, high = _agreement(labeled)
        row = {
            "arm": run.arm,
            "seed": run.seed,
            "round": round,
            "num_labeled": num_labeled,
            "asked": len(answers),
            "labeled": len(labeled),
            "skipped": len(answers) - len(labeled),
            "agreed": agreed,
            "agreed_low": low,
            "agreed_high": high,
            "corrected": int((corrected == round).sum()),
        }
        row["test_acc"] = float(run.rounds["test_acc"][round]) if made else nan
        for part in ("fit", "score", "select", "test"):
            row[part] = float(run.rounds[f"seconds_{part}"][round]) if made else nan
        rows.append(row)
    return rows


def _agreement(labeled: pd.DataFrame) -> tuple[float, float, float]:
    """Share of the answers that the model had predicted, with Wilson's 95 % interval. NaN without predictions."""
    if "predicted" not in labeled:
        return nan, nan, nan
    known = labeled[labeled["predicted"].notna()]
    if known.empty:
        return nan, nan, nan
    found = stats.binomtest(int((known["predicted"] == known["label"]).sum()), len(known))
    interval = found.proportion_ci(method="wilson")
    return float(found.statistic), float(interval.low), float(interval.high)


def _classes_of(run: Run) -> list[dict[str, Any]]:
    """One row a class, also for a class that nobody has given yet."""
    labels = run.queries["label"].to_numpy(int)
    num_classes = max(len(run.class_names or ()), 1 + int(labels.max(initial=-1)))
    names = [*(run.class_names or ()), *map(str, range(len(run.class_names or ()), num_classes))]
    counts = np.bincount(labels, minlength=num_classes).tolist()
    return [
        {"arm": run.arm, "seed": run.seed, "name": name, "labels": count, "share": count / max(1, len(labels))}
        for name, count in zip(names, counts, strict=True)
    ]
