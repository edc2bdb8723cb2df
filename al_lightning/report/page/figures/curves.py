"""Learning curves: all of them, early and late, and their differences to the baseline."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from al_lightning.report.analysis import Analysis
from al_lightning.report.page.figures.parts import (
    Drawing,
    Look,
    band_words,
    fill,
    make_panels,
    mean_of,
    scale_by_means,
)
from al_lightning.report.page.style import INK, label_ends

EARLY, LATE = (500, 2_000), (8_000, 10_000)
"""The ranges of labels that the protocol looks at closely."""


def learning_curves(analysis: Analysis, look: Look) -> Drawing | None:
    """Test accuracy over labels, all arms."""
    arms = list(analysis.bands)
    if not arms:
        return None
    figure, grid = make_panels(look, 1, 1, 3.4 + 0.11 * len(arms), look.margin(arms))
    axes = grid[0][0]
    _draw_bands(axes, analysis, arms, look)
    axes.set(xlabel="labels", ylabel="test accuracy")
    _label_last(axes, analysis, arms, look)
    last = {arm: analysis.bands[arm]["mean"].iloc[-1] for arm in arms}
    ranking = ", ".join(f"{arm} {last[arm]:.4f}" for arm in sorted(arms, key=lambda arm: -last[arm]))
    return Drawing(
        "learning_curves",
        "Learning curves",
        f"{mean_of(analysis)} on the test set after each round{band_words(analysis)}.",
        f"Test accuracy over labels. With {analysis.study.num_labeled[-1]:,} labels: {ranking}.",
        figure,
    )


def zooms(analysis: Analysis, look: Look) -> Drawing | None:
    """The early and the late part, in separate panels for each way of training: one may be far above the other."""
    study = analysis.study
    windows = _windows(study.num_labeled)
    if windows is None or not analysis.bands:
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
    figure, grid = make_panels(look, rows, columns, height * rows, look.margin(study.arms))
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
        f"The same curves{band_words(analysis)}, with {early_low:,} to {early_high:,} labels and with "
        f"{late_low:,} to {late_high:,}"
        + ("; arms with another training have panels of their own." if len(groups) > 1 else ".")
        + " The vertical axes differ.",
        "The learning curves early and late, enlarged.",
        figure,
    )


def differences(analysis: Analysis, look: Look) -> Drawing | None:
    """Paired differences to the baseline, a panel for each arm."""
    arms = [arm for arm in analysis.bands if arm != analysis.baseline]
    if not arms:
        return None
    columns = min(look.columns(3), len(arms))
    rows = -(-len(arms) // columns)
    figure, grid = make_panels(look, rows, columns, 0.5 + 1.9 * rows, 0.15, share=True)
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
        fill(axes, x, *simultaneous, style.color, 0.16)
        fill(axes, x, band["difference_low"], band["difference_high"], style.color, 0.32)
        axes.plot(x, band["difference"], **style.line(len(x)))
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_title(look.short(arm), loc="left")
        if i % columns == 0:
            axes.set_ylabel("difference")
        axes.tick_params(labelbottom=i + columns >= len(arms), labelleft=i % columns == 0)
        if i + columns >= len(arms):
            axes.set_xlabel("labels")
    scale_by_means(grid[0][0], [[0.0], *(analysis.bands[arm]["difference"] for arm in arms)], room=1.0)
    if len(analysis.study.seeds) == 1:
        bands = "one seed: no bands"
    else:
        bands = "dark: pointwise 95 % intervals; light: 95 % bands that hold at all rounds together"
        if unbounded:
            bands += "; with too few seeds these bands are unbounded, and are not drawn"
    ends = ", ".join(f"{arm} {analysis.bands[arm]['difference'].iloc[-1]:+.4f}" for arm in arms)
    return Drawing(
        "differences",
        "Paired differences",
        f"Accuracy minus the accuracy of {analysis.baseline} with the same seed ({bands}).",
        f"Paired differences of accuracy to {analysis.baseline} over labels. At the end: {ends}.",
        figure,
    )


def _draw_bands(
    axes: Axes, analysis: Analysis, arms: Sequence[str], look: Look, low: float = -np.inf, high: float = np.inf
) -> None:
    """Draws mean curves within a range of labels, on top of their intervals."""
    for arm in arms:
        band = analysis.bands[arm]
        band = band[band["num_labeled"].between(low, high)]
        fill(axes, band["num_labeled"], band["low"], band["high"], look.styles[arm].color, 0.14)
    means = []
    for arm in arms:
        band = analysis.bands[arm]
        band = band[band["num_labeled"].between(low, high)]
        axes.plot(band["num_labeled"], band["mean"], zorder=3, **look.styles[arm].line(len(band)))
        means.append(band["mean"])
    axes.margins(x=0.02)
    scale_by_means(axes, means)


def _label_last(axes: Axes, analysis: Analysis, arms: Sequence[str], look: Look, high: float = np.inf) -> None:
    ends = []
    for arm in arms:
        band = analysis.bands[arm]
        ends.append((arm, float(band[band["num_labeled"] <= high]["mean"].iloc[-1])))
    label_ends(axes, ends, look.styles, look.max_name)


def _windows(num_labeled: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Two ranges of labels worth a closer look; ``None`` if there are too few rounds."""
    first, last = int(num_labeled[0]), int(num_labeled[-1])
    if len(num_labeled) < 6:
        return None
    third = len(num_labeled) // 3
    early = EARLY if first <= EARLY[0] and last >= EARLY[1] else (first, int(num_labeled[third]))
    late = LATE if first <= LATE[0] and last >= LATE[1] else (int(num_labeled[-1 - third]), last)
    return early, late
