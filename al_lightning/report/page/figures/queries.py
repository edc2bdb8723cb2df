"""What was queried: the balance of the classes, and what strategies report of their own queries."""

from al_lightning.report.analysis import Analysis
from al_lightning.report.page.figures.parts import Drawing, Look, arms_of, band_words, fill, make_panels
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
        "Entropy of the classes of all labels bought so far: 1 if there are as many of each.",
        "Class balance over labels. At the end: " + ", ".join(f"{arm} {value:.3f}" for arm, value in ends) + ".",
        figure,
    )


def diagnostics(analysis: Analysis, look: Look) -> Drawing | None:
    """What strategies report of themselves, a panel for each figure."""
    table = analysis.diagnostics
    if table.empty:
        return None
    names = sorted(table["name"].unique())
    arms = arms_of(analysis, table)
    figure, grid = make_panels(look, len(names), 1, 2.1 * len(names) + 0.3, look.margin(arms))
    alt = []
    for (axes,), name in zip(grid, names, strict=True):
        ends = []
        for arm in arms:
            rows = table[(table["arm"] == arm) & (table["name"] == name)]
            if rows.empty:
                continue
            x, style = rows["num_labeled"], look.styles[arm]
            fill(axes, x, rows["low"], rows["high"], style.color, 0.2)
            axes.plot(x, rows["mean"], **style.line(len(x)))
            ends.append((arm, float(rows["mean"].iloc[-1])))
            alt.append(f"{name} of {arm} {rows['mean'].iloc[-1]:.3f}")
        axes.set_title(name.replace("_", " "), loc="left")
        label_ends(axes, ends, look.styles, look.max_name)
    grid[-1][0].set_xlabel("labels")
    return Drawing(
        "diagnostics",
        "Diagnostics",
        f"What strategies report of their own queries, over labels{band_words(analysis)}.",
        f"Diagnostics of strategies over labels. At the end: {', '.join(alt)}.",
        figure,
    )
