"""Figures: every table has one, in the same bytes each time, whatever arms are called and however few there are."""

import re
import warnings
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from al_lightning.report.analysis import analyse
from al_lightning.report.page.figures.draw import draw
from al_lightning.report.page.figures.parts import NARROW, WIDE, Drawing
from al_lightning.report.page.style import BASELINE_COLOR, GRID, INK, arm_styles, inline, label_ends, to_png, to_svg
from al_lightning.report.study import read_study
from tests.report.people_runs import people_settings, write_people_run
from tests.report.reports import analysis, study

ALL = {
    "learning_curves",
    "learning_curves_zoom",
    "differences",
    "efficiency",
    "penalty",
    "wall_time",
    "cost",
    "calibration",
    "balance",
    "overlap",
    "diagnostics",
}


@cache
def drawn(width: float) -> list[Drawing]:
    """All figures of the made-up analysis, drawn once; do not change them."""
    return draw(analysis(), width)


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_there_is_a_figure_for_every_table(width: float) -> None:
    drawings = drawn(width)
    assert {drawing.name for drawing in drawings} == ALL
    assert all(drawing.alt and drawing.caption and drawing.title for drawing in drawings)
    assert all(drawing.figure.get_size_inches()[0] == width for drawing in drawings)


def test_the_learning_curves_are_those_of_the_analysis() -> None:
    tables = analysis()
    axes = drawn(WIDE)[0].figure.axes[0]
    curves = [line for line in axes.lines if len(line.get_xdata()) == tables.study.num_rounds]
    for arm, line in zip(tables.study.arms, curves, strict=True):
        assert np.array_equal(line.get_xdata(), tables.study.num_labeled)
        assert np.array_equal(line.get_ydata(), tables.bands[arm]["mean"])
        assert line.get_color() == arm_styles(tables.study, tables.baseline)[arm].color
    assert [text.get_text() for text in axes.texts] == sorted(
        tables.study.arms, key=lambda arm: tables.bands[arm]["mean"].iloc[-1]
    )


def test_a_strategy_has_one_colour_and_a_way_of_training_one_dash() -> None:
    styles = arm_styles(study(), "random")
    assert styles["random"].color == styles["<b>&"].color != styles["entropy"].color
    assert styles["random"].linestyle == styles["entropy"].linestyle == "-" != styles["<b>&"].linestyle
    assert len({style.marker for style in styles.values()}) == 3


def test_ways_of_training_have_colours_where_all_arms_have_one_strategy() -> None:
    styles = arm_styles(study(["random", "<b>&"]), "random")
    assert styles["random"].color == BASELINE_COLOR != styles["<b>&"].color
    assert styles["random"].linestyle == styles["<b>&"].linestyle == "-"


@pytest.mark.parametrize(
    ("arms", "rounds", "seeds", "missing"),
    [
        (["random"], None, 2, {"differences", "efficiency", "penalty", "overlap"}),
        (["random", "entropy"], None, 1, {"penalty"}),
        (["random", "entropy"], 1, 2, {"learning_curves_zoom", "efficiency"}),
        (["random"], 1, 1, {"learning_curves_zoom", "differences", "efficiency", "penalty", "overlap"}),
    ],
)
def test_few_arms_seeds_or_rounds(arms: list[str], rounds: int | None, seeds: int, missing: set[str]) -> None:
    tables = analysis(study(arms, rounds, seeds))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawings = draw(tables)
        svgs = [to_svg(drawing.figure) for drawing in drawings]
    assert {drawing.name for drawing in drawings} == ALL - missing
    assert all("DejaVu" not in inline(svg, "x") for svg in svgs)
    assert ("interval" in drawings[0].caption) == (seeds > 1)


def test_older_runs_have_no_calibration_and_no_diagnostics() -> None:
    tables = analysis()
    tables = replace(tables, calibration=tables.calibration[:0], diagnostics=tables.diagnostics[:0])
    assert {drawing.name for drawing in draw(tables)} == ALL - {"calibration", "diagnostics"}


