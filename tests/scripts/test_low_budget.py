"""docs/low_budget.md says what results/low_budget says, and its tables are right for made-up results."""

import re
from pathlib import Path
from shutil import copytree, rmtree

import numpy as np
import pytest

from al_lightning.errors import InputError
from al_lightning.report.page.style import to_png
from al_lightning.sweep.plan import read_plan
from scripts import low_budget
from scripts.low_budget import COUNTS, FOLDERS, FROM, PREDICTED, RESULTS, TABLE, Curves, fill, read_results, tables
from tests.report.reports import runs

DOCUMENT = low_budget.DOCUMENT.read_text()
SIX = np.array([-0.5, -0.3, -0.1, 0.1, 0.3, 0.5])
"""Deviations of six seeds, of mean 0."""


def made_up() -> Curves:
    """Random at 60 %, and with the same seeds Margin 2 points above, Entropy 1 below, and a chosen start 4 above."""
    labels = np.arange(10, 210, 10)
    noise = SIX[:, None] * np.linspace(2, 1, 20)
    small = 0.01 * SIX[::-1, None]
    random = 60 + noise
    return Curves(
        labels,
        {
            "random": random,
            "margin": random + 2 + small,
            "entropy": random - 1 + small,
            f"margin{FROM}typiclust": random + 6 + small,
            **{arm: random + number + small for number, arm in enumerate(PREDICTED) if arm not in ("random", "margin")},
        },
    )


def rows_of(table: str) -> dict[str, list[str]]:
    return {cells[0]: cells[1:] for cells in (line.strip("| \n").split(" | ") for line in table.splitlines()[2:])}


def test_the_tables_are_those_of_the_document() -> None:
    found = tables(read_results())
    assert {name for _, name in TABLE.findall(DOCUMENT)} == found.keys()
    assert fill(DOCUMENT, found) == DOCUMENT, "run scripts/low_budget.py"
    assert low_budget.FIGURE.stat().st_size < 300_000


def test_the_published_rounds_are_of_ten_seeds_and_the_arms_of_the_config() -> None:
    results = read_results()
    assert results.keys() == FOLDERS.keys()
    both, of_10 = (
        {arm.name for arm in read_plan(["--config", f"configs/{name}.yaml"]).arms}
        for name in ("low_budget", "low_budget_starts")
    )
    for query_size, curves in results.items():
        assert curves.num_labeled.tolist() == list(range(query_size, 20 * query_size + 1, query_size))
        assert curves.accuracy.keys() == (both | of_10 if query_size == 10 else both)
        assert {values.shape for values in curves.accuracy.values()} == {(10, 20)}
        first = np.stack([curves.accuracy[arm][:, 0] for arm in curves.random_starts])
        assert (first == first[0]).all()  # the same start
    assert (RESULTS / "settings.json").is_file()


def test_differences_are_paired_by_seed() -> None:
    table = rows_of(low_budget.table_of_differences(made_up(), COUNTS[10], "random"))
    assert table["Margin"] == ["**+2.0 (+2.0 to +2.0)**"] * 5
    assert table["Entropy"] == ["**-1.0 (-1.0 to -1.0)**"] * 5
    assert "Random" not in table
    assert not any(FROM in arm or "from" in arm for arm in table)


def test_a_difference_that_noise_explains_is_not_bold() -> None:
    curves = made_up()
    noisy = Curves(curves.num_labeled, {**curves.accuracy, "entropy": curves.accuracy["random"] + SIX[::-1, None]})
    table = rows_of(low_budget.table_of_differences(noisy, COUNTS[10], "random"))
    assert table["Entropy"][0] == "+0.0 (-0.4 to +0.4)"  # t of 5 degrees, 2.571, times 0.374 / sqrt 6


