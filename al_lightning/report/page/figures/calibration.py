"""Calibration: accuracy over confidence."""

from al_lightning.report.analysis import Analysis
from al_lightning.report.page.figures.parts import WIDE, Drawing, Look, arms_of, make_panels
from al_lightning.report.page.style import INK, label_ends

FEW = 0.005
"""Share of the samples under which a bin of a calibration curve is noise."""


def calibration(analysis: Analysis, look: Look) -> Drawing | None:
    """Accuracy over confidence in the first, a middle and the last round."""
    table = analysis.calibration.dropna(subset=["confidence", "accuracy"])
    if table.empty:
        return None
    counts = sorted(table["num_labeled"].unique())
    counts = sorted({counts[0], counts[len(counts) // 2], counts[-1]})
    arms = arms_of(analysis, table)
    columns = len(counts) if look.width >= WIDE else 1
    rows = len(counts) // columns
    height = 3.3 + 0.06 * len(arms) if rows == 1 else 2.7 * rows
    figure, grid = make_panels(look, rows, columns, height, look.margin(arms), share=True)
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
        "Share of right predictions on the test set, by their confidence. Below the diagonal a model is overconfident. "
        f"Bins with less than {FEW:.1%} of the test set are left out.",
        f"Calibration curves with {' and '.join(f'{int(count):,}' for count in counts)} labels.",
        figure,
    )
