"""The figures of a report, drawn from the tables of an analysis."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from al_lightning.study.analysis import Analysis
from al_lightning.study.style import (
    GRID,
    INK,
    LABEL_SIZE,
    RC,
    ArmStyle,
    arm_styles,
    label_ends,
    label_margin,
    short,
)

WIDTH = 8.6
"""Inches."""
EARLY, LATE = (500, 2_000), (8_000, 10_000)
"""Labels that the protocol of the README looks at closely."""
FEW = 0.005
"""Share of the samples under which a bin of a calibration curve is noise."""

Styles = dict[str, ArmStyle]


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


def draw(analysis: Analysis) -> list[Drawing]:
    """Draws all figures that the analysis has numbers for."""
    styles = arm_styles(analysis.study, analysis.baseline)
    makers: Iterable[Callable[[Analysis, Styles], Drawing | None]] = (
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
        drawings = [make(analysis, styles) for make in makers]
    return [drawing for drawing in drawings if drawing is not None]


# -------------------------------------------------------------------------------------------------------- the curves


def learning_curves(analysis: Analysis, styles: Styles) -> Drawing:
    """Test accuracy over labels, all arms."""
    arms = analysis.study.arms
    figure, grid = _panels(1, 1, 3.4 + 0.11 * len(arms), label_margin(arms))
    axes = grid[0][0]
    _draw_bands(axes, analysis, arms, styles)
    axes.set(xlabel="labels", ylabel="test accuracy")
    _label_last(axes, analysis, arms, styles)
    last = {arm: analysis.bands[arm]["mean"].iloc[-1] for arm in arms}
    ranking = ", ".join(f"{arm} {last[arm]:.4f}" for arm in sorted(arms, key=lambda arm: -last[arm]))
    return Drawing(
        "learning_curves",
        "Learning curves",
        f"{_mean_of(analysis)} on the test set after each round{_band_words(analysis)}.",
        f"Test accuracy over labels. With {analysis.study.num_labeled[-1]:,} labels: {ranking}.",
        figure,
    )


def zooms(analysis: Analysis, styles: Styles) -> Drawing | None:
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
    height = max(2.6, 0.8 + 0.17 * max(map(len, groups)))
    figure, grid = _panels(len(groups), 2, height * len(groups), label_margin(study.arms))
    for row, group in zip(grid, groups, strict=True):
        for axes, (low, high), title in zip(row, windows, ("Early", "Late"), strict=True):
            _draw_bands(axes, analysis, group, styles, low, high)
            axes.set_title(f"{title}, {low:,} to {high:,} labels", loc="left")
        row[0].set_ylabel("test accuracy")
        _label_last(row[1], analysis, group, styles, windows[1][1])
    for axes in grid[-1]:
        axes.set_xlabel("labels")
    (early_low, early_high), (late_low, late_high) = windows
    return Drawing(
        "learning_curves_zoom",
        "Early and late",
        f"The same curves{_band_words(analysis)}, with {early_low:,} to {early_high:,} labels and with "
        f"{late_low:,} to {late_high:,}"
        + ("; a row for each way of training." if len(groups) > 1 else ".")
        + " The vertical axes differ.",
        "The learning curves early and late, enlarged.",
        figure,
    )


def differences(analysis: Analysis, styles: Styles) -> Drawing | None:
    """Paired differences to the baseline, a panel for each arm."""
    arms = [arm for arm in analysis.study.arms if arm != analysis.baseline]
    if not arms:
        return None
    columns = min(3, len(arms))
    rows = -(-len(arms) // columns)
    figure, grid = _panels(rows, columns, 0.5 + 1.9 * rows, 0.15, share=True)
    unbounded = False
    for i, axes in enumerate(axes for row in grid for axes in row):
        if i >= len(arms):
            axes.remove()
            continue
        arm = arms[i]
        band, style = analysis.bands[arm], styles[arm]
        x = band["num_labeled"]
        simultaneous = band["simultaneous_low"], band["simultaneous_high"]
        unbounded |= bool(np.isinf(simultaneous[1]).any())
        _fill(axes, x, *simultaneous, style.color, 0.16)
        _fill(axes, x, band["difference_low"], band["difference_high"], style.color, 0.32)
        axes.plot(x, band["difference"], **style.line(len(x)))
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_title(short(arm), loc="left")
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


def wall_time(analysis: Analysis, styles: Styles) -> Drawing:
    """Test accuracy over the hours that a run had taken."""
    study = analysis.study
    figure, grid = _panels(1, 1, 3.4 + 0.11 * len(study.arms), label_margin(study.arms))
    axes = grid[0][0]
    ends, hours = [], {}
    for arm in study.arms:
        parts = [study.curves(arm, f"seconds_{part}") for part in ("fit", "score", "select", "test")]
        hours[arm] = np.cumsum(np.sum(parts, axis=0), axis=1).mean(axis=0) / 3600
        ends.append((arm, float(study.accuracy[arm][:, -1].mean())))
    unit, per_hour = _time_unit([float(curve[-1]) for curve in hours.values()])
    for arm in study.arms:
        x = hours[arm] * per_hour
        axes.plot(x, study.accuracy[arm].mean(axis=0), **styles[arm].line(len(x)))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    axes.set(xlabel=f"{unit}, logarithmic", ylabel="test accuracy")
    axes.margins(x=0.02)
    label_ends(axes, ends, styles)
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


def balance(analysis: Analysis, styles: Styles) -> Drawing | None:
    """Entropy of the classes of the labels bought."""
    if analysis.balance.empty:
        return None
    arms = _arms_of(analysis, analysis.balance)
    figure, grid = _panels(1, 1, 2.8 + 0.09 * len(arms), label_margin(arms))
    axes, ends = grid[0][0], []
    for arm in arms:
        table = analysis.balance[analysis.balance["arm"] == arm].dropna()
        axes.plot(table["num_labeled"], table["entropy"], **styles[arm].line(len(table)))
        ends += [(arm, float(table["entropy"].iloc[-1]))] if len(table) else []
    axes.set(xlabel="labels", ylabel="entropy of classes")
    label_ends(axes, ends, styles)
    return Drawing(
        "balance",
        "Class balance",
        "Entropy of the classes of all labels bought so far: 1 if there are as many of each.",
        "Class balance over labels. At the end: " + ", ".join(f"{arm} {value:.3f}" for arm, value in ends) + ".",
        figure,
    )


def calibration(analysis: Analysis, styles: Styles) -> Drawing | None:
    """Accuracy over confidence in the first, a middle and the last round."""
    table = analysis.calibration.dropna(subset=["confidence", "accuracy"])
    if table.empty:
        return None
    counts = sorted(table["num_labeled"].unique())
    counts = sorted({counts[0], counts[len(counts) // 2], counts[-1]})
    arms = _arms_of(analysis, table)
    figure, grid = _panels(1, len(counts), 3.3 + 0.06 * len(arms), label_margin(arms), share=True)
    for axes, num_labeled in zip(grid[0], counts, strict=True):
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8)
        for arm in arms:
            bins = table[(table["arm"] == arm) & (table["num_labeled"] == num_labeled)]
            bins = bins[bins["count"] >= FEW * bins["count"].sum()]
            axes.plot(bins["confidence"], bins["accuracy"], **styles[arm].line(len(bins)))
        axes.set_title(f"{int(num_labeled):,} labels", loc="left")
        axes.set_xlabel("confidence")
        axes.set(xlim=(0.2, 1), ylim=(0, 1))
    grid[0][0].set_ylabel("accuracy")
    spread = [(arm, 1 - i / max(1, len(arms) - 1)) for i, arm in enumerate(arms)]
    _legend(grid[0][-1], spread, styles)
    return Drawing(
        "calibration",
        "Calibration",
        "How often predictions of a confidence are right, on the test set: on the diagonal, as often as they claim; "
        f"below it, overconfident. Bins with less than {FEW:.1%} of the test set are left out.",
        f"Calibration curves with {' and '.join(f'{int(count):,}' for count in counts)} labels.",
        figure,
    )


def diagnostics(analysis: Analysis, styles: Styles) -> Drawing | None:
    """What strategies report of themselves, a panel for each figure."""
    table = analysis.diagnostics
    if table.empty:
        return None
    names = sorted(table["name"].unique())
    arms = _arms_of(analysis, table)
    figure, grid = _panels(len(names), 1, 2.1 * len(names) + 0.3, label_margin(arms))
    alt = []
    for (axes,), name in zip(grid, names, strict=True):
        ends = []
        for arm in arms:
            rows = table[(table["arm"] == arm) & (table["name"] == name)]
            if rows.empty:
                continue
            x, style = rows["num_labeled"], styles[arm]
            _fill(axes, x, rows["low"], rows["high"], style.color, 0.2)
            axes.plot(x, rows["mean"], **style.line(len(x)))
            ends.append((arm, float(rows["mean"].iloc[-1])))
            alt.append(f"{name} of {arm} {rows['mean'].iloc[-1]:.3f}")
        axes.set_title(name.replace("_", " "), loc="left")
        label_ends(axes, ends, styles)
    grid[-1][0].set_xlabel("labels")
    return Drawing(
        "diagnostics",
        "Diagnostics",
        f"What strategies report of their own queries, over labels{_band_words(analysis)}.",
        f"Diagnostics of strategies over labels. At the end: {', '.join(alt)}.",
        figure,
    )


# ---------------------------------------------------------------------------------------------------- bars and cells


def efficiency(analysis: Analysis, styles: Styles) -> Drawing | None:
    """How many labels the baseline needs for one of an arm."""
    table = analysis.efficiency
    table = table[(table["arm"] != analysis.baseline) & np.isfinite(table["ratio"].astype(float))]
    if table.empty:
        return None
    arms = _arms_of(analysis, table)
    targets = sorted(table["target_labels"].unique())
    figure, grid = _panels(1, len(targets), 0.9 + 0.27 * len(arms), 0.2, left=label_margin(arms) + 0.1, share=True)
    for axes, target in zip(grid[0], targets, strict=True):
        part = table[table["target_labels"] == target].set_index("arm")
        axes.axvline(1, color=INK, linewidth=0.8)
        for i, arm in enumerate(arms):
            if arm not in part.index:
                continue
            ratio, low, high = (float(part[column][arm]) for column in ("ratio", "low", "high"))
            style = styles[arm]
            bounded = min(high, 2 * float(table["ratio"].max()))
            if not np.isnan(low):
                axes.plot([low, bounded], [i, i], color=style.color, linewidth=2.2, solid_capstyle="butt", alpha=0.6)
            censored = bool(part["censored"][arm])
            axes.plot(ratio, i, style.marker, color=style.color, fillstyle="none" if censored else "full", markersize=6)
        axes.set_title(f"accuracy {part['target_accuracy'].iloc[0]:.3f}", loc="left")
        axes.set_xlabel(f"{int(target):,} labels / labels needed")
        axes.grid(axis="y", visible=False)
    grid[0][0].set_yticks(range(len(arms)), [short(arm) for arm in arms])
    grid[0][0].set_ylim(len(arms) - 0.5, -0.5)
    intervals = "" if len(analysis.study.seeds) == 1 else " with 95 % intervals"
    listed = "; ".join(
        f"{row.arm} {float(row.ratio):.2f} at {int(row.target_labels):,}" for row in table.itertuples(index=False)
    )
    return Drawing(
        "efficiency",
        "Label efficiency",
        f"Labels of {analysis.baseline} for one label of each arm, at the same accuracy{intervals}: above 1 saves "
        "labels. Hollow: an accuracy was not reached, the figure is a bound.",
        f"Label efficiency: {listed}.",
        figure,
    )


def penalty(analysis: Analysis, styles: Styles) -> Drawing | None:
    """Who beats whom."""
    if analysis.penalty.empty or len(analysis.study.arms) < 2:
        return None
    return Drawing(
        "penalty",
        "Pairwise penalty matrix",
        "Share of budgets at which the arm of the row beats the arm of the column (two-sided paired t-test, 5 %)."
        " Large values in a row, and small ones in a column, are good.",
        "Pairwise penalty matrix, the numbers are in summary.json.",
        _heat_map(analysis.penalty),
    )


def overlap(analysis: Analysis, styles: Styles) -> Drawing | None:
    """Which arms buy the same labels."""
    if analysis.overlap.empty or len(analysis.study.arms) < 2:
        return None
    return Drawing(
        "overlap",
        "Query overlap",
        "Mean share of the labels bought by the last common round that two arms have in common.",
        "Query overlap of each two arms, the numbers are in summary.json.",
        _heat_map(analysis.overlap),
    )


def cost(analysis: Analysis, styles: Styles) -> Drawing | None:
    """Where the seconds of a round go."""
    table = analysis.cost
    if table.empty:
        return None
    parts = {"fit": "#8a94a0", "score": "#0f7bc4", "select": "#e8702a", "test": "#0a9a72"}
    figure, grid = _panels(1, 1, 1.1 + 0.27 * len(table), 0.9, left=label_margin(list(table["arm"])) + 0.1)
    axes = grid[0][0]
    y, start = np.arange(len(table)), np.zeros(len(table))
    for part, color in parts.items():
        seconds = table[part].fillna(0).to_numpy(float)
        axes.barh(y, seconds, left=start, color=color, label=part, height=0.68)
        start += seconds
    unit, per_hour = _time_unit(table["total"])
    totals = [f"{hours * per_hour:.3g} {unit}" for hours in table["total"]]
    for i, (end, total) in enumerate(zip(start, totals, strict=True)):
        axes.annotate(
            total, (end, i), xytext=(4, 0), textcoords="offset points", va="center", fontsize=LABEL_SIZE
        )
    axes.set_yticks(y, [short(arm) for arm in table["arm"]])
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("median seconds of a round")
    axes.margins(x=0.12)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, borderaxespad=0, fontsize=LABEL_SIZE)
    listed = ", ".join(f"{arm} {total}" for arm, total in zip(table["arm"], totals, strict=True))
    return Drawing(
        "cost",
        "Cost",
        "Median seconds of a round, by what they were spent on; at the bars, the time of a whole run. Times are those of "
        "the machine as it was.",
        f"Seconds of a round by part. Whole runs: {listed}.",
        figure,
    )


# ------------------------------------------------------------------------------------------------------------- parts


def _panels(
    rows: int, columns: int, height: float, right: float, left: float = 0.7, share: bool = False
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of panels, with margins in inches."""
    top, bottom = 0.3, 0.5
    height += top + bottom if rows == 1 else 0
    figure = Figure(figsize=(WIDTH, height))
    inner = (WIDTH - left - right) / columns
    figure.subplots_adjust(
        left=left / WIDTH,
        right=1 - right / WIDTH,
        bottom=bottom / height,
        top=1 - top / height,
        wspace=(0.12 if share else 0.55) / inner,
        hspace=0.35,
    )
    return figure, figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share).tolist()


