"""The runs of a sweep are those of fit, and a run that fails stops no other."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from al_lightning.cli import main
from al_lightning.run_folder import read_rounds
from al_lightning.sweep import launchers, run_plan
from tests.sweep.studies import (
    DIGITS,
    PYTHON,
    REPOSITORY,
    TINY,
    TWO_ARMS,
    assert_same_rounds,
    contents,
    refused,
    start,
    write_study,
)
from tests.test_kill import timeless

pytestmark = pytest.mark.usefixtures("forked_processes")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two arms and two seeds, finished."""
    folder = tmp_path_factory.mktemp("swept")
    path = write_study(folder / "study.yaml", TWO_ARMS, seeds=2, out=folder / "out", processes=2)
    process = start("--config", path)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert err == ""
    lines = out.splitlines()
    assert len(lines) == 5
    assert all(re.fullmatch(r"\w+ seed \d: finished, round 2 of 2, 70 labels, .*", line) for line in lines[:4])
    assert lines[4] == f"4 of 4 runs in {folder}/out finished."
    return folder


def test_a_run_is_that_of_fit(swept: Path, tmp_path: Path) -> None:
    for arm in TWO_ARMS:
        for seed in (0, 1):
            assert len(read_rounds(swept / f"out/{arm}/seed{seed}")) == 3
    single = ["fit", *TINY.split(), "--loop.strategy", "BALD", "--seed_everything", "1"]
    main([*single, "--loop.run_dir", str(tmp_path / "single")])
    run = swept / "out/bald/seed1"
    assert_same_rounds(run, tmp_path / "single")


def test_arms_with_the_same_seed_have_the_same_round_0(swept: Path) -> None:
    for seed in (0, 1):
        first, second = (timeless(swept / f"out/{arm}/seed{seed}")[:2] for arm in TWO_ARMS)
        assert len(first) == 2  # the header and round 0
        assert first == second


def test_a_log_has_the_command_and_what_it_printed(swept: Path) -> None:
    lines = (swept / "out/random/seed0.log").read_text().splitlines()
    assert lines[0].startswith("$ al-lightning fit ")
    assert lines[0].endswith(f"--loop.run_dir {swept}/out/random/seed0")
    assert [line.split()[0] for line in lines[1:]] == ["round", "round", "round", "Finished:"]


def test_what_is_finished_is_skipped_without_a_process(
    swept: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launchers, "start", lambda *_: pytest.fail("a process was started"))
    before = contents(swept)
    main(["sweep", "--config", str(swept / "study.yaml")])
    assert capsys.readouterr().out == f"All 4 runs in {swept}/out are finished.\n"
    assert contents(swept) == before


def test_a_dry_run_lists_the_commands_and_changes_nothing(swept: Path, capsys: pytest.CaptureFixture) -> None:
    before = contents(swept)
    main(["sweep", "--config", str(swept / "study.yaml"), "--seeds", "1-2", "--dry_run"])
    lines = capsys.readouterr().out.splitlines()
    states = [line.split("  # ")[1] for line in lines[:-1]]
    assert states == ["finished", "finished", "not begun", "not begun"]
    assert lines[-1] == "# 4 runs, of which 2 are finished"
    assert contents(swept) == before
    main(["sweep", "--config", str(swept / "study.yaml"), "--seeds", "1", "--dry_run", "--loop.num_rounds", "9"])
    assert capsys.readouterr().out.count("3 of 10 fits done") == 2


def test_other_settings_are_refused_before_anything_starts(swept: Path, capsys: pytest.CaptureFixture) -> None:
    before = contents(swept)
    flags = ["--config", swept / "study.yaml", "--arms", "bald"]
    assert "`data.num_initial` (50 there, 40 here)" in refused(capsys, *flags, "--data.num_initial", "40")
    assert "`loop.num_rounds` to be at least 2" in refused(capsys, *flags, "--loop.num_rounds", "1")
    assert contents(swept) == before