def test_the_same_analysis_gives_the_same_bytes() -> None:
    first, second = (draw(analysis())[0].figure for _ in range(2))
    assert to_svg(first) == to_svg(second)
    assert to_png(first) == to_png(second)


def test_an_svg_takes_the_colours_of_the_page_and_loads_nothing() -> None:
    drawing = drawn(WIDE)[0]
    svg = to_svg(drawing.figure)
    root = ET.fromstring(svg)
    texts = {"".join(text.itertext()).strip() for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"<b>&", "test accuracy"} <= texts
    assert "currentColor" in svg
    assert f"fill: {INK}" not in svg
    assert f"var(--grid, {GRID})" in svg
    within = inline(svg, "one")
    assert "http" not in within
    assert "<style" not in within  # it would hold for the whole page
    ids = [element.get("id") for element in ET.fromstring(within).iter() if element.get("id")]
    assert ids
    assert all(name.startswith("one-") for name in ids)
    assert all(f'id="{name}"' in within for name in _references(within))


def _references(svg: str) -> set[str]:
    return set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))


def test_a_png_is_opaque(tmp_path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(to_png(drawn(WIDE)[0].figure))
    image = np.asarray(Image.open(path).convert("RGBA"))
    assert (image[..., 3] == 255).all()
    assert (image[0, 0] == 255).all()


def test_names_at_the_ends_of_curves_do_not_collide() -> None:
    styles = arm_styles(study(), "random")
    axes = Figure(figsize=(4, 3)).subplots()
    label_ends(axes, [("random", 0.99), ("entropy", 0.991), ("<b>&", 0.2)], styles, max_name=4)
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts}
    assert list(heights) == ["<b>&", "ran…", "ent…"]
    gap = (heights["ent…"] - heights["ran…"]) * axes.bbox.height * 72 / axes.figure.dpi
    assert gap > 8.5  # points, the size of the letters
    assert heights["ent…"] <= 1
    assert heights["<b>&"] == pytest.approx(0.2)


def test_axes_show_the_means_and_not_the_intervals_of_two_seeds() -> None:
    tables = analysis()
    wide = {arm: band.assign(low=0.0, high=1.0) for arm, band in tables.bands.items()}
    axes = draw(replace(tables, bands=wide))[0].figure.axes[0]
    means = np.concatenate([band["mean"] for band in tables.bands.values()])
    low, high = axes.get_ylim()
    assert low <= means.min() < means.max() <= high
    assert high - low <= 1.5 * np.ptp(means) + 1e-9


def test_narrow_intervals_are_shown_whole() -> None:
    tables = analysis()
    narrow = {arm: band.assign(low=band["mean"] - 1e-3, high=band["mean"] + 1e-3) for arm, band in tables.bands.items()}
    axes = draw(replace(tables, bands=narrow))[0].figure.axes[0]
    low, high = axes.get_ylim()
    assert all(low <= band["low"].min() and band["high"].max() <= high for band in narrow.values())


def test_the_zero_of_a_difference_is_in_view() -> None:
    figures = {drawing.name: drawing.figure for drawing in drawn(WIDE)}
    low, high = figures["differences"].axes[0].get_ylim()
    assert low < 0 < high


def test_agreement_is_drawn_for_each_run_of_people(tmp_path: Path) -> None:
    for seed in range(2):
        write_people_run(tmp_path / "photos" / f"seed{seed}", people_settings(seed=seed))
    figures = {drawing.name: drawing for drawing in draw(analyse(read_study([tmp_path])))}
    assert figures.keys() == {"cost", "agreement", "balance"}
    lines = [line for line in figures["agreement"].figure.axes[0].lines if len(line.get_xdata()) == 2]
    assert [line.get_ydata().tolist() for line in lines] == [[2 / 3, 1.0]] * 2
    assert "photos seed 0 100%" in figures["agreement"].alt
