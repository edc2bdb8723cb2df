"""report.html: one page that needs no other file."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from al_lightning.report.analysis import Analysis
from al_lightning.report.claims.judge import Claim
from al_lightning.report.page.figures.parts import Drawing
from al_lightning.report.page.gallery import Gallery
from al_lightning.report.page.style import ArmStyle, arm_styles, inline
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
    environment.filters |= {"number": number, "signed": signed, "interval": interval, "p_value": p_value}
    return environment.get_template("report.html.jinja").render(
        study=study,
        notes=analysis.notes,
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
        other = {name: value for name, value in recipe.items() if usual.get(name, NOTHING) != value}
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
