"""Label efficiency, a bar for each arm."""

import numpy as np

from al_lightning.report.analysis import Analysis
from al_lightning.report.page.figures.parts import WIDE, Drawing, Look, arms_of, make_panels
from al_lightning.report.page.style import INK


def efficiency(analysis: Analysis, look: Look) -> Drawing | None:
    """How many labels the baseline needs for one label of an arm."""
    table = analysis.efficiency
    table = table[(table["arm"] != analysis.baseline) & np.isfinite(table["ratio"].astype(float))]
    if table.empty:
        return None
    arms = arms_of(analysis, table)
    targets = sorted(table["target_labels"].unique())
    columns = len(targets) if look.width >= WIDE else 1
    rows = len(targets) // columns
    height = (0.9 + 0.27 * len(arms)) * rows
    figure, grid = make_panels(look, rows, columns, height, 0.2, left=look.margin(arms) - 0.3, share=True)
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
        "labels. A hollow marker is a bound: an arm missed the accuracy, or had it with its first labels.",
        f"Label efficiency: {listed}.",
        figure,
    )
