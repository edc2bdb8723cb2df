"""A sweep that is stopped leaves no process behind."""

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from al_lightning.cli import main
from al_lightning.run_folder import read_rounds
from al_lightning.sweep.processes import SCRIPT
from tests.sweep.studies import TINY, TWO_ARMS, assert_same_rounds, start, wait_until, write_study

pytestmark = pytest.mark.usefixtures("forked_processes")


def processes_of(folder: Path) -> list[str]:
    """Command lines of the processes that work on runs in a folder, or on nothing but were started for it."""
    found = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if str(folder) in line and SCRIPT in line]


@pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps")
def test_a_sweep_that_is_stopped_leaves_nobody_behind_and_continues_to_the_same_bits(tmp_path: Path) -> None:
    path = write_study(tmp_path / "study.yaml", TWO_ARMS, out=tmp_path / "out", processes=2)
    words = ["--config", path, "--loop.num_rounds"]
    folders = [tmp_path / "out" / arm / "seed0" for arm in TWO_ARMS]
    stops = [(signal.SIGTERM, 143, "SIGTERM"), (signal.SIGINT, 130, "Ctrl-C"), (signal.SIGKILL, -9, None)]
    for number, code, name in stops:
        before = [len(read_rounds(folder)) for folder in folders]
        process = start(*words, 120)
        wait_until(lambda: all(len(read_rounds(f)) > n for f, n in zip(folders, before, strict=True)))  # noqa: B023
        assert len(processes_of(tmp_path)) == 2
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == code
        if name:
            (line,) = err.strip().splitlines()
            assert line.startswith(f"Stopped by {name}. To continue, give the same command: ")
            assert str(path) in line
            assert processes_of(tmp_path) == []
        else:
            wait_until(lambda: not processes_of(tmp_path), seconds=15)
        assert all(len(read_rounds(folder)) < 121 for folder in folders)
    # one more: a commit that was cut off by SIGKILL has a round that rounds.csv shows only once it is continued
    last = max(len(read_rounds(folder)) for folder in folders) + 1
    process = start(*words, last)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    main(["fit", *TINY.split(), "--loop.num_rounds", str(last), "--loop.run_dir", str(tmp_path / "whole")])
    assert_same_rounds(tmp_path / "out/random/seed0", tmp_path / "whole")
