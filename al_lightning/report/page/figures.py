"""The figures of a report, drawn from the tables of an analysis."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from al_lightning.report.analysis import Analysis
from al_lightning.report.page.style import (
    INK,
    LABEL_SIZE,
    RC,
    ArmStyle,
    arm_styles,
    label_ends,
    label_margin,
    short,
)

WIDE, NARROW = 8.6, 4.4
"""Inches, for a screen and for a phone."""
EARLY, LATE = (500, 2_000), (8_000, 10_000)
"""Labels that the protocol of the README looks at closely."""
LEAST_CELL = 0.3
"""Inches of a cell with a number."""
FEW = 0.005
"""Share of the samples under which a bin of a calibration curve is noise."""


@dataclass(frozen=True)
class Look:
    """What a figure depends on besides its numbers."""

    styles: Mapping[str, ArmStyle]
    width: float = WIDE

    def columns(self, most: int) -> int:
        """How many panels stand side by side, of up to three that a wide figure has."""
        return most if self.width >= WIDE else max(1, most - 1)

    @property
    def max_name(self) -> int:
        """Characters of a name that there is room for."""
        return 28 if self.width >= WIDE else 18

    def margin(self, names: Sequence[str]) -> float:
        """Inches for names beside an axes."""
        return label_margin([self.short(name) for name in names])

    def short(self, name: str) -> str:
        """A name that fits."""
        return short(name, self.max_name)


@dataclass(frozen=True)
class Drawing:
    """A figure and what is said of it."""

    name: str
    """Stem of its files."""
    title: str
    caption: str
    alt: str
    """What those are told who do not see it."""
    figure: Figure


def draw(analysis: Analysis, width: float = WIDE) -> list[Drawing]:
    """Draws all figures that the analysis has numbers for.

    Args:
        analysis: What is drawn.
        width: Inches: ``WIDE``, or ``NARROW``, in which panels stand below each other.
    """
    look = Look(arm_styles(analysis.study, analysis.baseline), width)
    makers: Iterable[Callable[[Analysis, Look], Drawing | None]] = (
        learning_curves,
        zooms,
        differences,
        efficiency,
        penalty,
        wall_time,
        cost,
        calibration,
        balance,
        overlap,
        diagnostics,
    )
    with mpl.rc_context(RC):
        drawings = [make(analysis, look) for make in makers]
    return [drawing for drawing in drawings if drawing is not None]


# -------------------------------------------------------------------------------------------------------- the curves


def learning_curves(analysis: Analysis, look: Look) -> Drawing:
    """Test accuracy over labels, all arms."""
    arms = analysis.study.arms
    figure, grid = _panels(look, 1, 1, 3.4 + 0.11 * len(arms), look.margin(arms))
    axes = grid[0][0]
    _draw_bands(axes, analysis, arms, look)
    axes.set(xlabel="labels", ylabel="test accuracy")
    _label_last(axes, analysis, arms, look)
    last = {arm: analysis.bands[arm]["mean"].iloc[-1] for arm in arms}
    ranking = ", ".join(f"{arm} {last[arm]:.4f}" for arm in sorted(arms, key=lambda arm: -last[arm]))
    return Drawing(
        "learning_curves",
        "Learning curves",
        f"{_mean_of(analysis)} on the test set after each round{_band_words(analysis)}.",
        f"Test accuracy over labels. With {analysis.study.num_labeled[-1]:,} labels: {ranking}.",
        figure,
    )


def zooms(analysis: Analysis, look: Look) -> Drawing | None:
    """The same early and late, apart for each way of training, since one may be far above the other."""
    study = analysis.study
    windows = _windows(study.num_labeled)
    if windows is None:
        return None
    groups: list[list[str]] = []
    for arm in study.arms:
        for group in groups:
            if study.recipe(group[0]) == study.recipe(arm):
                group.append(arm)
                break
        else:
            groups.append([arm])
    columns = look.columns(2)
    height = max(2.6, 0.8 + 0.17 * max(map(len, groups)))
    rows = 2 * len(groups) // columns
    figure, grid = _panels(look, rows, columns, height * rows, look.margin(study.arms))
    panels = [axes for row in grid for axes in row]
    for i, axes in enumerate(panels):
        group, (low, high), title = groups[i // 2], windows[i % 2], ("Early", "Late")[i % 2]
        _draw_bands(axes, analysis, group, look, low, high)
        axes.set_title(f"{title}, {low:,} to {high:,} labels", loc="left")
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
        if i % columns == 0:
            axes.set_ylabel("test accuracy")
        if i % columns == columns - 1:
            _label_last(axes, analysis, group, look, high)
        if i >= len(panels) - columns:
            axes.set_xlabel("labels")
    (early_low, early_high), (late_low, late_high) = windows
    return Drawing(
        "learning_curves_zoom",
        "Early and late",
        f"The same curves{_band_words(analysis)}, with {early_low:,} to {early_high:,} labels and with "
        f"{late_low:,} to {late_high:,}"
        + ("; arms that are trained in other ways are apart." if len(groups) > 1 else ".")
        + " The vertical axes differ.",
        "The learning curves early and late, enlarged.",
        figure,
    )


def differences(analysis: Analysis, look: Look) -> Drawing | None:
    """Paired differences to the baseline, a panel for each arm."""
    arms = [arm for arm in analysis.study.arms if arm != analysis.baseline]
    if not arms:
        return None
    columns = min(look.columns(3), len(arms))
    rows = -(-len(arms) // columns)
    figure, grid = _panels(look, rows, columns, 0.5 + 1.9 * rows, 0.15, share=True)
    unbounded = False
    for i, axes in enumerate(axes for row in grid for axes in row):
        if i >= len(arms):
            axes.remove()
            continue
        arm = arms[i]
        band, style = analysis.bands[arm], look.styles[arm]
        x = band["num_labeled"]
        simultaneous = band["simultaneous_low"], band["simultaneous_high"]
        unbounded |= bool(np.isinf(simultaneous[1]).any())
        _fill(axes, x, *simultaneous, style.color, 0.16)
        _fill(axes, x, band["difference_low"], band["difference_high"], style.color, 0.32)
        axes.plot(x, band["difference"], **style.line(len(x)))
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_title(look.short(arm), loc="left")
        if i % columns == 0:
            axes.set_ylabel("difference")
        axes.tick_params(labelbottom=i + columns >= len(arms), labelleft=i % columns == 0)
        if i + columns >= len(arms):
            axes.set_xlabel("labels")
    if len(analysis.study.seeds) == 1:
        bands = "one seed: no bands"
    else:
        bands = "dark: pointwise 95 % intervals; light: 95 % bands that hold at all rounds together"
        if unbounded:
            bands += ", which are unbounded, and not drawn, where there are too few seeds for them"
    ends = ", ".join(f"{arm} {analysis.bands[arm]['difference'].iloc[-1]:+.4f}" for arm in arms)
    return Drawing(
        "differences",
        "Paired differences",
        f"Accuracy minus that of {analysis.baseline} with the same seed ({bands}).",
        f"Paired differences of accuracy to {analysis.baseline} over labels. At the end: {ends}.",
        figure,
    )


def wall_time(analysis: Analysis, look: Look) -> Drawing:
    """Test accuracy over the hours that a run had taken."""
    study = analysis.study
    figure, grid = _panels(look, 1, 1, 3.4 + 0.11 * len(study.arms), look.margin(study.arms))
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
    axes.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    axes.set(xlabel=f"{unit}, logarithmic", ylabel="test accuracy")
    axes.margins(x=0.02)
    label_ends(axes, ends, look.styles, look.max_name)
    return Drawing(
        "wall_time",
        "Accuracy against time",
        f"{_mean_of(analysis)} over the mean time of fitting, scoring, selecting and testing so far. Times are those "
        "of the machine as it was: runs that shared it with others took longer.",
        "Test accuracy over time. Whole runs: "
        + ", ".join(f"{arm} {hours[arm][-1] * per_hour:.2f} {unit}" for arm in study.arms)
        + ".",
        figure,
    )


def balance(analysis: Analysis, look: Look) -> Drawing | None:
    """Entropy of the classes of the labels bought."""
    if analysis.balance.empty:
        return None
    arms = _arms_of(analysis, analysis.balance)
    figure, grid = _panels(look, 1, 1, 2.8 + 0.09 * len(arms), look.margin(arms))
    axes, ends = grid[0][0], []
    for arm in arms:
        table = analysis.balance[analysis.balance["arm"] == arm].dropna()
        axes.plot(table["num_labeled"], table["entropy"], **look.styles[arm].line(len(table)))
        ends += [(arm, float(table["entropy"].iloc[-1]))] if len(table) else []
    axes.set(xlabel="labels", ylabel="entropy of classes")
    label_ends(axes, ends, look.styles, look.max_name)
    return Drawing(
        "balance",
        "Class balance",
        "Entropy of the classes of all labels bought so far: 1 if there are as many of each.",
        "Class balance over labels. At the end: " + ", ".join(f"{arm} {value:.3f}" for arm, value in ends) + ".",
        figure,
    )


def calibration(analysis: Analysis, look: Look) -> Drawing | None:
    """Accuracy over confidence in the first, a middle and the last round."""
    table = analysis.calibration.dropna(subset=["confidence", "accuracy"])
    if table.empty:
        return None
    counts = sorted(table["num_labeled"].unique())
    counts = sorted({counts[0], counts[len(counts) // 2], counts[-1]})
    arms = _arms_of(analysis, table)
    columns = len(counts) if look.width >= WIDE else 1
    rows = len(counts) // columns
    height = 3.3 + 0.06 * len(arms) if rows == 1 else 2.7 * rows
    figure, grid = _panels(look, rows, columns, height, look.margin(arms), share=True)
    panels = [axes for row in grid for axes in row]
    for axes, num_labeled in zip(panels, counts, strict=True):
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8)
        for arm in arms:
            bins = table[(table["arm"] == arm) & (table["num_labeled"] == num_labeled)]
            bins = bins[bins["count"] >= FEW * bins["count"].sum()]
            axes.plot(bins["confidence"], bins["accuracy"], **look.styles[arm].line(len(bins)))
        axes.set_title(f"{int(num_labeled):,} labels", loc="left")
        axes.set(xlim=(0.2, 1), ylim=(0, 1), xticks=(0.4, 0.6, 0.8, 1))
    for row in grid:
        row[0].set_ylabel("accuracy")
    for axes in grid[-1]:
        axes.set_xlabel("confidence")
    # curves that all end in one corner are not named there
    label_ends(grid[0][-1], [(arm, 1 - i / 40) for i, arm in enumerate(arms)], look.styles, look.max_name, lead=False)
    return Drawing(
        "calibration",
        "Calibration",
        "How often predictions of a confidence are right, on the test set: on the diagonal, as often as they claim; "
        f"below it, overconfident. Bins with less than {FEW:.1%} of the test set are left out.",
        f"Calibration curves with {' and '.join(f'{int(count):,}' for count in counts)} labels.",
        figure,
    )


def diagnostics(analysis: Analysis, look: Look) -> Drawing | None:
    """What strategies report of themselves, a panel for each figure."""
    table = analysis.diagnostics
    if table.empty:
        return None
    names = sorted(table["name"].unique())
    arms = _arms_of(analysis, table)
    figure, grid = _panels(look, len(names), 1, 2.1 * len(names) + 0.3, look.margin(arms))
    alt = []
    for (axes,), name in zip(grid, names, strict=True):
        ends = []
        for arm in arms:
            rows = table[(table["arm"] == arm) & (table["name"] == name)]
            if rows.empty:
                continue
            x, style = rows["num_labeled"], look.styles[arm]
            _fill(axes, x, rows["low"], rows["high"], style.color, 0.2)
            axes.plot(x, rows["mean"], **style.line(len(x)))
            ends.append((arm, float(rows["mean"].iloc[-1])))
            alt.append(f"{name} of {arm} {rows['mean'].iloc[-1]:.3f}")
        axes.set_title(name.replace("_", " "), loc="left")
        label_ends(axes, ends, look.styles, look.max_name)
    grid[-1][0].set_xlabel("labels")
    return Drawing(
        "diagnostics",
        "Diagnostics",
        f"What strategies report of their own queries, over labels{_band_words(analysis)}.",
        f"Diagnostics of strategies over labels. At the end: {', '.join(alt)}.",
        figure,
    )


# ---------------------------------------------------------------------------------------------------- bars and cells


def efficiency(analysis: Analysis, look: Look) -> Drawing | None:
    """How many labels the baseline needs for one of an arm."""
    table = analysis.efficiency
    table = table[(table["arm"] != analysis.baseline) & np.isfinite(table["ratio"].astype(float))]
    if table.empty:
        return None
    arms = _arms_of(analysis, table)
    targets = sorted(table["target_labels"].unique())
    columns = len(targets) if look.width >= WIDE else 1
    rows = len(targets) // columns
    height = (0.9 + 0.27 * len(arms)) * rows
    figure, grid = _panels(look, rows, columns, height, 0.2, left=look.margin(arms) - 0.3, share=True)
    for axes, target in zip([axes for row in grid for axes in row], targets, strict=True):
        part = table[table["target_labels"] == target].set_index("arm")
        axes.axvline(1, color=INK, linewidth=0.8)
        for i, arm in enumerate(arms):
            if arm not in part.index:
                continue
            ratio, low, high = (float(part[column][arm]) for column in ("ratio", "low", "high"))
            style = look.styles[arm]
            bounded = min(high, 2 * float(table["ratio"].max()))
            if not np.isnan(low):
                axes.plot([low, bounded], [i, i], color=style.color, linewidth=2.2, solid_capstyle="butt", alpha=0.6)
            fill = "none" if part["bound"][arm] else "full"
            axes.plot(ratio, i, style.marker, color=style.color, fillstyle=fill, markersize=6)
        axes.set_title(f"{int(target):,} labels, accuracy {part['target_accuracy'].iloc[0]:.3f}", loc="left")
        axes.tick_params(labelbottom=True)
        axes.grid(axis="y", visible=False)
    for axes in grid[-1]:
        axes.set_xlabel("label efficiency")
    grid[0][0].set_yticks(range(len(arms)), [look.short(arm) for arm in arms])
    grid[0][0].set_ylim(len(arms) - 0.5, -0.5)
    intervals = "" if len(analysis.study.seeds) == 1 else " with 95 % intervals"
    listed = "; ".join(
        f"{row['arm']} {row['ratio']:.2f} at {row['target_labels']:,.0f}" for row in table.to_dict("records")
    )
    return Drawing(
        "efficiency",
        "Label efficiency",
        f"Labels of {analysis.baseline} for one label of each arm, at the same accuracy{intervals}: above 1 saves "
        "labels. Hollow: an accuracy was not reached, or with the first labels already; the figure is a bound.",
        f"Label efficiency: {listed}.",
        figure,
    )


def penalty(analysis: Analysis, look: Look) -> Drawing | None:
    """Who beats whom."""
    if analysis.penalty.isna().to_numpy().all() or len(analysis.study.arms) < 2:  # one seed has no test
        return None
    return Drawing(
        "penalty",
        "Pairwise penalty matrix",
        "Share of budgets at which the arm of the row beats the arm of the column (two-sided paired t-test, 5 %)."
        " Large values in a row, and small ones in a column, are good. Nothing is adjusted for the number of tests.",
        "Pairwise penalty matrix, the numbers are in summary.json.",
        _heat_map(analysis.penalty, look),
    )


def overlap(analysis: Analysis, look: Look) -> Drawing | None:
    """Which arms buy the same labels."""
    if analysis.overlap.empty or len(analysis.study.arms) < 2:
        return None
    return Drawing(
        "overlap",
        "Query overlap",
        "Mean share of the labels bought by the last common round that two arms have in common.",
        "Query overlap of each two arms, the numbers are in summary.json.",
        _heat_map(analysis.overlap, look),
    )


def cost(analysis: Analysis, look: Look) -> Drawing | None:
    """Where the seconds of a round go."""
    table = analysis.cost
    if table.empty:
        return None
    parts = {"fit": "#8a94a0", "score": "#0f7bc4", "select": "#e8702a", "test": "#0a9a72"}
    figure, grid = _panels(look, 1, 1, 1.1 + 0.27 * len(table), 0.9, left=look.margin(list(table["arm"])) - 0.3)
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
        "Median seconds of a round, by what they were spent on; at the bars, the time of a whole run. Times are those "
        "of the machine as it was.",
        f"Seconds of a round by part. Whole runs: {listed}.",
        figure,
    )


# ------------------------------------------------------------------------------------------------------------- parts


def _panels(
    look: Look, rows: int, columns: int, height: float, right: float, left: float = 0.7, share: bool = False
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of panels, with margins in inches."""
    top, bottom = 0.3, 0.5
    height += top + bottom if rows == 1 else 0
    figure = Figure(figsize=(look.width, height))
    inner = (look.width - left - right) / columns
    figure.subplots_adjust(
        left=left / look.width,
        right=1 - right / look.width,
        bottom=bottom / height,
        top=1 - top / height,
        wspace=(0.12 if share else 0.55) / inner,
        hspace=0.35,
    )
    return figure, figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share).tolist()


