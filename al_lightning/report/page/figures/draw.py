"""All figures of a report, drawn from the tables of an analysis."""

from collections.abc import Callable, Iterable

import matplotlib as mpl

from al_lightning.report.analysis import Analysis
from al_lightning.report.page.figures.agreement import agreement
from al_lightning.report.page.figures.balance import balance
from al_lightning.report.page.figures.calibration import calibration
from al_lightning.report.page.figures.costs import cost, wall_time
from al_lightning.report.page.figures.curves import differences, learning_curves, zooms
from al_lightning.report.page.figures.efficiency import efficiency
from al_lightning.report.page.figures.logged import diagnostics, metrics
from al_lightning.report.page.figures.matrices import overlap, penalty
from al_lightning.report.page.figures.parts import WIDE, Drawing, Look
from al_lightning.report.page.style import RC, arm_styles


def draw(analysis: Analysis, width: float = WIDE) -> list[Drawing]:
    """Draws all figures that the analysis has numbers for.

    Args:
        analysis: The tables to draw.
        width: Inches: ``WIDE``, or ``NARROW``, in which panels stand below each other.
    """
    look = Look(arm_styles(analysis.study, analysis.baseline), width)
    makers: Iterable[Callable[[Analysis, Look], Drawing | None]] = (
        learning_curves,
        zooms,
        differences,
        efficiency,
        penalty,
        wall_time,
        cost,
        calibration,
        agreement,
        balance,
        overlap,
        diagnostics,
    )
    with mpl.rc_context(RC):
        drawings = [make(analysis, look) for make in makers] + metrics(analysis, look)
    return [drawing for drawing in drawings if drawing is not None]
