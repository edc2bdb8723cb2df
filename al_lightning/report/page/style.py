"""The style of all figures: one style for each arm, SVGs in the colours of the page, the same bytes each time."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from al_lightning.report.study import Study

INK = "#1c1f24"
"""Texts and axes; in an SVG the text colour of the page."""
GRID = "#d5d9de"
"""Grid lines; in an SVG the page's ``--grid``."""
NEUTRAL = "#737b85"
"""Texts and axes of an SVG by itself, readable on white and on black."""
BASELINE_COLOR = "#868d96"
COLORS = ("#0f7bc4", "#e8702a", "#0a9a72", "#cf79ae", "#c99700", "#9a5bbd", "#4fb3e8", "#d63d3d")
"""After Okabe and Ito: any colour vision tells them apart, on white and on black."""
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*", "d", "8")

FONTS = "system-ui,'Segoe UI',Roboto,'DejaVu Sans',sans-serif"
PNG_DPI = 160
LEAST_SCALE = 1.05  # CSS pixels a point
LABEL_SIZE = 8.5  # points

# Any: the type of the names differs between versions of matplotlib
RC: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.5,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same layout on every machine
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
    "svg.fonttype": "none",
    "svg.hashsalt": "al-lightning",
    "text.color": INK,
    "text.parse_math": False,  # names of arms are no formulas
    "xtick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": INK,
    "ytick.labelsize": 8.5,
}