def _draw_bands(
    axes: Axes, analysis: Analysis, arms: Sequence[str], styles: Styles, low: float = -np.inf, high: float = np.inf
) -> None:
    """Mean curves with their intervals, within a range of labels; drawn in full colours on top of all intervals."""
    for arm in arms:
        band = analysis.bands[arm]
        band = band[band["num_labeled"].between(low, high)]
        _fill(axes, band["num_labeled"], band["low"], band["high"], styles[arm].color, 0.14)
    for arm in arms:
        band = analysis.bands[arm]
        band = band[band["num_labeled"].between(low, high)]
        axes.plot(band["num_labeled"], band["mean"], zorder=3, **styles[arm].line(len(band)))
    axes.margins(x=0.02)


def _label_last(
    axes: Axes, analysis: Analysis, arms: Sequence[str], styles: Styles, high: float = np.inf
) -> None:
    ends = []
    for arm in arms:
        band = analysis.bands[arm]
        ends.append((arm, float(band[band["num_labeled"] <= high]["mean"].iloc[-1])))
    label_ends(axes, ends, styles)


def _fill(axes: Axes, x: pd.Series, low: pd.Series, high: pd.Series, color: str, alpha: float) -> None:
    """A band, where it is finite."""
    known = np.isfinite(low.to_numpy(float)) & np.isfinite(high.to_numpy(float))
    if known.any():
        axes.fill_between(x, low, high, where=known.tolist(), color=color, alpha=alpha, linewidth=0)


