"""What runs log besides the known columns: further metrics in rounds.csv, and diagnostics."""

import re
from collections.abc import Iterable
from math import inf

import numpy as np
import pandas as pd

from al_lightning.report.read_run import Run
from al_lightning.report.stats.curves import pointwise_band
from al_lightning.report.study import Study
from al_lightning.run_folder.tables import COLUMNS, ROUNDS

SHARES = frozenset({"acc", "accuracy", "auroc", "f1", "f1score", "precision", "recall", "specificity"})
"""Words in the names of metrics from 0 to 1."""


def metric_names(study: Study) -> list[str]:
    """Returns the columns of rounds.csv after the known ones, of any run."""
    columns = [str(name) for runs in study.runs.values() for run in runs for name in run.rounds]
    return [name for name in dict.fromkeys(columns) if name not in COLUMNS[ROUNDS]]


def range_of(name: str) -> tuple[float, float]:
    """Returns the range of a metric by its name: 0 to 1 for shares such as an F1, and no limits for any other.

    Example:
        >>> range_of("test_macro_f1"), range_of("test_loss")
        ((0.0, 1.0), (-inf, inf))
    """
    return (0.0, 1.0) if set(re.split(r"[^a-z0-9]+", name.lower())) & SHARES else (-inf, inf)


def metric_table(study: Study) -> pd.DataFrame:
    """Returns the further metrics: :attr:`Analysis.metrics`."""
    return _table(study, metric_names(study))


def diagnostic_table(study: Study) -> pd.DataFrame:
    """Returns the diagnostics, without metrics: :attr:`Analysis.diagnostics`.

    A run writes what its model logs to both files, but a report shows it once.
    """
    names = {name for runs in study.runs.values() for run in runs for name in run.diagnostics["name"]}
    return _table(study, sorted(names.difference(metric_names(study))))


def logged_curves(study: Study, arm: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns a metric or diagnostic in the Q rounds in which all seeds have a finite value.

    Returns:
        Labels in these rounds, ``(Q,)``, and the values, ``(S, Q)``.
    """
    columns = [_values_of(run, name) for run in study.runs[arm]]
    table = pd.concat(columns, axis=1, join="inner").astype(float).sort_index()  # an empty table is of objects
    table = table[np.isfinite(table).all(axis=1) & (table.index < study.num_rounds)]
    return study.num_labeled[table.index.to_numpy(int)], table.to_numpy(float).T


def _values_of(run: Run, name: str) -> pd.Series:
    """Returns the values by round, from rounds.csv, and from diagnostics.csv where rounds.csv has none."""
    rows = run.diagnostics[run.diagnostics["name"] == name].drop_duplicates("round")
    values = rows.set_index("round")["value"].astype(float)
    return run.rounds.set_index("round")[name].astype(float).combine_first(values) if name in run.rounds else values


def _table(study: Study, names: Iterable[str]) -> pd.DataFrame:
    """One row an arm, name and round, with the mean over seeds and its interval."""
    tables = []
    for arm in study.arms:
        for name in names:
            labels, curves = logged_curves(study, arm, name)
            if not len(labels):
                continue
            band = pointwise_band(curves).within(*range_of(name))
            found = {"num_labeled": labels, "name": name, "mean": band.mean, "low": band.low, "high": band.high}
            tables.append(pd.DataFrame({"arm": arm, **found}))
    columns = ["arm", "num_labeled", "name", "mean", "low", "high"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