def test_the_strategies_that_no_test_tells_from_the_highest_are_named() -> None:
    curves = made_up()
    close = {**curves.accuracy, "entropy": curves.accuracy["core_set"] - 0.01 + 0.1 * SIX[:, None]}
    at_50 = Curves(50 * np.arange(1, 21), close)
    table = low_budget.table_of_choices({10: Curves(curves.num_labeled, close), 50: at_50})
    for line in table.splitlines()[2:]:
        cells = line.strip("| ").split(" | ")
        assert cells[2] == "CoreSet"
        assert cells[4] == "+7.0"
        assert cells[6] == "Entropy"
    assert table.count("\n") == 2 + 8


def test_a_start_is_compared_with_a_random_start_of_the_same_strategy() -> None:
    (row,) = low_budget.table_of_starts(made_up()).splitlines()[2:]
    assert row.startswith("| Margin | TypiClust | **+4.0 (+4.0 to +4.0)** |")


def test_the_order_is_compared_with_the_prediction() -> None:
    table = rows_of(low_budget.table_of_order(made_up()))
    assert table["BAIT"][:2] == ["+6.7", "+0.0 (-0.0 to +0.0)"]
    assert table["CoreSet"][4:] == ["-1.0", "+7.0 (+7.0 to +7.0)"]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_rank_correlation_is_that_of_the_order(sign: int) -> None:
    low = {arm: np.full((6, 20), 60 + sign * predicted[0]) + SIX[:, None] for arm, predicted in PREDICTED.items()}
    table = rows_of(low_budget.table_of_order(Curves(np.arange(10, 210, 10), low)))
    assert table["rank correlation"][1] == f"{sign:+.2f}"


def test_thirds_are_rounds_of_queries() -> None:
    curves = Curves(np.arange(10, 210, 10), {"random": np.arange(20.0)[None].repeat(6, 0)})
    assert [float(curves.third("random", number)[0]) for number in range(3)] == [3.0, 10.0, 16.5]


def test_the_figure_is_the_same_each_time() -> None:
    results = {10: made_up(), 50: made_up()}
    png = to_png(low_budget.draw(results))
    assert png.startswith(b"\x89PNG")
    assert to_png(low_budget.draw(results)) == png


def test_results_are_made_of_run_folders(tmp_path: Path) -> None:
    for folder in FOLDERS.values():
        for arm in ("random", "entropy"):
            copytree(runs() / arm, tmp_path / "runs" / folder / arm)
    low_budget.publish(tmp_path / "runs", tmp_path / "results")
    found = read_results(tmp_path / "results")
    expected = low_budget.read_study([runs()], ["random", "entropy"]).accuracy
    for curves in found.values():
        assert curves.num_labeled.tolist() == list(range(50, 171, 20))
        for arm, values in curves.accuracy.items():
            np.testing.assert_allclose(values, 100 * expected[arm])
    settings = (tmp_path / "results" / "settings.json").read_text()
    assert "al_lightning.Entropy" in settings
    assert not re.search(str(tmp_path), settings)


def test_runs_join_the_results_of_others(tmp_path: Path) -> None:
    results = tmp_path / "results"
    for folder, arms in (("all", ("random", "entropy")), ("first", ("random",)), ("second", ("entropy",))):
        for arm in arms:
            copytree(runs() / arm, tmp_path / folder / FOLDERS[10] / arm)
    low_budget.publish(tmp_path / "all", tmp_path / "at_once")
    low_budget.publish(tmp_path / "first", results)
    low_budget.publish(tmp_path / "second", results)
    for name in (low_budget.ROUNDS, low_budget.SETTINGS):
        assert (results / name).read_bytes() == (tmp_path / "at_once" / name).read_bytes()
    low_budget.publish(tmp_path / "second", results)  # the same arm again takes its own place
    assert (results / low_budget.ROUNDS).read_bytes() == (tmp_path / "at_once" / low_budget.ROUNDS).read_bytes()
    seeds = sorted((tmp_path / "second" / FOLDERS[10] / "entropy").iterdir())
    rmtree(seeds[-1])
    with pytest.raises(InputError, match="protocol and the seeds of queries of 10, start random, but got others"):
        low_budget.publish(tmp_path / "second", results)
