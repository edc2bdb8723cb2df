"""The tables of a report as Markdown, each under a name that stays the same."""

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from al_lightning.report.analysis import Analysis
from al_lightning.report.claims.judge import Claim

NOTHING = ""


def to_markdown(analysis: Analysis, claims: Sequence[Claim] = (), notes: Sequence[str] = ()) -> str:
    """Returns what came out, notes, and all tables. Each table is below a heading and ``<!-- report: NAME -->``."""
    lists = {"What came out": analysis.findings, "Notes": notes}
    parts = [f"## {title}\n\n" + "".join(f"- {_escape(x)}\n" for x in texts) for title, texts in lists.items() if texts]
    for name, table in tables(analysis, claims).items():
        heading = name.replace("_", " ").capitalize().replace("aubc", "AUBC").replace("Aubc", "AUBC")
        parts.append(f"## {heading}\n\n<!-- report: {name} -->\n{table}<!-- end -->\n")
    return "\n".join(parts)


def tables(analysis: Analysis, claims: Sequence[Claim] = ()) -> dict[str, str]:
    """Returns the tables of a report as Markdown, by name.

    The names are ``accuracy`` (the primary endpoint), ``accuracy_median``, ``aubc``, ``early_aubc``, ``late_aubc`` and
    ``last_round``, then ``efficiency``, ``cost``, ``balance``, ``overlap``, ``penalty``, ``falls``, ``asked``,
    ``classes`` and ``claims``. A table without rows is left out.

    Args:
        analysis: What is reported.
        claims: The judged claims.
    """
    found = {
        **{_name_of(endpoint): _endpoint(analysis, endpoint) for endpoint in analysis.endpoints["endpoint"].unique()},
        "efficiency": _efficiency(analysis),
        "cost": _cost(analysis.cost),
        "balance": _balance(analysis),
        "overlap": _matrix(analysis.overlap),
        "penalty": _matrix(analysis.penalty),
        "falls": _falls(analysis.falls),
        "asked": _asked(analysis.asked),
        "classes": _classes(analysis.classes),
        "claims": _claims(claims),
    }
    return {name: table for name, table in found.items() if table}


def _name_of(endpoint: str) -> str:
    """``early AUBC 500-2,000`` is ``early_aubc``: a name without the numbers, which depend on the runs."""
    name = re.split(r" at |,| (?=\d)", endpoint)[0].replace(" ", "_").lower()
    return f"{name}_median" if "median" in endpoint else name


def _endpoint(analysis: Analysis, endpoint: str) -> str:
    """One endpoint, the highest mean first."""
    table = analysis.endpoints[analysis.endpoints["endpoint"] == endpoint]
    table = table.sort_values("mean", ascending=False, kind="stable")
    rows = [
        (
            row.arm,
            _number(row.mean),
            _with_interval(row.difference, row.difference_low, row.difference_high, "+.4f"),
            _p_value(row.p_holm),
        )
        for row in table.itertuples()
    ]
    return _table([endpoint, "mean", f"minus {analysis.baseline}, 95 % interval", "Holm's p"], rows)


def _efficiency(analysis: Analysis) -> str:
    table = analysis.efficiency[analysis.efficiency["arm"] != analysis.baseline]
    rows = []
    for row in table.itertuples():
        bound = "more than " if row.censored else "at most " if row.at_once else ""
        sign = {"at most": "≤ ", "at least": "≥ "}.get(str(row.bound), "")
        rows.append(
            (
                row.arm,
                _number(row.target_accuracy),
                _number(row.baseline_labels, ",.0f"),
                bound + _number(row.labels, ",.0f"),
                f"{sign}{_with_interval(row.ratio, row.low, row.high, '.2f')}",
            )
        )
    baseline = analysis.baseline
    return _table(["arm", "accuracy", f"labels of {baseline}", "labels of the arm", "ratio, 95 % interval"], rows)


def _cost(table: pd.DataFrame) -> str:
    rows = [
        (
            row.arm,
            *(_number(x, ".2f") for x in (row.fit, row.score, row.select, row.test, row.total)),
            f"{row.capped:.0%}",
        )
        for row in table.itertuples()
    ]
    return _table(["seconds of a round", "fit", "score", "select", "test", "hours of a run", "at the cap"], rows)


def _balance(analysis: Analysis) -> str:
    last = analysis.study.num_labeled[-1]
    table = analysis.balance[analysis.balance["num_labeled"] == last]
    rows = [(row.arm, _number(row.entropy), f"{row.least:.1%}", f"{row.most:.1%}") for row in table.itertuples()]
    return _table([f"classes of {last:,} labels", "entropy", "rarest", "most frequent"], rows)


def _matrix(table: pd.DataFrame) -> str:
    """A table of shares; none if nothing in it is known, or there is only one arm."""
    if len(table) < 2 or table.isna().to_numpy().all():
        return ""
    rows = [
        (name, *(_number(share, ".2f") for share in row))
        for name, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return _table(["", *map(str, table.columns)], rows)


def _falls(table: pd.DataFrame) -> str:
    rows = [
        (row.arm, row.seed, f"{row.num_labeled:,}", _number(row.accuracy), _number(row.around))
        for row in table.itertuples()
    ]
    return _table(["arm", "seed", "labels", "accuracy", "median around it"], rows)


def _asked(table: pd.DataFrame) -> str:
    rows = [
        (
            *(row.arm, row.seed, row.round, f"{row.num_labeled:,}", row.asked, row.skipped),
            _with_interval(row.agreed, row.agreed_low, row.agreed_high, ".2f"),
            *(_number(x, ".2f") for x in (row.fit, row.score, row.select)),
        )
        for row in table.itertuples()
    ]
    columns = ["asked of people", "seed", "round", "labels", "asked", "skipped", "agreed with the prediction"]
    return _table([*columns, "fit", "score", "select"], rows)


def _classes(table: pd.DataFrame) -> str:
    rows = [(row.arm, row.seed, row.name, row.labels, f"{row.share:.1%}") for row in table.itertuples(index=False)]
    return _table(["classes given by people", "seed", "class", "labels", "share"], rows)


def _claims(claims: Sequence[Claim]) -> str:
    rows = [
        (claim.id, claim.claim, claim.verdict, "; ".join(filter(None, (claim.statistic, claim.interval, claim.note))))
        for claim in claims
    ]
    return _table(["", "claim", "verdict", "evidence"], rows)


# ------------------------------------------------------------------------------------------------------------- writing


def _table(columns: Sequence[str], rows: Sequence[Iterable[Any]]) -> str:
    """A table of Markdown, or nothing if it has no rows."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"|{''.join(map(_cell, line))}\n" for line in lines) if rows else ""


def _cell(content: Any) -> str:
    return f" {_escape(str(content))} |" if content != NOTHING else " |"


def _escape(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "\\|")


def _number(value: Any, spec: str = ".4f") -> str:
    """A number, or nothing if it is not known."""
    if np.isnan(value):
        return NOTHING
    return f"{value:{spec}}" if np.isfinite(value) else "∞"


def _with_interval(value: Any, low: Any, high: Any, spec: str) -> str:
    if np.isnan(value) or np.isnan(low):
        return _number(value, spec)
    return f"{_number(value, spec)} ({_number(low, spec)} to {_number(high, spec)})"


def _p_value(value: Any) -> str:
    """A p-value of two digits, never in powers of ten."""
    if np.isnan(value):
        return NOTHING
    return np.format_float_positional(value, precision=2, fractional=False, trim="-")
