"""Time: the parts of a round, and the accuracy of a run over its time."""

from collections.abc import Iterable

import matplotlib as mpl
import numpy as np

from al_lightning.report.analysis import Analysis
from al_lightning.report.page.figures.parts import WIDE, Drawing, Look, make_panels, mean_of
from al_lightning.report.page.style import LABEL_SIZE, label_ends


def wall_time(analysis: Analysis, look: Look) -> Drawing | None:
    """Test accuracy over the hours of a run so far."""
    study = analysis.study
    if not study.is_tested:
        return None
    figure, grid = make_panels(look, 1, 1, 3.4 + 0.11 * len(study.arms), look.margin(study.arms))
    axes = grid[0][0]
    ends, hours = [], {}
    for arm in study.arms:
        parts = [study.curves(arm, f"seconds_{part}") for part in ("fit", "score", "select", "test")]
        hours[arm] = np.cumsum(np.sum(parts, axis=0), axis=1).mean(axis=0) / 3600
        ends.append((arm, float(study.accuracy[arm][:, -1].mean())))
    unit, per_hour = _time_unit([float(curve[-1]) for curve in hours.values()])
    for arm in study.arms:
        x = hours[arm] * per_hour
        axes.plot(x, study.accuracy[arm].mean(axis=0), **look.styles[arm].line(len(x)))
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    too_many = high > 30 * max(low, 1e-12) and look.width < WIDE  # numbers would run into each other
    axes.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1,) if too_many else (1, 2, 5)))
    axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    axes.set(xlabel=f"{unit}, logarithmic", ylabel="test accuracy")
    axes.margins(x=0.02)
    label_ends(axes, ends, look.styles, look.max_name)
    return Drawing(
        "wall_time",
        "Accuracy against time",
        f"{mean_of(analysis)} over the mean time of fitting, scoring, selecting and testing so far. Times depend on "
        "the machine and its load.",
        "Test accuracy over time. Whole runs: "
        + ", ".join(f"{arm} {hours[arm][-1] * per_hour:.2f} {unit}" for arm in study.arms)
        + ".",
        figure,
    )


def cost(analysis: Analysis, look: Look) -> Drawing | None:
    """Where the seconds of a round go."""
    table = analysis.cost
    if table.empty:
        return None
    parts = {"fit": "#8a94a0", "score": "#0f7bc4", "select": "#e8702a", "test": "#0a9a72"}
    figure, grid = make_panels(look, 1, 1, 1.1 + 0.27 * len(table), 0.9, left=look.margin(list(table["arm"])) - 0.3)
    axes = grid[0][0]
    y, start = np.arange(len(table)), np.zeros(len(table))
    for part, color in parts.items():
        seconds = table[part].fillna(0).to_numpy(float)
        axes.barh(y, seconds, left=start, color=color, label=part, height=0.68)
        start += seconds
    unit, per_hour = _time_unit(table["total"])
    totals = [f"{hours * per_hour:.3g} {unit}" for hours in table["total"]]
    for i, (end, total) in enumerate(zip(start, totals, strict=True)):
        axes.annotate(total, (end, i), xytext=(4, 0), textcoords="offset points", va="center", fontsize=LABEL_SIZE)
    axes.set_yticks(y, [look.short(arm) for arm in table["arm"]])
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("median seconds of a round")
    axes.margins(x=0.12)
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=len(parts),
        frameon=False,
        borderaxespad=0,
        columnspacing=1,
        fontsize=LABEL_SIZE,
        handlelength=1.2,
    )
    listed = ", ".join(f"{arm} {total}" for arm, total in zip(table["arm"], totals, strict=True))
    return Drawing(
        "cost",
        "Cost",
        "Median seconds of the parts of a round. Beside each bar is the time of a whole run. Times depend on the "
        "machine and its load.",
        f"Seconds of a round by part. Whole runs: {listed}.",
        figure,
    )


def _time_unit(hours: Iterable[float]) -> tuple[str, float]:
    """A unit that suits the longest of some times, and how many of it are an hour."""
    longest = max(hours)
    return ("hours", 1.0) if longest >= 1 else ("minutes", 60.0) if longest >= 1 / 60 else ("seconds", 3600.0)
