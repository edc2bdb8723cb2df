"""Class balance of the labels bought."""

from al_lightning.report.analysis import Analysis
from al_lightning.report.page.figures.parts import Drawing, Look, arms_of, make_panels
from al_lightning.report.page.style import label_ends


def balance(analysis: Analysis, look: Look) -> Drawing | None:
    """Entropy of the classes of the labels bought."""
    if analysis.balance.empty:
        return None
    arms = arms_of(analysis, analysis.balance)
    figure, grid = make_panels(look, 1, 1, 2.8 + 0.09 * len(arms), look.margin(arms))
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
        "Entropy of the classes of all labels bought so far. It is 1 if all classes are equally frequent.",
        "Class balance over labels. At the end: " + ", ".join(f"{arm} {value:.3f}" for arm, value in ends) + ".",
        figure,
    )
