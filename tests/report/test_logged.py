"""Further metrics of rounds.csv are in all parts of a report, without anything that knows their names."""

import json
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from al_lightning import InputError
from al_lightning.report.analysis import Analysis, analyse
from al_lightning.report.logged import logged_curves, metric_names, range_of
from al_lightning.report.markdown import tables
from al_lightning.report.page.figures.draw import draw
from al_lightning.report.study import read_study
from al_lightning.report.write import write_report
from tests.report.made_up_runs import settings, write_run

METRIC = "test_macro_f1"
ENDPOINTS = ["accuracy, mean of 4 rounds, 500 to 800 labels", "AUBC 500-800", "last round, 800"]
ACCURACY = [0.7, 0.71, 0.72, 0.73]
F1 = {"random": [0.5, 0.52, 0.54, 0.56], "margin": [0.5, 0.62, 0.64, 0.66]}


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Two arms with the metric, and one that was begun before there was any."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        for arm in ("random", "margin", "entropy"):
            values = {METRIC: [value + seed / 100 for value in F1[arm]]} if arm in F1 else None
            given = settings(arm.title(), seed, num_rounds=3)
            write_run(folder / arm / f"seed{seed}", given, ACCURACY, diagnostics={"x": [1, 2, 3]}, metrics=values)
    return analyse(read_study([folder]))


def test_the_arms_that_have_a_metric_have_its_curve(analysis: Analysis) -> None:
    assert metric_names(analysis.study) == [METRIC]
    assert analysis.metrics["arm"].tolist() == ["margin"] * 4 + ["random"] * 4
    for arm, values in F1.items():
        found = analysis.metrics[analysis.metrics["arm"] == arm]
        assert found["num_labeled"].tolist() == [500, 600, 700, 800]
        assert found["mean"].to_numpy() == pytest.approx(np.array(values) + 0.01)
        assert (found["low"] < found["mean"]).all()
        assert (found["mean"] < found["high"]).all()


def test_arms_are_compared_by_a_metric_as_by_the_accuracy(analysis: Analysis) -> None:
    endpoint = f"{METRIC}, mean of 4 rounds, 500 to 800 labels"
    found = analysis.endpoints[analysis.endpoints["endpoint"] == endpoint].set_index("arm")
    assert list(found.index) == ["margin", "random"]
    assert found["difference"]["margin"] == pytest.approx(0.075)
    assert found["p_holm"]["margin"] == 0  # the same difference in all seeds
    assert found["best"].isna().all()  # more may be worse
    assert tables(analysis)[METRIC].splitlines()[2].startswith("| margin | 0.6150 | +0.0750 (")


def test_a_baseline_without_the_metric_leaves_no_differences(analysis: Analysis) -> None:
    found = analyse(analysis.study, "entropy").endpoints
    found = found[found["endpoint"].str.startswith(METRIC)]
    assert found["mean"].notna().all()
    assert found[["difference", "p", "p_same", "seeds_needed"]].isna().all(axis=None)


def test_each_metric_has_a_figure_of_the_arms_that_have_it(analysis: Analysis) -> None:
    (drawing,) = (drawing for drawing in draw(analysis) if drawing.name.startswith("metric_"))
    assert drawing.name == f"metric_{METRIC}"
    (axes,) = drawing.figure.axes
    assert axes.get_ylabel() == "test macro f1"
    assert {text.get_text() for text in axes.texts} == {"margin", "random"}
    assert "margin 0.6700" in drawing.alt
    random = analysis.metrics[analysis.metrics["arm"] == "random"]
    assert any(np.array_equal(line.get_ydata(), random["mean"]) for line in axes.lines)


def test_a_written_report_has_the_metric_everywhere(analysis: Analysis, tmp_path: Path) -> None:
    page = write_report(analysis, tmp_path)
    assert f'<figure id="metric_{METRIC}">' in page.read_text()
    assert (tmp_path / "figures" / f"metric_{METRIC}.svg").exists()
    assert METRIC in (tmp_path / "summary.csv").read_text()
    rows = json.loads((tmp_path / "summary.json").read_text())["metrics"]
    assert [row["mean"] for row in rows] == analysis.metrics["mean"].tolist()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert f"figures/metric_{METRIC}" in events.Tags()["images"]
    run = EventAccumulator(str(tmp_path / "tensorboard" / "margin" / "seed2"))
    run.Reload()
    assert run.Scalars(f"final_{METRIC}")[0].value == pytest.approx(0.68)


def test_a_run_without_further_metrics_is_as_it_was(analysis: Analysis) -> None:
    runs = [run.path for run in analysis.study.runs["entropy"]]
    found = analyse(read_study(runs))
    assert found.metrics.empty
    assert not any(drawing.name.startswith("metric_") for drawing in draw(found))
    assert found.endpoints["endpoint"].tolist() == ENDPOINTS


def test_a_metric_that_is_logged_too_appears_once(tmp_path: Path) -> None:
    """Runs begun before it was a column have it in diagnostics.csv only, at least for their first rounds."""
    values = [0.1, 0.2, 0.3, 0.4]
    written: list[list[float | None]] = [list(values), [None, None, *values[2:]]]
    for seed, column in enumerate(written):
        given = settings(seed=seed, num_rounds=3)
        logged = {METRIC: values, "gain": values}
        write_run(tmp_path / "random" / f"seed{seed}", given, ACCURACY, diagnostics=logged, metrics={METRIC: column})
    write_run(tmp_path / "old" / "seed0", settings("Margin", num_rounds=3), ACCURACY, diagnostics=logged)
    write_run(tmp_path / "old" / "seed1", settings("Margin", 1, num_rounds=3), ACCURACY, diagnostics=logged)
    found = analyse(read_study([tmp_path]))
    assert set(found.diagnostics["name"]) == {"gain"}
    assert found.metrics["mean"].tolist() == values * 2


def test_rounds_without_a_value_are_left_out(tmp_path: Path) -> None:
    for seed, column in enumerate([[0.1, None, 0.3, 0.4], [0.1, 0.2, float("nan"), 0.4]]):
        given = settings(seed=seed, num_rounds=3)
        write_run(tmp_path / "random" / f"seed{seed}", given, ACCURACY, metrics={"a/b": column, "a b": column})
    study = read_study([tmp_path])
    labels, curves = logged_curves(study, "random", "a/b")
    assert labels.tolist() == [500, 800]
    assert curves.tolist() == [[0.1, 0.4]] * 2
    found = analyse(study)
    assert found.endpoints["endpoint"].tolist() == ENDPOINTS  # not of a metric that some of these rounds lack
    names = [drawing.name for drawing in draw(found) if drawing.name.startswith("metric_")]
    assert names == ["metric_a_b", "metric_a_b_"]  # of files, and no two the same


def test_a_column_of_words_is_refused(tmp_path: Path) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(num_rounds=1), [0.7, 0.71], metrics={"f1": [0.1, 0.2]})
    (path / "commit.json").unlink()  # now a published run
    rounds = path / "rounds.csv"
    rounds.write_text(rounds.read_text().replace(",0.2\n", ",good\n"))
    with pytest.raises(InputError, match=r"^Expected numbers in the column `f1` of .*rounds.csv, but got something"):
        read_study([tmp_path])


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("test_macro_f1", (0, 1)),
        ("test_balanced_acc", (0, 1)),
        ("AUROC", (0, 1)),
        ("test_loss", (-np.inf, np.inf)),
        ("accident", (-np.inf, np.inf)),
    ],
)
def test_a_metric_that_is_a_share_has_limits(name: str, limits: tuple[float, float]) -> None:
    assert range_of(name) == limits
