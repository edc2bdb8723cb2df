"""Writes a report: the page, its figures and numbers, and TensorBoard events."""

from collections.abc import Sequence
from pathlib import Path

from al_lightning.errors import InputError
from al_lightning.report.analysis import Analysis
from al_lightning.report.claims.judge import Claim
from al_lightning.report.page.figures.draw import draw
from al_lightning.report.page.figures.parts import NARROW
from al_lightning.report.page.gallery import gallery
from al_lightning.report.page.page import render
from al_lightning.report.page.style import to_png, to_svg
from al_lightning.report.summary import summary_csv, summary_json
from al_lightning.run_folder.files import replace_file

PAGE, SUMMARY_CSV, SUMMARY_JSON = "report.html", "summary.csv", "summary.json"
FIGURES, TENSORBOARD = "figures", "tensorboard"


def write_report(
    analysis: Analysis,
    out: Path,
    claims: Sequence[Claim] = (),
    root: str | None = None,
    command: str | None = None,
) -> Path:
    """Writes ``report.html``, ``summary.csv``, ``summary.json``, ``figures`` and ``tensorboard`` to a folder.

    Each file replaces that of an earlier report at once, and the page comes last.

    Args:
        analysis: The tables to report.
        out: The folder, which is made if it does not exist.
        claims: The judged claims.
        root: Folder of the data set, for the gallery.
        command: The command that writes the report again.

    Returns:
        The path of the page.

    Raises:
        InputError: If the folder cannot be written.
    """
    from al_lightning.report.tensorboard import write_tensorboard  # imports torch, which nothing else here needs

    drawings = draw(analysis)
    svgs = {drawing.name: to_svg(drawing.figure) for drawing in drawings}
    pngs = {drawing.name: to_png(drawing.figure) for drawing in drawings}
    narrow = {drawing.name: to_svg(drawing.figure) for drawing in draw(analysis, NARROW)}
    images = gallery(analysis.study, root)
    page = render(analysis, drawings, svgs, narrow, images, claims, command)
    files = {
        **{f"{FIGURES}/{name}.svg": svg.encode() for name, svg in svgs.items()},
        **{f"{FIGURES}/{name}.png": png for name, png in pngs.items()},
        SUMMARY_CSV: summary_csv(analysis).encode(),
        SUMMARY_JSON: summary_json(analysis, claims).encode(),
        PAGE: page.encode(),
    }
    try:
        (out / FIGURES).mkdir(parents=True, exist_ok=True)
        write_tensorboard(analysis, pngs, images, out / TENSORBOARD)
        for name, content in files.items():
            replace_file(out / name, content)
    except OSError as error:
        raise InputError(f"Expected to write a report to {out}, but got: {error.strerror or error}.") from error
    return out / PAGE