def _legend(axes: Axes, places: Sequence[tuple[str, float]], styles: Styles) -> None:
    """Names in the margin at given heights, in [0, 1], for panels where curves all end in one place."""
    low, high = axes.get_ylim()
    label_ends(axes, [(name, low + place * (high - low)) for name, place in places], styles)


def _heat_map(table: pd.DataFrame) -> Figure:
    """A matrix of shares, with its numbers."""
    rows, columns = [str(name) for name in table.index], [str(name) for name in table.columns]
    left, bottom = label_margin(rows) + 0.1, label_margin(columns) * 0.75 + 0.1
    cell = min(0.8, (WIDTH - left - 0.2) / len(columns))
    height = bottom + cell * 0.62 * len(rows) + 0.15
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes(
        (left / WIDTH, bottom / height, cell * len(columns) / WIDTH, cell * 0.62 * len(rows) / height)
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
    axes.set_xticks(np.arange(len(columns)) + 0.5, [short(name) for name in columns], rotation=45, ha="right")
    axes.set_yticks(np.arange(len(rows)) + 0.5, [short(name) for name in rows])
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
    return ("hours", 1.0) if max(hours) >= 1 else ("minutes", 60.0)


def _arms_of(analysis: Analysis, table: pd.DataFrame) -> list[str]:
    """The arms that a table has rows of, in the order of the study."""
    found = set(table["arm"])
    return [arm for arm in analysis.study.arms if arm in found]


def _mean_of(analysis: Analysis) -> str:
    num_seeds = len(analysis.study.seeds)
    return "Accuracy of one seed" if num_seeds == 1 else f"Mean accuracy of {num_seeds} seeds"


def _band_words(analysis: Analysis) -> str:
    return "" if len(analysis.study.seeds) == 1 else ", with pointwise 95 % intervals"
