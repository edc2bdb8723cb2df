"""Agreement of predictions and answers of people, round by round."""

from al_lightning.report.analysis import Analysis
from al_lightning.report.page.figures.parts import Drawing, Look, fill, make_panels
from al_lightning.report.page.style import label_ends
from al_lightning.report.people import by_run


def agreement(analysis: Analysis, look: Look) -> Drawing | None:
    """Share of the answers that the model had predicted, over labels, a curve for each run with people."""
    table = analysis.asked[analysis.asked["agreed"].notna()]
    if table.empty:
        return None
    runs = by_run(table)
    several = {arm for arm, _ in runs if sum(arm == other for other, _ in runs) > 1}
    names = {(arm, seed): f"{arm} seed {seed}" if arm in several else arm for arm, seed in runs}
    styles = {name: look.styles[arm] for (arm, _), name in names.items()}
    figure, grid = make_panels(look, 1, 1, 2.8 + 0.09 * len(runs), look.margin(list(names.values())))
    axes, ends = grid[0][0], []
    for key, rows in runs.items():
        x, style = rows["num_labeled"], styles[names[key]]
        fill(axes, x, rows["agreed_low"], rows["agreed_high"], style.color, 0.14)
        axes.plot(x, rows["agreed"], **style.line(len(rows)))
        ends.append((names[key], float(rows["agreed"].iloc[-1])))
    axes.set(xlabel="labels", ylabel="share predicted", ylim=(-0.02, 1.02))
    axes.margins(x=0.02)
    label_ends(axes, ends, styles, look.max_name)
    return Drawing(
        "agreement",
        "Prediction and answer",
        "Share of the answers of each round that the model had predicted, with Wilson's 95 % intervals. Unless the "
        "strategy is Random, it asks for samples that are hard for the model, so this is not the accuracy.",
        "Agreement over labels. At the end: " + ", ".join(f"{name} {value:.0%}" for name, value in ends) + ".",
        figure,
    )
