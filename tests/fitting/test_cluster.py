"""A run in a job of SLURM: it loads and writes no checkpoint of a requeued job, and stops on the signal to requeue."""

import os
import signal
import subprocess
from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.callbacks import OnExceptionCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.utilities import rank_zero_only

from al_lightning import InputError, Interrupted, Random
from al_lightning.fitting.cluster import one_process_environment
from tests.digits import DigitsMLP, FlatDigits
from tests.test_loop import make_loop, make_trainer, rows, run, timeless

REPOSITORY = Path(__file__).parents[2]
JOB = {
    "SLURM_JOB_ID": "1234",
    "SLURM_JOB_NAME": "train",
    "SLURM_NTASKS": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_NNODES": "1",
}
FLAGS = [
    *("--data", "tests.digits.FlatDigits", "--data.num_initial", "50", "--model", "tests.digits.DigitsMLP"),
    *("--loop.query_size", "10", "--loop.num_rounds", "2", "--trainer.max_epochs", "3"),
]


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A job of SLURM with one task, in an empty working folder."""
    for name, value in JOB.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return monkeypatch


def plant_checkpoint(folder: Path) -> None:
    """Writes the checkpoint that Lightning leaves when a job is requeued: other weights, and a finished trainer."""
    model = DigitsMLP()
    trainer = make_trainer(max_epochs=7, default_root_dir=str(folder), plugins=[LightningEnvironment()])
    data = FlatDigits(num_initial=50)
    data.set_labeled(torch.arange(400))
    trainer.fit(model, datamodule=data)
    trainer.save_checkpoint(folder / "hpc_ckpt_3.ckpt")


def fit(python: str, run_dir: Path, cwd: Path, *flags: str, **variables: str) -> subprocess.Popen:
    command = [python, "-m", "al_lightning", "fit", *FLAGS, *flags, "--loop.run_dir", str(run_dir)]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), **variables}
    return subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.parametrize("in_a_job", [False, True])
def test_the_checkpoint_of_a_requeued_job_is_never_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_a_job: bool
) -> None:
    run(tmp_path / "alone")
    monkeypatch.chdir(tmp_path)
    plant_checkpoint(tmp_path)
    for name, value in JOB.items() if in_a_job else ():
        monkeypatch.setenv(name, value)
    run(tmp_path / "beside")
    assert timeless(tmp_path / "beside") == timeless(tmp_path / "alone")
    assert rows(tmp_path / "beside", "queries.csv") == rows(tmp_path / "alone", "queries.csv")


def test_fast_dev_run_loads_no_checkpoint_either(tmp_path: Path, job: pytest.MonkeyPatch) -> None:
    plant_checkpoint(Path.cwd())
    loop, model = make_loop(tmp_path / "run"), DigitsMLP()
    planted = torch.load("hpc_ckpt_3.ckpt", weights_only=True)["state_dict"]["hidden.weight"]
    loop.run(make_trainer(loop, fast_dev_run=True), model, FlatDigits(num_initial=50))
    assert not torch.allclose(model.hidden.weight, planted, atol=0.05)


def test_a_checkpoint_of_an_exception_is_not_loaded(tmp_path: Path) -> None:
    """Lightning starts each fit from the file of OnExceptionCheckpoint, if there is one."""

    class Fails(L.Callback):
        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            if len(trainer.datamodule.labeled_indices) == 60:
                raise RuntimeError("failed")

    trainer = {"enable_checkpointing": True}
    run(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="failed"):
        run(tmp_path / "parts", None, OnExceptionCheckpoint(tmp_path / "saved"), Fails(), trainer=trainer)
    assert list((tmp_path / "saved").iterdir())
    run(tmp_path / "parts", None, OnExceptionCheckpoint(tmp_path / "saved"), trainer=trainer)
    assert timeless(tmp_path / "parts") == timeless(tmp_path / "whole")


def test_a_path_that_each_fit_would_start_from_is_refused(tmp_path: Path) -> None:
    loop = make_loop(tmp_path / "run")
    trainer = make_trainer(loop)
    trainer.ckpt_path = str(tmp_path / "old.ckpt")
    with pytest.raises(InputError, match="`trainer.ckpt_path` not to be set"):
        loop.run(trainer, DigitsMLP(), FlatDigits(num_initial=50))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["train", "interactive", "bash"])
@pytest.mark.parametrize("more", [{}, {"SLURM_NTASKS": "4", "SLURM_PROCID": "2"}, {"SLURM_NTASKS_PER_NODE": "8"}])
def test_the_command_runs_on_one_device_in_any_job(
    tmp_path: Path, job: pytest.MonkeyPatch, name: str, more: dict[str, str]
) -> None:
    from al_lightning.cli import main

    for variable, value in {"SLURM_JOB_NAME": name, **more}.items():
        job.setenv(variable, value)
    job.syspath_prepend(str(REPOSITORY))
    main(["fit", *FLAGS, "--loop.run_dir", str(tmp_path / "run"), "--loop.num_rounds", "0"])
    assert len(rows(tmp_path / "run")) == 1


def test_a_logger_writes_whatever_the_number_of_the_task(tmp_path: Path, job: pytest.MonkeyPatch) -> None:
    """Lightning takes SLURM_PROCID for the rank, and loggers of other ranks than 0 write nothing."""
    job.setattr(rank_zero_only, "rank", 3)
    run(tmp_path / "run", Random(), num_rounds=0, trainer={"logger": CSVLogger(str(tmp_path / "logs"))})
    assert rows(tmp_path / "logs/lightning_logs/version_0", "metrics.csv")
    assert rank_zero_only.rank == 3


def test_devices_and_tasks_that_do_not_go_together_are_refused(tmp_path: Path, job: pytest.MonkeyPatch) -> None:
    job.setenv("SLURM_NTASKS", "3")
    job.setenv("SLURM_NTASKS_PER_NODE", "3")
    with pytest.raises(InputError, match="starts a process for each of 2 devices itself, but got 3"):
        one_process_environment(2, 1, None)
    loop = make_loop(tmp_path / "run")
    trainer = L.Trainer(callbacks=[loop], devices=2, strategy="ddp", accelerator="cpu", logger=False)
    with pytest.raises(InputError, match="a task for each of 2 devices, but it started 3"):
        loop.run(trainer, DigitsMLP(), FlatDigits())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("devices", "tasks", "plugins", "added"),
    [
        ("1", "1", None, True),
        ("1", "16", None, True),
        ([0], "16", [], True),
        ("0,", "16", None, True),
        ("0,1", "1", None, True),
        ("auto", "1", None, True),
        ("auto", "2", None, False),
        (2, "2", None, False),
        (1, "1", SLURMEnvironment(), False),
        (1, "1", [TorchElasticEnvironment()], False),
    ],
)
def test_an_environment_is_added_unless_slurm_starts_the_processes(
    job: pytest.MonkeyPatch, devices: object, tasks: str, plugins: object, added: bool
) -> None:
    job.setenv("SLURM_NTASKS", tasks)
    assert (one_process_environment(devices, 1, plugins) is not None) == added


def test_outside_of_slurm_no_environment_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    assert one_process_environment(1, 1, None) is None


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs SIGUSR1")
@pytest.mark.parametrize(
    ("number", "plugin"),
    [
        (signal.SIGUSR1, None),
        (signal.SIGUSR2, "env.Usr2"),
    ],
)
def test_the_signal_to_requeue_stops_the_command_which_then_continues(
    tmp_path: Path, number: signal.Signals, plugin: str | None, forked_python: str
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    flags = ["--loop.num_rounds", "40"]
    if plugin:
        (tmp_path / "env.py").write_text(
            "import signal\nfrom lightning.pytorch.plugins.environments import SLURMEnvironment\n"
            "class Usr2(SLURMEnvironment):\n    def __init__(self):\n"
            "        super().__init__(requeue_signal=signal.SIGUSR2)\n"
        )
        flags += [f"--trainer.plugins+={plugin}"]
    process = fit(forked_python, stopped, tmp_path, *flags, **JOB)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("round 1"):
            break
    os.kill(process.pid, number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number, stderr
    (line,) = stderr.strip().splitlines()
    assert line.startswith(f"Stopped by {number.name}. To continue, give the same command: ")
    assert not list(tmp_path.rglob("hpc_ckpt*"))
    done = len(rows(stopped))
    assert 1 <= done < 41
    flags[1] = str(done + 1)
    continued = fit(forked_python, stopped, tmp_path, *flags, **JOB)
    assert continued.communicate(timeout=120)[1] == ""
    run(whole, Random(), model=DigitsMLP(256), num_rounds=done + 1)
    assert timeless(stopped) == timeless(whole)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs SIGUSR1")
def test_the_signal_to_requeue_is_an_exception_in_python(tmp_path: Path, job: pytest.MonkeyPatch) -> None:
    class Signals(L.Callback):
        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            if len(trainer.datamodule.labeled_indices) == 60:
                os.kill(os.getpid(), signal.SIGUSR1)

    with pytest.raises(Interrupted, match="SIGUSR1 stopped the run; the same command continues it") as caught:
        run(tmp_path / "run", None, Signals())
    assert caught.value.signum == signal.SIGUSR1
    assert len(rows(tmp_path / "run")) == 1
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    assert not list(tmp_path.rglob("hpc_ckpt*"))
    run(tmp_path / "run")
    assert len(rows(tmp_path / "run")) == 3


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs SIGUSR1")
def test_a_handler_of_the_users_own_is_left_alone(tmp_path: Path, job: pytest.MonkeyPatch) -> None:
    received = []

    class Signals(L.Callback):
        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            os.kill(os.getpid(), signal.SIGUSR1)

    previous = signal.signal(signal.SIGUSR1, lambda signum, frame: received.append(signum))
    try:
        run(tmp_path / "run", None, Signals(), num_rounds=0)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert received == [signal.SIGUSR1] * 3