@dataclass(frozen=True)
class ArmStyle:
    """How an arm is drawn, in every figure."""

    color: str
    linestyle: Any
    marker: str

    def line(self, num_points: int) -> dict[str, Any]:
        """Arguments of ``Axes.plot`` for a curve, with about six markers on it."""
        return {
            "color": self.color,
            "linestyle": self.linestyle,
            "marker": self.marker,
            "markevery": max(1, num_points // 6),
        }


def arm_styles(study: Study, baseline: str) -> dict[str, ArmStyle]:
    """A colour for each query strategy, a dash for each way of training, a marker for each arm.

    So an arm and its control, which differ only in the training, have the same colour. Arms with the training of the
    baseline have solid lines. The strategy of the baseline is grey. If all arms have one strategy, each way of
    training has a colour of its own, and the baseline is grey.
    """
    strategy_of = {
        arm: {k: v for k, v in study.method(arm).items() if k not in study.recipe(arm)} for arm in study.arms
    }
    by_training = all(strategy == strategy_of[baseline] for strategy in strategy_of.values())
    order = [baseline, *(arm for arm in study.arms if arm != baseline)]
    strategies: list[dict[str, Any]] = []
    recipes: list[dict[str, Any]] = []
    styles = {}
    for i, arm in enumerate(order):
        recipe = study.recipe(arm)
        strategy = recipe if by_training else strategy_of[arm]
        for value, known in ((strategy, strategies), (recipe, recipes)):
            if value not in known:
                known.append(value)
        number = strategies.index(strategy)
        styles[arm] = ArmStyle(
            BASELINE_COLOR if number == 0 else COLORS[(number - 1) % len(COLORS)],
            "-" if by_training else DASHES[recipes.index(recipe) % len(DASHES)],
            MARKERS[i % len(MARKERS)],
        )
    return {arm: styles[arm] for arm in study.arms}


def short(name: str, length: int) -> str:
    """A name of at most some characters."""
    return name if len(name) <= length else f"{name[: length - 1]}…"


def label_margin(names: Sequence[str]) -> float:
    """Inches that :func:`label_ends` needs to the right of an axes."""
    return 0.5 + 0.076 * max(len(name) for name in names)


def label_ends(
    axes: Axes,
    ends: Sequence[tuple[str, float]],
    styles: Mapping[str, ArmStyle],
    max_name: int,
    lead: bool = True,
) -> None:
    """Names curves at their right ends; names that would collide are moved apart, and lines lead to them.

    Args:
        axes: Where the curves are drawn; its limits must not change any more.
        ends: Names and last values of the curves.
        styles: By name.
        max_name: Characters of a name that there is room for.
        lead: Whether a line leads from the curve's end to its name; if not, it is a legend.
    """
    points = 72 / axes.figure.dpi
    width, height = axes.bbox.width * points, axes.bbox.height * points
    low, high = axes.get_ylim()
    placed = sorted((min(max((value - low) / (high - low), 0.0), 1.0), name) for name, value in ends)
    positions = _spread([position for position, _ in placed], 1.3 * LABEL_SIZE / height)
    for (position, name), label in zip(placed, positions, strict=True):
        style = styles[name]
        axes.plot(
            [1 if lead else 1 + 4 / width, 1 + 10 / width, 1 + 22 / width],
            [position if lead else label, label, label],
            color=style.color,
            linestyle=style.linestyle,
            linewidth=1.2,
            marker=style.marker,
            markevery=[2],
            transform=axes.transAxes,
            clip_on=False,
        )
        axes.text(
            1 + 28 / width,
            label,
            short(name, max_name),
            transform=axes.transAxes,
            fontsize=LABEL_SIZE,
            va="center",
            ha="left",
        )


def _spread(positions: list[float], gap: float) -> list[float]:
    """Moves ascending positions a gap apart, by as little as possible."""
    groups: list[list[float]] = []  # of touching labels
    for position in positions:
        groups.append([position])
        while len(groups) > 1 and _bottom(groups[-1], gap) - _top(groups[-2], gap) < gap:
            last = groups.pop()
            groups[-1] += last
    return [_bottom(group, gap) + i * gap for group in groups for i in range(len(group))]


def _bottom(group: list[float], gap: float) -> float:
    """Position of the first label of a group, whose middle is where the mean of its labels wants to be, in [0, 1]."""
    extent = gap * (len(group) - 1)
    return max(0.0, min(sum(group) / len(group) - extent / 2, 1.0 - extent))


def _top(group: list[float], gap: float) -> float:
    return _bottom(group, gap) + gap * (len(group) - 1)


def to_png(figure: Figure) -> bytes:
    """Renders on white."""
    png = io.BytesIO()
    with mpl.rc_context(RC):
        FigureCanvasAgg(figure)
        figure.savefig(png, format="png", dpi=PNG_DPI, facecolor="white", metadata={"Software": None})
    return png.getvalue()


def to_svg(figure: Figure) -> str:
    """Renders without a background; where the SVG is shown by itself it can be read on light and on dark."""
    file = io.StringIO()
    with mpl.rc_context(RC):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = re.sub(r"<metadata>.*?</metadata>", "", file.getvalue(), flags=re.DOTALL)
    svg = svg.replace(INK, "currentColor").replace(GRID, f"var(--grid, {GRID})")
    # texts have the font of the page; matplotlib names its own, in one of two properties by its version
    svg = re.sub(r"font-family: 'DejaVu Sans'[^;\"]*;? ?", "", svg)
    svg = re.sub(r"\bfont: ([\d.]+px) 'DejaVu Sans'[^;\"]*", r"font-size: \1", svg)
    # hundredths of a point are enough, in half the bytes
    svg = re.sub(r'\b(?:d|x|y)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found.group()), svg)
    alone = f":root{{color:{NEUTRAL};--grid:{NEUTRAL}50;font-family:{FONTS}}}"
    return svg.replace("</style>", f"{alone}</style>", 1)


def inline(svg: str, name: str) -> str:
    """Turns an SVG of :func:`to_svg` into a part of a page, which has its own colours and other SVGs."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r' (?:xmlns(?::xlink)?|version)="[^"]*"', "", svg, count=3)
    width = float(re.search(r' width="([\d.]+)pt"', svg)[1])  # type: ignore[index]
    svg = re.sub(r' (?:width|height)="[^"]*pt"', "", svg, count=2)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    # a figure that is too wide scrolls in its box, so that its text stays readable
    return svg.replace("<svg", f'<svg aria-hidden="true" style="min-width: {width * LEAST_SCALE:.0f}px"', 1)
