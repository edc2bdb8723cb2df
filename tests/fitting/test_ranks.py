"""Several devices: two processes on the CPU, as `--trainer.devices 2 --trainer.strategy ddp` starts them."""

import os
import signal
import subprocess
from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from sklearn.datasets import load_digits

from al_lightning import ActiveLearningLoop, InputError, Random
from al_lightning.cli import main
from tests.data.test_images import save_digits
from tests.digits import DigitsMLP, FlatDigits
from tests.fitting.ddp_ranks import FLAGS
from tests.fork_server import child_of
from tests.test_kill import REPOSITORY, assert_same, wait_for_a_round
from tests.test_loop import PlainMLP, rows

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="looks for processes as on POSIX")


def fit(python: str, run_dir: Path) -> subprocess.Popen:
    command = [python, "-m", "al_lightning", "fit", *FLAGS, "--loop.run_dir", str(run_dir)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children_of(pid: int) -> list[int]:
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [int(child) for child, parent in (line.split() for line in table.splitlines()) if int(parent) == pid]


def is_alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip() != "" and not state.strip().startswith("Z")


@pytest.fixture(scope="module")
def ranks(
    tmp_path_factory: pytest.TempPathFactory, forked_python: str
) -> tuple[Path, list[dict], subprocess.CompletedProcess]:
    """The results of both processes of tests/fitting/ddp_ranks.py."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [forked_python, "-m", "tests.fitting.ddp_ranks", str(folder)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (folder / "rank1.pt").exists(), result.stderr
    return folder, [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in (0, 1)], result


def test_a_run_that_ends_in_any_way_leaves_no_process_and_continues_to_the_same_bits(
    ranks, tmp_path: Path, forked_python: str
) -> None:
    folder, _, _ = ranks
    gone = (
        "al-lightning: error: Expected the processes of all 2 devices to go on, but that of rank 1 ended with code -9"
    )
    for victim, number, code, sentence in [
        ("rank 1", signal.SIGKILL, 2, gone),
        ("rank 0", signal.SIGKILL, -signal.SIGKILL, ""),
        ("rank 0", signal.SIGTERM, 143, "Stopped by SIGTERM. To continue"),
    ]:
        main = fit(forked_python, tmp_path / "killed")
        wait_for_a_round(main)
        main_pid = child_of(main.pid, forked_python)
        (program,) = children_of(main_pid)
        child = child_of(program, forked_python)
        os.kill(child, signal.SIGINT)  # a terminal sends Ctrl-C to both; it is for the main process to say so
        os.kill(main_pid if victim == "rank 0" else child, number)
        _, stderr = main.communicate(timeout=60)  # until both have closed their end
        assert not is_alive(child)
        if victim == "rank 1" and main.returncode == -signal.SIGKILL:
            code, sentence = -signal.SIGKILL, ""  # Lightning looks every five seconds, and may be the first to see it
        assert main.returncode == code, stderr
        assert stderr.count("\n") == (1 if sentence else 0), stderr
        assert stderr.startswith(sentence)

    continued = fit(forked_python, tmp_path / "killed")
    stdout, stderr = continued.communicate()
    assert continued.returncode == 0, stderr
    assert "Continuing the run" in stdout
    assert stderr == ""
    assert_same(tmp_path / "killed", folder / "whole")


@pytest.mark.parametrize("name", ["mlp", "mixmatch", "plain"])
def test_both_processes_have_the_same_labels_and_fit_the_same_model(ranks, name):
    _, found, _ = ranks
    first, second = (part[name]["rounds"] for part in found)
    assert len(first) == len(second) == 3
    for mine, theirs in zip(first, second, strict=True):
        assert mine["labeled"].equal(theirs["labeled"])
        assert mine["weights"].keys() == theirs["weights"].keys()
        for key, value in mine["weights"].items():
            assert value.equal(theirs["weights"][key]), key  # running statistics of PlainMLP among them
    assert [int(part["labeled"].sum()) for part in first] == [107, 117, 127]


@pytest.mark.parametrize("name", ["mlp", "mixmatch"])
def test_each_process_draws_dropout_of_its_own(ranks, name):
    _, found, _ = ranks
    for mine, theirs in zip(*(part[name]["rounds"] for part in found), strict=True):
        assert not mine["stream"].equal(theirs["stream"])


@pytest.mark.parametrize(("name", "batch_size"), [("mlp", 8), ("plain", 16)])
def test_an_epoch_is_dealt_out(ranks, name, batch_size):
    """Three epochs of a fit with 107 labels: all of them in each, and those of the minibatch that rounds up."""
    folder, found, _ = ranks
    first, second = (part[name]["batches"][0] for part in found)
    assert len(first) == len(second)
    steps = len(first) // 3
    data = FlatDigits()
    data.set_labeled(torch.tensor([int(row["index"]) for row in rows(folder / name, "queries.csv")[:107]]))
    inputs = {tuple(row) for row in torch.cat(list(data.labeled_blocks())).tolist()}
    for epoch in range(3):
        dealt = [pair for step in range(epoch * steps, (epoch + 1) * steps) for pair in (first[step], second[step])]
        assert len(dealt) == 2 * -(-107 // (2 * batch_size))
        seen = [tuple(row) for minibatch in dealt for row in minibatch[0].tolist()]
        assert set(seen) == inputs
        assert len(set(seen[:107])) == len(set(seen))


def test_each_process_sees_other_unlabeled_samples(ranks):
    _, found, _ = ranks
    first, second = (part["mixmatch"]["batches"][0][:10] for part in found)
    of_first, of_second = ({tuple(row) for part in parts for row in part[2].tolist()} for parts in (first, second))
    assert of_first
    assert of_second
    assert len(of_first & of_second) < 3  # some digits are the same to the pixel


@pytest.mark.parametrize("num_pool", [300, 64, 5])
def test_the_pool_is_scored_to_the_bits_of_one_process(ranks, num_pool):
    _, found, _ = ranks
    for part in found:
        for sharded, whole in zip(part["sharded"][num_pool], part["whole"][num_pool], strict=True):
            assert sharded.equal(whole)
            assert sharded.dtype == whole.dtype
        assert len(part["sharded"][num_pool][0]) == num_pool
        assert part["empty"].shape == (0,)


def test_what_one_process_refuses_both_do(ranks):
    _, found, _ = ranks
    assert [part["refusal"] for part in found] == ["Expected whole blocks."] * 2


def test_what_should_be_the_same_and_is_not_is_refused(ranks):
    _, found, _ = ranks
    sentence = "Expected the rank to be the same on all devices, but that of rank 1 differs."
    assert [part["difference"] for part in found] == [sentence] * 2


@pytest.mark.parametrize(("name", "model"), [("mlp", DigitsMLP), ("plain", PlainMLP)])
def test_test_metrics_are_those_of_one_process(ranks, name, model):
    folder, found, _ = ranks
    module = model()
    module.load_state_dict(torch.load(folder / name / "model.ckpt", weights_only=True)["state_dict"])
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.test(module, FlatDigits(), verbose=False)
    for part in found:
        tested = part[name]["rounds"][-1]["tested"]
        assert tested.keys() == trainer.callback_metrics.keys()
        assert all(tested[key].equal(value) for key, value in trainer.callback_metrics.items())
    if name == "mlp":
        bins = [int(row["count"]) for row in rows(folder / name, "calibration.csv") if row["round"] == "2"]
        assert sum(bins) == len(FlatDigits().test_targets)


def test_threads_stay_as_they_were_set(ranks):
    assert [part["mlp"]["threads"] for part in ranks[1]] == [{1}, {1}]


def test_what_there_is_to_say_is_said_once(ranks):
    _, _, result = ranks
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["round"] * 13 + ["Finished:"]
    assert result.returncode == 2
    assert result.stderr.count("error: Expected the run folder") == 1
    assert result.stderr.strip().splitlines()[-1].endswith("to be free, but another process is using it.")


@pytest.mark.parametrize(
    ("trainer", "loop", "message"),
    [
        ({"strategy": "ddp_spawn"}, {}, "`trainer.strategy` to be ddp for 2 devices, but got ddp_spawn"),
        ({"strategy": "ddp_fork"}, {}, "`trainer.strategy` to be ddp for 2 devices, but got ddp_fork"),
        ({"strategy": "ddp", "num_nodes": 2}, {}, "`trainer.num_nodes` to be 1, but got 2"),
    ],
)
def test_other_ways_to_several_processes_are_refused(tmp_path: Path, trainer: dict, loop: dict, message: str) -> None:
    active = ActiveLearningLoop(Random(), query_size=10, num_rounds=1, run_dir=str(tmp_path / "run"), **loop)
    devices = L.Trainer(callbacks=[active], devices=2, accelerator="cpu", logger=False, **trainer)
    with pytest.raises(InputError, match=message):
        active.run(devices, DigitsMLP(), FlatDigits())
    assert not (tmp_path / "run").exists()


def test_two_processes_ask_people_about_images_on_disk(tmp_path: Path, forked_python: str) -> None:
    save_digits(tmp_path / "photos" / "train", 90, classes=tuple(range(10)))
    save_digits(tmp_path / "photos" / "test", 40, start=100, classes=tuple(range(10)))
    pool = tmp_path / "photos" / "unlabeled"
    save_digits(pool, 70, start=200, classes=tuple(range(10)))
    for path in sorted(pool.rglob("*.png")):
        path.rename(pool / path.name)
    flags = ["--data", "ImageFolder", "--data.root", str(tmp_path / "photos"), "--data.image_size", "8"]
    flags += ["--data.channels", "1", "--data.max_memory", "0", "--data.num_workers", "1", "--model.input_dim", "64"]
    flags += ["--loop.oracle", "FileOracle", "--loop.strategy", "Margin", "--loop.query_size", "9"]
    flags += ["--loop.num_rounds", "1", "--loop.run_dir", str(tmp_path / "run"), "--trainer.max_epochs", "2"]
    flags += ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.accelerator", "cpu"]
    command = [forked_python, "-m", "al_lightning", "fit", *flags]
    asked = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.count("waits for 9 labels") == 1
    questions = rows(tmp_path / "run", "query.csv")
    assert len({row["file"] for row in questions}) == 9
    assert all(Path(row["file"]).parent == pool for row in questions)
    answers = [f"{row['index']},digit{load_digits().target[int(Path(row['file']).stem)]}" for row in questions]
    (tmp_path / "answers.csv").write_text("\n".join(["index,label", *answers]))
    main(["label", str(tmp_path / "run"), "--import", str(tmp_path / "answers.csv")])
    finished = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert [row["num_labeled"] for row in rows(tmp_path / "run")] == ["90", "99"]
