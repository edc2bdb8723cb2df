"""The display of a sweep."""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from al_lightning.run_folder import Query, Round, RunFolder
from al_lightning.sweep import display
from al_lightning.sweep.display import PipedConsole, SweepDisplay
from al_lightning.sweep.plan import Arm, PlannedRun


def commit_rounds(run: PlannedRun, number: int, seconds: float = 5.0) -> None:
    folder = RunFolder.open(run.folder, {})
    rounds = [
        Round(r, 50 + 10 * r, 0.5 + r / 10, 0.7, 0.3, 0.1, 0.99, 5, True, seconds, 0.0, 0.0, 0.0) for r in range(number)
    ]
    folder.commit(rounds, [Query(0, 0, 7, 1, None)])
    folder.close()


@pytest.fixture
def runs(tmp_path: Path) -> list[PlannedRun]:
    """Two arms and two seeds, of which one has done three rounds and one its first."""
    runs = [PlannedRun(Arm(name, ()), seed, tmp_path) for seed in (0, 1) for name in ("random", "bald")]
    commit_rounds(runs[0], 3)
    commit_rounds(runs[1], 1)
    return runs


def shown(runs: list[PlannedRun], terminal: bool) -> Iterator[str]:
    """What is shown when the first run has ended and the second is running, then when that has failed."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=120, highlight=False, soft_wrap=True, markup=False)
    progress = SweepDisplay({"random": 2, "bald": 2}, [], runs, processes=1, console=console)
    progress.start()
    progress.ended(runs[0], None)
    progress.update(lambda: runs[1:2])
    yield output.getvalue()
    progress.ended(runs[1], "it [bold]broke")
    progress.waits(runs[2])
    assert progress._done() == "3 of 4 runs done, 1 failed, 1 waiting for labels"
    progress.stop()
    yield output.getvalue()


def test_a_terminal_gets_a_display(runs: list[PlannedRun]) -> None:
    first, second = shown(runs, terminal=True)
    assert "random seed 0: finished, round 2 of 2, 70 labels, test acc 0.7000" in first
    assert "1 of 4 runs done" in first
    assert re.search(r"  bald +seed 0 +round 0 of 2, 50 labels, test acc 0\.5000", first)
    assert "left" not in first  # no run of BALD has told how long it takes
    assert "bald seed 0: failed: it [bold]broke" in second


def test_a_file_gets_a_line_a_run_and_a_line_a_minute(runs: list[PlannedRun], monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(next(shown(runs, terminal=False)).splitlines()) == 1
    monkeypatch.setattr(display, "HEARTBEAT", 0.0)
    *_, text = shown(runs, terminal=False)
    assert text.splitlines() == [
        "random seed 0: finished, round 2 of 2, 70 labels, test acc 0.7000",
        "1 of 4 runs done; running: bald seed 0 (round 0 of 2, 50 labels, test acc 0.5000)",
        "bald seed 0: failed: it [bold]broke",
        f"random seed 1: waits for labels: al-lightning label {runs[2].folder} --import FILE",
    ]


@pytest.mark.parametrize(("processes", "seconds"), [(1, "0:00:55"), (2, "0:00:30"), (9, "0:00:30")])
def test_time_left_is_that_of_finished_runs_of_the_same_arms(tmp_path: Path, processes: int, seconds: str) -> None:
    runs = [PlannedRun(Arm(name, ()), seed, tmp_path) for seed in (0, 1) for name in ("slow", "fast", "fast2")]
    for run, seconds_fit in zip(runs, (10.0, 5.0, 5.0), strict=False):
        commit_rounds(run, 3, seconds_fit)
    commit_rounds(runs[4], 1)  # it has 10 of its 15 seconds to go
    progress = SweepDisplay({"slow": 2, "fast": 2, "fast2": 2}, runs[:3], runs[3:], processes)
    assert progress._left(runs[4:5]) == f", about {seconds} left"


def test_a_display_that_nobody_reads_any_longer_says_so(runs: list[PlannedRun]) -> None:
    """And does not end the program with the code of a run that failed, as rich would."""
    reader, writer = os.pipe()
    os.close(reader)
    console = PipedConsole(file=io.TextIOWrapper(io.FileIO(writer, "w", closefd=False), write_through=True))
    progress = SweepDisplay({"random": 2, "bald": 2}, [], runs, processes=1, console=console)
    with pytest.raises(BrokenPipeError):
        progress.ended(runs[0], None)
    progress.ended(runs[1], None)  # the rest is not shown
    progress.stop()
    os.close(writer)


def test_only_some_of_very_many_runs_are_looked_at(runs: list[PlannedRun], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "MAX_LINES", 1)
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120)
    progress = SweepDisplay({"random": 2, "bald": 2}, [], runs, processes=4, console=console)
    progress.start()
    progress.update(lambda: runs)
    progress.stop()
    assert "and 3 more" in output.getvalue()
