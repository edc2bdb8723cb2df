"""Small studies for the tests of sweeps."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from al_lightning.cli import main
from al_lightning.sweep.plan import Plan, read_plan
from tests.test_kill import timeless

REPOSITORY = Path(__file__).parents[2]
PYTHON = sys.executable
"""Where ``forked_processes`` puts another one in its place, this one imports everything itself."""
DIGITS = "--data tests.digits.FlatDigits --model tests.digits.DigitsMLP --data.num_initial 50 --loop.query_size 10"
TINY = f"{DIGITS} --loop.num_rounds 2 --trainer.max_epochs 2"
TWO_ARMS = {"random": None, "bald": "--loop.strategy BALD"}


def write_study(path: Path, arms: dict[str, str | None], fit: str = TINY, **keys: object) -> Path:
    lines = [f"{name}: {value}" for name, value in keys.items()]
    lines += [f"fit: {fit}", "arms:", *(f"  {name}: {flags or ''}" for name, flags in arms.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


def start(*words: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "al_lightning", "sweep", *map(str, words)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refused(capsys: pytest.CaptureFixture, *words: object) -> str:
    """Runs a sweep that must be refused; returns the sentence."""
    with pytest.raises(SystemExit) as stop:
        main(["sweep", *map(str, words)])
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    return err.strip().removeprefix("al-lightning: error: ")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same_rounds(run: Path, whole: Path) -> None:
    """Their configs differ: each names its own folder."""
    assert timeless(run) == timeless(whole)
    assert (run / "queries.csv").read_bytes() == (whole / "queries.csv").read_bytes()


def study(*words: str) -> Plan:
    return read_plan(["--strategies", "Random", *words])


def wait_until(condition: object, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
