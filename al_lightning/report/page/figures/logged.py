"""Curves of what runs log: diagnostics of strategies, and further metrics of rounds.csv."""

import re

import pandas as pd
from matplotlib.axes import Axes

from al_lightning.report.analysis import Analysis
from al_lightning.report.page.figures.parts import Drawing, Look, arms_of, band_words, fill, make_panels, scale_by_means
from al_lightning.report.page.style import label_ends


def diagnostics(analysis: Analysis, look: Look) -> Drawing | None:
    """Diagnostics of the strategies, a panel for each."""
    table = analysis.diagnostics
    if table.empty:
        return None
    names = sorted(table["name"].unique())
    arms = arms_of(analysis, table)
    figure, grid = make_panels(look, len(names), 1, 2.1 * len(names) + 0.3, look.margin(arms))
    alt = []
    for (axes,), name in zip(grid, names, strict=True):
        ends = _draw(axes, table[table["name"] == name], arms, look)
        alt += [f"{name} of {arm} {value:.3f}" for arm, value in ends]
        axes.set_title(name.replace("_", " "), loc="left")
    grid[-1][0].set_xlabel("labels")
    return Drawing(
        "diagnostics",
        "Diagnostics",
        f"Diagnostics that strategies report of their queries, over labels{band_words(analysis)}.",
        f"Diagnostics of strategies over labels. At the end: {', '.join(alt)}.",
        figure,
    )


def metrics(analysis: Analysis, look: Look) -> list[Drawing]:
    """A figure for each further metric, with the arms that have it."""
    drawings: dict[str, Drawing] = {}
    for metric in analysis.metrics["name"].unique():
        table = analysis.metrics[analysis.metrics["name"] == metric]
        arms = arms_of(analysis, table)
        figure, grid = make_panels(look, 1, 1, 3.4 + 0.11 * len(arms), look.margin(arms))
        ends = _draw(grid[0][0], table, arms, look)
        grid[0][0].set(xlabel="labels", ylabel=metric.replace("_", " "), xmargin=0.02)
        name = f"metric_{re.sub(r'[^0-9A-Za-z_-]', '_', metric)}"  # also a file name
        while name in drawings:
            name += "_"
        drawings[name] = Drawing(
            name,
            metric.replace("_", " "),
            f"`{metric}` of rounds.csv, mean over seeds{band_words(analysis)}. Arms without it are left out.",
            f"{metric} over labels. At the end: {', '.join(f'{arm} {value:.4f}' for arm, value in ends)}.",
            figure,
        )
    return list(drawings.values())


def _draw(axes: Axes, table: pd.DataFrame, arms: list[str], look: Look) -> list[tuple[str, float]]:
    """Draws a curve for each arm in the table, with intervals and names. Returns the last values."""
    ends = []
    for arm in arms:
        rows = table[table["arm"] == arm]
        if rows.empty:
            continue
        x, style = rows["num_labeled"], look.styles[arm]
        fill(axes, x, rows["low"], rows["high"], style.color, 0.2)
        axes.plot(x, rows["mean"], **style.line(len(x)))
        ends.append((arm, float(rows["mean"].iloc[-1])))
    scale_by_means(axes, [table["mean"]])
    label_ends(axes, ends, look.styles, look.max_name)
    return ends
