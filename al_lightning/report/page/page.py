"""report.html: one page that needs no other file."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from al_lightning.report.analysis import Analysis
from al_lightning.report.claims.judge import Claim
from al_lightning.report.findings import LEAST_SEEDS, least_seeds, smallest_p
from al_lightning.report.page.figures.parts import Drawing
from al_lightning.report.page.gallery import Gallery
from al_lightning.report.page.style import ArmStyle, arm_styles, inline
from al_lightning.report.people import by_run
from al_lightning.report.summary import versions

TILE_HEIGHT = 56
"""CSS pixels of an image in the gallery."""
NOTHING = "–"


@dataclass(frozen=True)
class ArmRow:
    """An arm in the table of what was compared."""

    name: str
    strategy: str
    strategy_args: str
    training: str
    """How its training differs from the baseline's."""


def render(
    analysis: Analysis,
    drawings: Sequence[Drawing],
    svgs: Mapping[str, str],
    narrow_svgs: Mapping[str, str],
    gallery: Gallery,
    claims: Sequence[Claim] = (),
    command: str | None = None,
) -> str:
    """Returns the page.

    Args:
        analysis: The tables to report.
        drawings: Its figures.
        svgs: The figures as SVGs of :func:`~al_lightning.report.page.style.to_svg`, by name.
        narrow_svgs: The same in their narrow form.
        gallery: The images of the queries.
        claims: The judged claims.
        command: The command that writes the report again.
    """
    study = analysis.study
    styles = arm_styles(study, analysis.baseline)
    environment = Environment(
        loader=PackageLoader("al_lightning.report.page", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "number": number,
        "signed": signed,
        "interval": interval,
        "p_value": p_value,
        "percent": percent,
    }
    return environment.get_template("report.html.jinja").render(
        study=study,
        notes=analysis.notes,
        findings=analysis.findings,
        contents=contents(analysis, [drawing.name for drawing in drawings], len(claims)),
        is_void=len(study.seeds) < LEAST_SEEDS,  # two seeds: a p-value is worth nothing
        least_p=smallest_p(len(study.seeds)),
        least_seeds=least_seeds(1),
        baseline=analysis.baseline,
        arms=_arm_rows(analysis),
        chips={arm: _chip(style) for arm, style in styles.items()},
        endpoints=_endpoints(analysis.endpoints),
        figures={drawing.name: drawing for drawing in drawings},
        # this package drew it, and matplotlib escapes the names in it
        svgs={name: Markup(inline(svg, name)) for name, svg in svgs.items()},
        narrow_svgs={name: Markup(inline(svg, f"narrow-{name}")) for name, svg in narrow_svgs.items()},
        efficiency=_rows(analysis.efficiency[analysis.efficiency["arm"] != analysis.baseline]),
        cost=_rows(analysis.cost),
        asked=_of_runs(analysis.asked),
        classes=_of_runs(analysis.classes),
        machines=_rows(analysis.machines),
        gallery=gallery,
        sprites=[base64.b64encode(row.sprite()).decode() for row in gallery.rows],
        tile_height=TILE_HEIGHT,
        tile_widths=[
            TILE_HEIGHT * row.images.shape[1] // (row.images.shape[0] * len(row.tiles)) for row in gallery.rows
        ],
        claims=claims,
        protocol={name: value for name, value in sorted(study.protocol.items()) if value is not None},
        command=command,
        versions=versions(),
    )


# ----------------------------------------------------------------------------------------------------------- contents


@dataclass(frozen=True)
class Part:
    """A part of the page, for the table of contents."""

    id: str
    title: str
    parts: tuple["Part", ...] = ()


def contents(analysis: Analysis, figures: Sequence[str], num_claims: int) -> list[Part]:
    """Returns the parts of the page that have something to show, in their order.

    Args:
        analysis: The tables to report.
        figures: Names of the figures.
        num_claims: Number of judged claims.
    """
    study = analysis.study
    endpoints = analysis.endpoints["endpoint"].unique()
    metrics = [name for name in figures if name.startswith("metric_")]
    curves = ["learning_curves", *metrics, "learning_curves_zoom", "differences", "penalty"]
    found = [
        Part("asked", "What people were asked") if len(analysis.asked) else None,
        Part("compared", "What was compared" if len(study.arms) > 1 else "The run"),
        Part("results", "Results", tuple(Part(f"endpoint{i}", _short_title(name)) for i, name in enumerate(endpoints))),
        Part("claims", "Claims") if num_claims else None,
        Part("curves", "Curves", _figures(curves, figures)),
        Part("labels", "Labels saved") if (analysis.efficiency["arm"] != analysis.baseline).any() else None,
        Part("costs", "Cost", _figures(["cost", "wall_time"], figures)),
        Part("predictions", "Calibration") if study.is_tested else None,
        Part("queries", "What was queried", _figures(["agreement", "balance", "overlap", "diagnostics"], figures)),
        Part("gallery", "Gallery"),
        Part("reproduce", "How to reproduce"),
    ]
    empty = {"results": not len(endpoints), "curves": not set(curves) & set(figures)}
    return [part for part in found if part is not None and not empty.get(part.id)]


TITLES = {
    "learning_curves": "Learning curves",
    "learning_curves_zoom": "Early and late",
    "differences": "Paired differences",
    "penalty": "Who beats whom",
    "cost": "Seconds of a round",
    "wall_time": "Accuracy against time",
    "agreement": "Prediction and answer",
    "balance": "Class balance",
    "overlap": "Query overlap",
    "diagnostics": "Diagnostics",
}
"""Short titles of figures."""


def _figures(names: Sequence[str], there: Sequence[str]) -> tuple[Part, ...]:
    return tuple(
        Part(name, TITLES.get(name) or _title(name.removeprefix("metric_"))) for name in names if name in there
    )


def _title(name: str) -> str:
    return name.replace("_", " ")


def _short_title(endpoint: str) -> str:
    """``accuracy, mean`` for ``accuracy, mean of 5 rounds, 9,600 to 10,000 labels``."""
    return _title(re.split(r" of \d| at |,? \d", endpoint)[0])


def _of_runs(table: pd.DataFrame) -> list[tuple[str, int, list[dict[str, Any]]]]:
    """Rows of each run, with its arm and seed."""
    return [(arm, seed, _rows(rows)) for (arm, seed), rows in by_run(table).items()]


# ------------------------------------------------------------------------------------------------------------ numbers


def number(value: Any, digits: int = 4) -> str:
    """A number, or a dash if it is not known."""
    if value is None or pd.isna(value):
        return NOTHING
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:,.{digits}f}".replace("-", "−")


