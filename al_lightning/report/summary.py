"""summary.csv and summary.json: the numbers of a report, for other programs."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from al_lightning.report.analysis import Analysis
from al_lightning.report.claims.judge import Claim
from al_lightning.version import __version__

FORMAT = 1
"""Format of summary.json. It grows if something in the file changes its meaning."""


def summary_csv(analysis: Analysis) -> str:
    """Returns the endpoints and the further metrics, one row an arm and endpoint.

    The columns are those of :attr:`Analysis.endpoints`. An unknown value is empty.
    """
    return analysis.endpoints.to_csv(index=False, lineterminator="\n")


def summary_json(analysis: Analysis, claims: Sequence[Claim] = ()) -> str:
    """Returns all tables of the analysis, with the arms and the protocol, as strict JSON.

    Values that are unknown and bounds that are infinite are ``null``.
    """
    study = analysis.study
    content = {
        "format": FORMAT,
        "baseline": analysis.baseline,
        "arms": {arm: study.method(arm) for arm in study.arms},
        "seeds": study.seeds,
        "num_labeled": study.num_labeled,
        "protocol": study.protocol,
        "varied": study.varied,
        "findings": analysis.findings,
        "notes": analysis.notes,
        "claims": [vars(claim) for claim in claims],
        "endpoints": analysis.endpoints,
        "efficiency": analysis.efficiency,
        "penalty": _matrix(analysis.penalty),
        "overlap": _matrix(analysis.overlap),
        "cost": analysis.cost,
        "bands": dict(analysis.bands),
        "balance": analysis.balance,
        "calibration": analysis.calibration,
        "diagnostics": analysis.diagnostics,
        "metrics": analysis.metrics,
        "falls": analysis.falls,
        "asked": analysis.asked,
        "classes": analysis.classes,
        "machines": analysis.machines,
        "versions": versions(),
    }
    return json.dumps(_plain(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def versions() -> dict[str, str]:
    """Returns the versions of the programs that write the report."""
    return {"al_lightning": __version__, "torch": version("torch"), "python": platform.python_version()}


def _matrix(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {str(name): dict(row) for name, row in table.iterrows()}


def _plain(value: Any) -> Any:
    """Turns tables into lists of rows, and numbers that JSON lacks into ``None``."""
    if isinstance(value, pd.DataFrame):
        return [_plain(row) for row in value.to_dict("records")]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)
