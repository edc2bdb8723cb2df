"""Parts of all figures: their look, their panels and the words about seeds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from al_lightning.report.analysis import Analysis
from al_lightning.report.page.style import ArmStyle, label_margin, short

WIDE, NARROW = 8.6, 4.4
"""Inches, for a screen and for a phone."""


@dataclass(frozen=True)
class Look:
    """What a figure depends on besides its numbers."""

    styles: Mapping[str, ArmStyle]
    width: float = WIDE

    def columns(self, most: int) -> int:
        """Number of panels side by side, if a wide figure has up to three."""
        return most if self.width >= WIDE else max(1, most - 1)

    @property
    def max_name(self) -> int:
        """Number of characters that a name has room for."""
        return 28 if self.width >= WIDE else 18

    def margin(self, names: Sequence[str]) -> float:
        """Inches for names beside an axes."""
        return label_margin([self.short(name) for name in names])

    def short(self, name: str) -> str:
        """A name that fits."""
        return short(name, self.max_name)


@dataclass(frozen=True)
class Drawing:
    """A figure with its texts."""

    name: str
    """Stem of its files."""
    title: str
    caption: str
    alt: str
    """Alternative text for readers who do not see the figure."""
    figure: Figure


def make_panels(
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


def fill(axes: Axes, x: pd.Series, low: pd.Series, high: pd.Series, color: str, alpha: float) -> None:
    """A band, where it is finite."""
    known = np.isfinite(low.to_numpy(float)) & np.isfinite(high.to_numpy(float))
    if known.any():
        axes.fill_between(x, low, high, where=known.tolist(), color=color, alpha=alpha, linewidth=0)


def scale_by_means(axes: Axes, means: Iterable[ArrayLike], room: float = 0.25) -> None:
    """Sets the vertical limits by mean curves, with some room: intervals of few seeds are far wider than any curve.

    Args:
        axes: Where curves and intervals are drawn.
        means: The mean curves.
        room: Room above and below, as a share of the range of the means.
    """
    values = np.concatenate([np.ravel(np.asarray(mean, float)) for mean in means])
    values = values[np.isfinite(values)]
    if len(values) and np.ptp(values) > 0:
        low, high = axes.get_ylim()
        margin = room * np.ptp(values)
        axes.set_ylim(max(low, values.min() - margin), min(high, values.max() + margin))


def arms_of(analysis: Analysis, table: pd.DataFrame) -> list[str]:
    """The arms that a table has rows of, in the order of the study."""
    found = set(table["arm"])
    return [arm for arm in analysis.study.arms if arm in found]


def mean_of(analysis: Analysis) -> str:
    """Words for a curve of accuracies."""
    num_seeds = len(analysis.study.seeds)
    return "Accuracy of one seed" if num_seeds == 1 else f"Mean accuracy of {num_seeds} seeds"


def band_words(analysis: Analysis) -> str:
    """Words for the bands of a figure. One seed has no bands."""
    return "" if len(analysis.study.seeds) == 1 else ", with pointwise 95 % intervals"