def signed(value: Any, digits: int = 4) -> str:
    """A difference, with its sign."""
    text = number(value, digits)
    return f"+{text}" if text[0].isdigit() and float(value) > 0 else text


def interval(low: Any, high: Any, digits: int = 4, sign: bool = False) -> str:
    """An interval; nothing if there is none."""
    if pd.isna(low) and pd.isna(high):
        return ""
    write = signed if sign else number
    return f"[{write(low, digits)}, {write(high, digits)}]"


def percent(value: Any) -> str:
    """A share in percent."""
    return NOTHING if pd.isna(value) else f"{100 * value:.0f} %"


def p_value(value: Any) -> str:
    """A p-value with three decimals."""
    return "< 0.001" if not pd.isna(value) and value < 0.001 else number(value, 3)


# ------------------------------------------------------------------------------------------------------------- tables


def _arm_rows(analysis: Analysis) -> list[ArmRow]:
    study = analysis.study
    usual = study.recipe(analysis.baseline)
    rows = []
    for arm in study.arms:
        method, recipe = study.method(arm), study.recipe(arm)
        args = {name: value for name, value in method.items() if name.startswith("loop.strategy.")}
        other = {
            name: value
            for name, value in recipe.items()
            if usual.get(name, NOTHING) != value or study.is_varied(name)  # of the baseline, too
        }
        rows.append(
            ArmRow(
                arm,
                _short(method.get("loop.strategy")),
                ", ".join(f"{name.removeprefix('loop.strategy.')} {_short(value)}" for name, value in args.items()),
                ", ".join(f"{name.removeprefix('model.')} {_short(value)}" for name, value in other.items()),
            )
        )
    return rows


def _endpoints(table: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Rows of each endpoint, the highest mean first."""
    return {
        str(name): _rows(table[table["endpoint"] == name].sort_values("mean", ascending=False, kind="stable"))
        for name in table["endpoint"].unique()
    }


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _short(value: Any) -> str:
    return str(value).removeprefix("al_lightning.")


def _chip(style: ArmStyle) -> str:
    """CSS of the line that stands for an arm beside its name."""
    return f"border-top: 3px {'solid' if style.linestyle == '-' else 'dashed'} {style.color}"
