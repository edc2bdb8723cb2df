"""Matrices of arms against arms: who beats whom, and who buys the same labels."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from al_lightning.report.analysis import Analysis
from al_lightning.report.page.figures.parts import Drawing, Look

LEAST_CELL = 0.3
"""Inches of a cell with a number."""


def penalty(analysis: Analysis, look: Look) -> Drawing | None:
    """Who beats whom."""
    if analysis.penalty.isna().to_numpy().all() or len(analysis.study.arms) < 2:  # one seed has no test
        return None
    return Drawing(
        "penalty",
        "Pairwise penalty matrix",
        "Share of budgets at which the arm of the row beats the arm of the column (two-sided paired t-test, 5 %)."
        " Large values in a row, and small values in a column, are good. The tests are not adjusted for their number.",
        "Pairwise penalty matrix. The numbers are in summary.json.",
        _heat_map(analysis.penalty, look),
    )


def overlap(analysis: Analysis, look: Look) -> Drawing | None:
    """Which arms buy the same labels."""
    if analysis.overlap.empty or len(analysis.study.arms) < 2:
        return None
    return Drawing(
        "overlap",
        "Query overlap",
        "Share of the labels that two arms have both bought by the last common round, mean over the seeds.",
        "Query overlap of each two arms. The numbers are in summary.json.",
        _heat_map(analysis.overlap, look),
    )


def _heat_map(table: pd.DataFrame, look: Look) -> Figure:
    """A matrix of shares, with its numbers."""
    rows, columns = [str(name) for name in table.index], [str(name) for name in table.columns]
    left, bottom = look.margin(rows) - 0.3, look.margin(columns) * 0.62 + 0.05
    cell = min(0.8, max(LEAST_CELL, (look.width - left - 0.2) / len(columns)))
    width = max(look.width, left + cell * len(columns) + 0.2)
    height = bottom + cell * 0.62 * len(rows) + 0.15
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes(
        (left / width, bottom / height, cell * len(columns) / width, cell * 0.62 * len(rows) / height)
    )
    values = table.to_numpy(float)
    colors = mpl.colormaps["cividis"]
    for i, j in np.ndindex(values.shape):
        value = values[i, j]
        if np.isnan(value):
            continue
        color = colors(np.clip(value, 0, 1))
        axes.add_patch(mpl.patches.Rectangle((j + 0.02, i + 0.02), 0.96, 0.96, color=color, linewidth=0))
        dark = np.dot(color[:3], (0.299, 0.587, 0.114)) < 0.55
        text = f"{value:.2f}".lstrip("0") if value < 1 else "1"
        axes.text(
            j + 0.5, i + 0.5, text or "0", ha="center", va="center", fontsize=8, color="#ffffff" if dark else "#101010"
        )
    axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
    axes.set_xticks(np.arange(len(columns)) + 0.5, [look.short(name) for name in columns], rotation=45, ha="right")
    axes.set_yticks(np.arange(len(rows)) + 0.5, [look.short(name) for name in rows])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return figure
