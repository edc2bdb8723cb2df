"""Launchers and the processes that they start."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from al_lightning.cli import main
from al_lightning.errors import InputError
from al_lightning.run_folder import RunFolder, read_rounds
from al_lightning.sweep import child, processes
from al_lightning.sweep.lifeline import LIFELINE
from al_lightning.sweep.plan import Arm, PlannedRun
from al_lightning.sweep.processes import SCRIPT, SYS_PATH
from al_lightning.sweep.run_plan import make_launcher
from tests.sweep.studies import DIGITS, TINY, TWO_ARMS, study, write_study
from tests.test_kill import wait_for_a_round

pytestmark = pytest.mark.usefixtures("forked_processes")


def test_a_worker_of_ray_says_why_a_run_cannot_be_started(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    error = processes.run_to_its_end(PlannedRun(Arm("a", ()), 0, tmp_path), str(tmp_path), sys.path)
    assert error == f"File exists: {tmp_path}/a"


def test_a_worker_of_ray_runs_a_run_to_its_end(tmp_path: Path) -> None:
    run = PlannedRun(Arm("a", (*f"{DIGITS} --loop.num_rounds 0 --trainer.max_epochs 1".split(),)), 0, tmp_path)
    assert processes.run_to_its_end(run, os.getcwd(), processes.sys_path()) is None
    assert len(read_rounds(run.folder)) == 1
    bad = PlannedRun(Arm("b", ("--loop.query_size", "0")), 0, tmp_path)
    error = "Expected `loop.query_size` to be at least 1, but got 0."
    assert processes.run_to_its_end(bad, os.getcwd(), processes.sys_path()) == error


def test_a_process_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.1)
    words = ["sh", "-c", "trap '' TERM; echo; while true; do sleep 1; done"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    processes.stop([process])
    assert process.returncode == -signal.SIGKILL
    assert processes.wait(PlannedRun(Arm("a", ()), 0, tmp_path), process) == "killed by SIGKILL"


def test_a_failed_run_without_a_log_is_told_by_its_code(tmp_path: Path) -> None:
    process = subprocess.Popen(["sh", "-c", "exit 3"], stdin=subprocess.PIPE)
    assert processes.wait(PlannedRun(Arm("a", ()), 0, tmp_path), process) == "exit code 3"


def test_a_run_waits_for_the_same_one_of_a_sweep_that_was_killed(tmp_path: Path) -> None:
    holds = (
        f"import filelock, time\nwith filelock.FileLock({str(tmp_path / '.lock')!r}):"
        " print(flush=True); time.sleep(0.2)"
    )
    process = subprocess.Popen([sys.executable, "-c", holds], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    child._wait_until_free(tmp_path)
    RunFolder.open(tmp_path, {}).close()
    process.communicate()


def test_a_run_that_is_in_use_for_long_is_left_to_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(child, "GRACE", 0.1)
    child._wait_until_free(tmp_path / "not_there")
    with FileLock(tmp_path / ".lock"):
        child._wait_until_free(tmp_path)


# ------------------------------------------------------------------------------------------------ one from outside

THREADS = """\
from concurrent.futures import Future, ThreadPoolExecutor
from al_lightning.cli import main
from al_lightning.sweep.lifeline import LIFELINE
from al_lightning.sweep.launchers import Launcher

class Threads(Launcher):
    pool = ThreadPoolExecutor(1)

    def submit(self, run):
        return self.pool.submit(main, run.words)

class Jobs(Launcher):
    def submit(self, run):
        raise FileNotFoundError(2, "No such file or directory", "sbatch")

class Cancelled(Launcher):
    def submit(self, run):
        future = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future

class Late(Launcher):
    def submit(self, run):
        def fail():
            raise RuntimeError("the queue\\nis closed")
        return Threads.pool.submit(fail)

nothing = None
"""


@pytest.fixture
def my_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_cluster.py").write_text(THREADS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_cluster", raising=False)
    return "my_cluster"


def test_a_launcher_of_ones_own_is_a_few_lines(tmp_path: Path, my_cluster: str, capsys: pytest.CaptureFixture) -> None:
    path = write_study(tmp_path / "study.yaml", TWO_ARMS, f"{TINY} --loop.num_rounds 1", out=tmp_path / "out")
    main(["sweep", "--config", str(path), "--launcher", f"{my_cluster}.Threads"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "seed 0" in line]
    assert [line.split(", test")[0] for line in lines] == [
        "random seed 0: finished, round 1 of 1, 60 labels",
        "bald seed 0: finished, round 1 of 1, 60 labels",
    ]
    assert [len(read_rounds(tmp_path / "out" / arm / "seed0")) for arm in TWO_ARMS] == [2, 2]


@pytest.mark.parametrize(
    ("name", "error"),
    [("Jobs", "No such file or directory: sbatch"), ("Cancelled", "cancelled"), ("Late", "is closed")],
)
def test_a_launcher_that_fails_is_a_run_that_failed(
    tmp_path: Path, my_cluster: str, capsys: pytest.CaptureFixture, name: str, error: str
) -> None:
    path = write_study(tmp_path / "study.yaml", TWO_ARMS, out=tmp_path / "out")
    with pytest.raises(SystemExit) as stop:
        main(["sweep", "--config", str(path), "--launcher", f"{my_cluster}.{name}"])
    assert stop.value.code == 1
    assert capsys.readouterr().out.splitlines()[:2] == [f"{arm} seed 0: failed: {error}" for arm in TWO_ARMS]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no_module.X", "no_module.X to be a class, but got: No module named 'no_module'"),
        ("my_cluster.X", "my_cluster.X to be a class, but got: module 'my_cluster' has no attribute 'X'"),
        ("my_cluster.nothing", "my_cluster.nothing to be a subclass of al_lightning.sweep.launchers.Launcher"),
    ],
)
def test_what_is_no_launcher_is_refused(my_cluster: str, name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=f"Expected `--launcher` {sentence}"):
        make_launcher(study("--launcher", name))


# ------------------------------------------------------------------------------------------------ the process of a run


def run_child(run_dir: Path, num_rounds: int, stdin: int, **environment: str) -> subprocess.Popen:
    flags = f"{DIGITS} --trainer.max_epochs 1 --loop.num_rounds {num_rounds}".split()
    return subprocess.Popen(
        [sys.executable, SCRIPT, "fit", *flags, "--loop.run_dir", str(run_dir)],
        env={**os.environ, SYS_PATH: "\n".join(processes.sys_path()), **environment},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_run_stops_when_its_sweep_is_gone(tmp_path: Path) -> None:
    process = run_child(tmp_path / "run", 100, subprocess.PIPE, **{LIFELINE: "1"})
    wait_for_a_round(process)
    _, err = process.communicate()  # closes its input
    assert process.returncode == 143
    assert err.startswith("Stopped by SIGTERM. To continue")


def test_a_run_without_a_sweep_goes_on_without_an_input(tmp_path: Path) -> None:
    """The input of a job of a batch system is at its end from the start."""
    process = run_child(tmp_path / "run", 2, subprocess.DEVNULL)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert len(read_rounds(tmp_path / "run")) == 3