def _draw_bands(
    axes: Axes, analysis: Analysis, arms: Sequence[str], look: Look, low: float = -np.inf, high: float = np.inf
) -> None:
    """Mean curves with their intervals, within a range of labels; drawn in full colours on top of all intervals."""
    for arm in arms:
        band = analysis.bands[arm]
        band = band[band["num_labeled"].between(low, high)]
        _fill(axes, band["num_labeled"], band["low"], band["high"], look.styles[arm].color, 0.14)
    for arm in arms:
        band = analysis.bands[arm]
        band = band[band["num_labeled"].between(low, high)]
        axes.plot(band["num_labeled"], band["mean"], zorder=3, **look.styles[arm].line(len(band)))
    axes.margins(x=0.02)


def _label_last(axes: Axes, analysis: Analysis, arms: Sequence[str], look: Look, high: float = np.inf) -> None:
    ends = []
    for arm in arms:
        band = analysis.bands[arm]
        ends.append((arm, float(band[band["num_labeled"] <= high]["mean"].iloc[-1])))
    label_ends(axes, ends, look.styles, look.max_name)


def _fill(axes: Axes, x: pd.Series, low: pd.Series, high: pd.Series, color: str, alpha: float) -> None:
    """A band, where it is finite."""
    known = np.isfinite(low.to_numpy(float)) & np.isfinite(high.to_numpy(float))
    if known.any():
        axes.fill_between(x, low, high, where=known.tolist(), color=color, alpha=alpha, linewidth=0)


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