def test_more_rounds_extend_and_a_failure_stops_nobody_else(
    swept: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arms = {"failing": "--loop.strategy tests.failing.Failing", **TWO_ARMS}
    path = write_study(tmp_path / "study.yaml", arms, out=tmp_path / "out")
    shutil.copytree(swept / "out/random", tmp_path / "out/random")
    for arm in arms:
        (tmp_path / f"out/{arm}/seed0/cache").mkdir(parents=True)
    with pytest.raises(SystemExit) as stop:
        main(["sweep", "--config", str(path), "--loop.num_rounds", "3", "--processes", "1"])
    out, err = capsys.readouterr()
    assert stop.value.code == 1
    assert err == ""
    error = "RuntimeError: nothing to query"
    lines = out.splitlines()
    assert lines[0] == f"failing seed 0: failed: {error}"
    assert [line.split(",")[0] for line in lines[1:3]] == ["random seed 0: finished", "bald seed 0: finished"]
    assert lines[3] == f"2 of 3 runs in {tmp_path}/out finished; failed:"
    assert lines[4:] == [f"  failing seed 0: {error} ({tmp_path}/out/failing/seed0.log)"]
    # a run that is to go on keeps its cache
    assert [arm for arm in arms if (tmp_path / f"out/{arm}/seed0/cache").exists()] == ["failing"]
    assert len(read_rounds(tmp_path / "out/random/seed0")) == 4
    # the header and three rounds, of which the last was fitted again to be asked for labels
    assert timeless(tmp_path / "out/random/seed0")[:4] == timeless(swept / "out/random/seed0")


def test_a_run_that_cannot_be_started_stops_nobody_else(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write_study(tmp_path / "s.yaml", TWO_ARMS, f"{TINY} --loop.num_rounds 0", out=tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/random").touch()
    with pytest.raises(SystemExit) as stop:
        main(["sweep", "--config", str(path), "--processes", "1"])
    out, err = capsys.readouterr()
    assert (stop.value.code, err) == (1, "")
    lines = out.splitlines()
    assert lines[0] == f"random seed 0: failed: File exists: {tmp_path}/out/random"
    assert lines[1].startswith("bald seed 0: finished")
    assert lines[2] == f"1 of 2 runs in {tmp_path}/out finished; failed:"


LETTERS = """\
from al_lightning.data import Arrays
from tests import digits


class Letters(digits.FlatDigits):
    class_names = tuple("0123456789")

    def load(self) -> Arrays:
        arrays = super().load()
        targets = arrays.train_targets.clone()
        targets[100:] = -1
        return arrays._replace(train_targets=targets)
"""


def test_runs_that_wait_for_labels_or_end_early_are_not_finished(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "letters.py").write_text(LETTERS)
    (tmp_path / "ending.py").write_text(
        "from al_lightning import Random\nclass Ending(Random):\n    def query(self, *args): raise SystemExit(0)\n"
    )
    # and a module of the standard library's name in the working directory, which `fit` does not take for that
    (tmp_path / "queue.py").write_text("raise RuntimeError('not the queue of the standard library')\n")
    arms = {"ending": f"{TINY} --loop.strategy ending.Ending", "asking": "--loop.oracle FileOracle"}
    fit = "--data letters.Letters --model tests.digits.DigitsMLP --loop.num_rounds 3 --trainer.max_epochs 2"
    path = write_study(tmp_path / "study.yaml", arms, fit, out="out")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    words = [Path(PYTHON).with_name("al-lightning"), "sweep", "--config", path]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    assert set(lines[:2]) == {
        "ending seed 0: failed: it ended without an error, but with 0 of 3 fits done",
        "asking seed 0: waits for labels: al-lightning label out/asking/seed0 --import FILE",
    }
    assert lines[2:] == [
        "0 of 2 runs in out finished; failed:",
        "  ending seed 0: it ended without an error, but with 0 of 3 fits done (out/ending/seed0.log)",
        "Waiting for labels, and to be continued with the same command:",
        "  asking seed 0: al-lightning label out/asking/seed0 --import FILE",
    ]
    monkeypatch.chdir(tmp_path)
    main(["sweep", "--config", str(path), "--dry_run"])
    states = [line.split("  # ")[1] for line in capsys.readouterr().out.splitlines()[:-1]]
    assert states == ["not begun", "1 of 4 fits done, waits for labels"]


def test_runs_without_an_end_finish_when_their_pool_is_used_up(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """1,400 samples: 50, then 700, then the 650 that are left."""
    fit = "--data tests.digits.FlatDigits --model tests.digits.DigitsMLP --data.num_initial 50 --loop.query_size 700"
    fit += " --loop.num_rounds null --trainer.max_epochs 1"
    path = write_study(tmp_path / "study.yaml", {"random": None}, fit, out=tmp_path / "out")
    main(["sweep", "--config", str(path)])
    assert "random seed 0: finished, round 2, 1400 labels, test acc 0." in capsys.readouterr().out
    rounds = tmp_path / "out" / "random" / "seed0" / "rounds.csv"
    before = rounds.read_bytes()
    main(["sweep", "--config", str(path), "--dry_run"])
    assert "# 3 fits done\n" in capsys.readouterr().out
    main(["sweep", "--config", str(path)])
    assert "1 of 1 runs in" in capsys.readouterr().out
    assert rounds.read_bytes() == before
    main(["report", str(tmp_path / "out" / "random")])
    assert "in progress" not in capsys.readouterr().out


def test_a_folder_in_use_by_a_sweep_is_refused(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = {"loop": {"num_rounds": 2}, "trainer": {}}
    monkeypatch.setattr(run_plan, "check", lambda arms: {arm.name: settings for arm in arms})
    monkeypatch.setattr(launchers, "start", lambda *_: pytest.fail("a process was started"))
    with FileLock(tmp_path / ".sweep.lock"):
        assert "another sweep is using it" in refused(capsys, "--strategies", "Random", "--out", tmp_path)


def test_a_run_may_have_several_devices(tmp_path: Path) -> None:
    devices = "--trainer.devices 2 --trainer.strategy ddp --trainer.accelerator cpu"
    fit = f"{DIGITS} --loop.num_rounds 1 --trainer.max_epochs 1 {devices}"
    path = write_study(tmp_path / "study.yaml", {"random": None}, fit, out=tmp_path / "out")
    process = start("--config", path)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, ""), out + err
    main(["fit", *fit.split()[:-6], "--loop.run_dir", str(tmp_path / "one_device")])
    (log,) = (tmp_path / "out").rglob("*.log")
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["$", "round", "round", "Finished:"]
    one_device = timeless(tmp_path / "one_device")
    assert [row[:2] for row in timeless(tmp_path / "out/random/seed0")] == [row[:2] for row in one_device]
