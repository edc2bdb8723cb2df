"""A run that is killed, at any moment, and continued is the run that was never disturbed, to the bit."""

import csv
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
TINY = ["--loop.num_rounds", "3", "--trainer.max_epochs", "4"]


def timeless(run_dir: Path) -> list[list[str]]:
    """The rows of rounds.csv but for the seconds."""
    with (run_dir / "rounds.csv").open() as file:
        rows = list(csv.reader(file))
    keep = [i for i, name in enumerate(rows[0]) if not name.startswith("seconds")]
    return [[row[i] for i in keep] for row in rows]


def assert_same(run_dir: Path, whole: Path) -> None:
    assert timeless(run_dir) == timeless(whole)
    assert (run_dir / "queries.csv").read_bytes() == (whole / "queries.csv").read_bytes()
    assert (run_dir / "config.yaml").read_text().replace(str(run_dir), "") == (
        (whole / "config.yaml").read_text().replace(str(whole), "")
    )
    assert not list(run_dir.glob("*.new"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("strategy", ["BADGE", "CoreSet"])
def test_sigkill_at_forty_moments_of_fit_scoring_and_commit(tmp_path: Path, strategy: str, forked_python: str) -> None:
    flags = [
        *("--data", "tests.digits.FlatDigits", "--data.num_initial", "50", "--model", "tests.digits.DigitsMLP"),
        *("--loop.strategy", strategy, "--loop.query_size", "10"),
        *("--data.batch_size", "32", "--loop.num_rounds", "2", "--trainer.max_epochs", "1"),
    ]
    server = subprocess.run(
        [forked_python, "-m", "tests.kill_server", str(tmp_path), *flags],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert server.returncode == 0, server.stderr
    killed = server.stdout.split()
    assert len(killed) >= 35
    kinds = {name.split("-")[1] for name in killed}
    assert {"training_step", "__init__", "write_synced", "replace"} <= kinds
    for name in killed:
        assert_same(tmp_path / name, tmp_path / "whole")


def fit(python: str, run_dir: Path, *flags: str) -> subprocess.Popen:
    command = [python, "-m", "al_lightning", "fit", "--config", "configs/badge.yaml", *TINY, *flags]
    return subprocess.Popen(
        [*command, "--loop.run_dir", str(run_dir)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_a_round(process: subprocess.Popen) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("round"):
            return


def test_sigkill_of_the_command_on_real_data(tmp_path: Path, forked_python: str) -> None:
    whole = fit(forked_python, tmp_path / "whole")
    assert whole.communicate()[0].count("round ") == 4
    for delay in (0.0, random.Random(0).uniform(0.1, 0.5)):
        killed = fit(forked_python, tmp_path / "killed")
        wait_for_a_round(killed)
        time.sleep(delay)
        killed.kill()
        killed.communicate()
    continued = fit(forked_python, tmp_path / "killed")
    continued.communicate()
    assert continued.returncode == 0
    assert_same(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.parametrize(("number", "code", "name"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")])
def test_a_signal_ends_with_one_line_that_says_how_to_continue(
    tmp_path: Path, forked_python: str, number: signal.Signals, code: int, name: str
) -> None:
    process = fit(forked_python, tmp_path / "run", "--loop.num_rounds", "50")
    wait_for_a_round(process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    lines = stderr.strip().splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith(f"Stopped by {name}. To continue")
    assert str(tmp_path / "run") in lines[0]