def _windows(num_labeled: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Two ranges of labels worth a closer look; ``None`` if there are too few rounds."""
    first, last = int(num_labeled[0]), int(num_labeled[-1])
    if len(num_labeled) < 6:
        return None
    third = len(num_labeled) // 3
    early = EARLY if first <= EARLY[0] and last >= EARLY[1] else (first, int(num_labeled[third]))
    late = LATE if first <= LATE[0] and last >= LATE[1] else (int(num_labeled[-1 - third]), last)
    return early, late


def _time_unit(hours: Iterable[float]) -> tuple[str, float]:
    """A unit that suits the longest of some times, and how many of it are an hour."""
    longest = max(hours)
    return ("hours", 1.0) if longest >= 1 else ("minutes", 60.0) if longest >= 1 / 60 else ("seconds", 3600.0)


def _arms_of(analysis: Analysis, table: pd.DataFrame) -> list[str]:
    """The arms that a table has rows of, in the order of the study."""
    found = set(table["arm"])
    return [arm for arm in analysis.study.arms if arm in found]


def _mean_of(analysis: Analysis) -> str:
    num_seeds = len(analysis.study.seeds)
    return "Accuracy of one seed" if num_seeds == 1 else f"Mean accuracy of {num_seeds} seeds"


def _band_words(analysis: Analysis) -> str:
    return "" if len(analysis.study.seeds) == 1 else ", with pointwise 95 % intervals"
