"""Sweeps: what they are asked, that their runs are those of `fit`, and that nothing stops them for good."""

import http.server
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from rich.console import Console

from al_lightning.cli import main
from al_lightning.cli import sweep as command
from al_lightning.errors import InputError
from al_lightning.run_folder import Query, Round, RunFolder, read_rounds
from al_lightning.sweep import child, display, launchers
from al_lightning.sweep.display import PipedConsole, SweepDisplay
from al_lightning.sweep.plan import Arm, Run, Study, read_study
from al_lightning.sweep.ray_address import cluster_address
from al_lightning.sweep.settings_of_arms import _unfit, check
from tests.test_kill import timeless

REPOSITORY = Path(__file__).parents[2]
DIGITS = "--data tests.digits.Digits --model tests.digits.DigitsMLP --data.num_initial 50 --loop.query_size 10"
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


# ------------------------------------------------------------------------------------------------- what it is asked


def study(*words: str) -> Study:
    return read_study(["--strategies", "Random", *words])


@pytest.mark.parametrize(("text", "seeds"), [("2", [0, 1]), ("[7, 3]", [7, 3]), ("2-3", [2, 3])])
def test_seeds_of_a_file(tmp_path: Path, text: str, seeds: list[int]) -> None:
    assert read_study(["--config", str(write_study(tmp_path / "s.yaml", TWO_ARMS, seeds=text))]).seeds == seeds


def test_the_runs_of_a_seed_come_first_and_their_commands_are_whole(tmp_path: Path) -> None:
    path = write_study(tmp_path / "my_study.yaml", {"b": "--loop.strategy BALD", "a": None}, fit="--num_threads 2")
    runs = read_study(["--config", str(path), "--seeds", "2", "--loop.num_rounds", "5"]).runs
    assert [str(run) for run in runs] == ["b seed 0", "a seed 0", "b seed 1", "a seed 1"]
    assert runs[2].command == (
        "al-lightning fit --num_threads 2 --loop.strategy BALD --loop.num_rounds 5 --seed_everything 1 "
        "--loop.run_dir runs/my_study/b/seed1"
    )
    assert runs[2].log == Path("runs/my_study/b/seed1.log")


def test_the_command_line_overrides_the_file(tmp_path: Path) -> None:
    path = str(write_study(tmp_path / "s.yaml", TWO_ARMS, out="x", seeds=3, processes=2, launcher="ray"))
    of_file = read_study(["--config", path])
    assert (of_file.out, len(of_file.seeds), of_file.processes, of_file.launcher) == (Path("x"), 3, 2, "ray")
    words = "--out y --seeds 1 --processes 5 --launcher local --arms bald"
    given = read_study(["--config", path, *words.split()])
    assert (given.out, given.seeds, given.processes, given.launcher) == (Path("y"), [0], 5, "local")
    assert [arm.name for arm in given.arms] == ["bald"]


def test_strategies_make_arms() -> None:
    arms = read_study(["--strategies", "CoreSet,BALD,my_module.MyOwn", "--model.dropout=0.2"]).arms
    assert [arm.name for arm in arms] == ["core_set", "bald", "my_own"]
    assert arms[2].flags == ("--loop.strategy", "my_module.MyOwn", "--model.dropout=0.2")


def test_flags_may_be_a_list_and_hold_spaces(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("fit: [--trainer.detect_anomaly, true]\narms: {a: \"--data.root 'my data'\"}\n")
    (arm,) = read_study(["--config", str(path)]).arms
    assert arm.flags == ("--trainer.detect_anomaly", "true", "--data.root", "my data")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "either `--config`, a study, or `--strategies`, but got neither"),
        ("--config configs/study.yaml --strategies Random", "but got both"),
        ("--config nope.yaml", "`--config` to be a file, a study, but there is no nope.yaml"),
        ("--config configs", "`--config` to be a file"),
        ("--config", "`--config` to be given a value"),
        ("--config configs/study.yaml --config configs/bald.yaml", "one `--config`, the study, but got 2"),
        ("--config configs/bald.yaml", "study .*but got `loop`.* `arms: {bald: --config configs/bald.yaml}`"),
        ("--config configs/study.yaml --arms random,bagde", "to be some of random, .*`bagde`; did you mean badge?"),
        ("--arms random --strategies Random", "`--arms` together with `--config`"),
        ("--strategies Random,,BALD", "`--strategies` to be classes with commas"),
        ("--strategies Random,x.Random", "`--strategies` to have other names"),
        ("--strategies Random --processes 0", "`--processes` to be at least 1, but got `0`"),
        ("--strategies Random --processes -2", "`--processes` to be .*-2"),
        (f"--strategies Random --processes {'9' * 5000}", "`--processes` to be at most .*a number of 5000 digits"),
        (f"--strategies Random --seeds {'9' * 5000}", "`--seeds` to be a number n"),
        ("--strategies Random --processes many", "`--processes` to be at least 1, but got `many`"),
        ("--strategies Random --launcher rya", "one of local, ray, but got `rya`; did you mean ray?"),
        ("--strategies Random --out README.md", "`--out` to be a folder, but README.md is a file"),
        ("--strategies Random --out README.md/x", "`--out` to be a folder, but README.md is a file"),
        ("--strategies Random --out=", "`--out` to be a folder, but got no name"),
        ("--strategies Random --seds 3", "an option of sweep or of fit, but got `--seds`; did you mean --seeds?"),
        ("--strategies Random --dry_run=1", "dry_run"),
        ("configs/study.yaml", "options, but got `configs/study.yaml`; a study is given as --config FILE"),
        ("--strategies Random --seed_everything 3", "`--seeds` instead of `--seed_everything`"),
        ("--strategies Random --loop.run_dir=x", "`--out` instead of `--loop.run_dir`"),
        ("--strategies Random --print_config", "`--dry_run` instead of `--print_config`"),
    ],
)
def test_bad_words_get_one_sentence(capsys: pytest.CaptureFixture, words: str, sentence: str) -> None:
    assert re.search(sentence, refused(capsys, *words.split()))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("arms: [", "a file in YAML"),
        ("\xff\xfe", "a file in YAML"),
        ("", "the keys out, seeds, .*but got `None`: it is empty"),
        ("- 1", "the keys out"),
        ("seeds: 2", "`arms` to have names.*but got `None`"),
        ("arms: [random]", "`arms` to have names"),
        ("arms: {}", "`arms` to have names"),
        ("arms: {a: {b: c}}", "`arms.a` to be flags"),
        ("arms: {a: [[b]]}", "`arms.a` to be flags"),
        ("arms: {a: 5}", "`arms.a` to be flags"),
        ("arms: {a: '\"'}", "`arms.a` to be flags.*No closing quotation"),
        ("arms: {a: , a: }", "`a` is there 2 times in `arms`, in line 1"),
        (
            "seeds: 1\narms: {a: }\nseeds: 2",
            "s.yaml, but `seeds` is there 2 times, in lines 1 and 3",
        ),
        ("arms: &a {x: *a}", "is part of itself"),
        ("arms: {a: , A: }", "differ in more than their case"),
        ("arms: {a/b: }", "name of an arm"),
        ("arms: {..: }", "name of an arm"),
        ("arms: {no: }", "name of an arm to be text, but got `False`.* write it in quotes"),
        ("arms: {1: }", "name of an arm to be text, but got `1`"),
        (f"arms: {{{'a' * 256}: }}", "at most 255 bytes long, but got 256: `aaa"),
        ("arms: {a: 2024-02-30}", "a file in YAML.*day"),
        ("arms: {a: }\nseeds: 2024-02-30", "a file in YAML.*day"),
        ("arms: {a: --seed_everything 3}", "`--seeds` instead of `--seed_everything`"),
        ("arms: {a: }\nfit: 5", "`fit` to be flags"),
        ("arms: {a: }\nsede: 5", "but got `sede`; did you mean seeds?"),
        ("arms: {a: }\nseeds: true", "`--seeds` to be .*but got `True`"),
        ("arms: {a: }\nseeds: [a]", "`--seeds` to be"),
        ("arms: {a: }\nseeds: []", "`--seeds` to be from 1"),
        ("arms: {a: }\nseeds:", "`--seeds` to be .*None"),
        ("arms: {a: }\nprocesses: 1.5", "`--processes` to be at least 1, but got `1.5`"),
        ("arms: {a: }\nprocesses: true", "`--processes` to be at least 1"),
        ("arms: {a: }\nlauncher: [ray]", "`--launcher` to be one of"),
        ("arms: {a: }\nout: 5", "`--out` to be a folder, but got `5`"),
    ],
)
def test_a_bad_file_gets_one_sentence(capsys: pytest.CaptureFixture, tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "s.yaml").write_bytes(text.encode("latin-1"))
    assert re.search(sentence, refused(capsys, "--config", tmp_path / "s.yaml"))


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--loop.strategy BALD --loop.query_sze 5", "In arm `bad`: .*did you mean --loop.query_size?"),
        ("--model.dropout 1", r"In arm `bad`: Expected `model.dropout` to be in \[0, 1\)"),
        ("--config nope.yaml", "In arm `bad`: .*there is no .*nope.yaml"),
        ("--trainer.fast_dev_run true", "In arm `bad`: Expected no `trainer.fast_dev_run` in a sweep, .* but got True"),
        ("--trainer.accelerator cpu --trainer.devices 2", "`trainer.devices` to be 1 .* sweep, but got 2"),
    ],
)
def test_what_fit_refuses_is_refused_before_anything_starts(
    capsys: pytest.CaptureFixture, tmp_path: Path, flags: str, sentence: str
) -> None:
    path = write_study(tmp_path / "s.yaml", {"good": None, "bad": flags}, fit="", out=tmp_path / "out")
    assert re.search(sentence, refused(capsys, "--config", path))
    assert not (tmp_path / "out").exists()


def test_a_module_that_cannot_be_imported_is_named_with_its_arm(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken_module.py").write_text(
        "import atexit, sys\natexit.register(print, 'one more word', file=sys.stderr)\nraise RuntimeError('broken')\n"
    )
    path = write_study(tmp_path / "s.yaml", {"bad": "--loop.strategy broken_module.X"}, out=tmp_path / "out")
    monkeypatch.syspath_prepend(tmp_path)
    assert refused(capsys, "--config", path) == "In arm `bad`: RuntimeError: broken"


def test_what_a_users_module_prints_is_no_answer_of_the_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "talking_module.py").write_text(
        "import atexit, os\nos.system('echo not JSON')\natexit.register(print, 'nor this')\n"
        "print('nor that')\nfrom al_lightning import Random\nclass Talking(Random): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    settings = check([Arm("a", ("--loop.strategy", "talking_module.Talking"))])
    assert settings["a"]["loop"]["strategy"]["class_path"] == "talking_module.Talking"


@pytest.mark.parametrize(
    ("devices", "several"),
    [(value, False) for value in (1, "1", "auto", -1, [3], "3,")]
    + [(value, True) for value in (2, "2", [0, 1], "0,1")],
)
def test_several_devices_are_those_that_are_named(devices: object, several: bool) -> None:
    trainer = {"fast_dev_run": False, "devices": devices, "num_nodes": 1}
    assert (_unfit(trainer) is not None) is several


def test_help_takes_no_torch_and_names_the_options() -> None:
    code = (
        "import sys\nfrom al_lightning.cli import main\n"
        "try: main(['sweep', '--help'])\nexcept SystemExit as stop: assert not stop.code\n"
        "assert not {'torch', 'lightning', 'ray'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    for option in ("--config", "--strategies", "--arms", "--seeds", "--out", "--processes", "--launcher", "--dry_run"):
        assert f"  {option} " in result.stdout


# ---------------------------------------------------------------------------------------------------------- the runs


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
    monkeypatch.setattr(launchers, "_start", lambda *_: pytest.fail("a process was started"))
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


def test_more_rounds_extend_and_a_failure_stops_nobody_else(swept: Path, tmp_path: Path) -> None:
    arms = {"failing": "--loop.strategy tests.failing.Failing", **TWO_ARMS}
    path = write_study(tmp_path / "study.yaml", arms, out=tmp_path / "out")
    shutil.copytree(swept / "out/random", tmp_path / "out/random")
    process = start("--config", path, "--loop.num_rounds", "3", "--processes", "1")
    out, err = process.communicate()
    assert process.returncode == 1
    assert err == ""
    error = "RuntimeError: nothing to query"
    lines = out.splitlines()
    assert lines[0] == f"failing seed 0: failed: {error}"
    assert [line.split(",")[0] for line in lines[1:3]] == ["random seed 0: finished", "bald seed 0: finished"]
    assert lines[3] == f"2 of 3 runs in {tmp_path}/out finished; failed:"
    assert lines[4:] == [f"  failing seed 0: {error} ({tmp_path}/out/failing/seed0.log)"]
    assert len(read_rounds(tmp_path / "out/random/seed0")) == 4
    # the header and three rounds, of which the last was fitted again to be asked for labels
    assert timeless(tmp_path / "out/random/seed0")[:4] == timeless(swept / "out/random/seed0")


def test_a_run_that_cannot_be_started_stops_nobody_else(tmp_path: Path) -> None:
    path = write_study(tmp_path / "s.yaml", TWO_ARMS, f"{TINY} --loop.num_rounds 0", out=tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/random").touch()
    process = start("--config", path, "--processes", "1")
    out, err = process.communicate()
    assert (process.returncode, err) == (1, "")
    lines = out.splitlines()
    assert lines[0] == f"random seed 0: failed: File exists: {tmp_path}/out/random"
    assert lines[1].startswith("bald seed 0: finished")
    assert lines[2] == f"1 of 2 runs in {tmp_path}/out finished; failed:"


def test_a_worker_of_ray_says_why_a_run_cannot_be_started(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    error = launchers._run_to_its_end(Run(Arm("a", ()), 0, tmp_path), str(tmp_path), sys.path)
    assert error == f"File exists: {tmp_path}/a"


def test_a_failed_run_without_a_log_is_told_by_its_code(tmp_path: Path) -> None:
    assert launchers._error(Run(Arm("a", ()), 0, tmp_path), 3) == "exit code 3"


def test_a_run_waits_for_the_same_one_of_a_sweep_that_was_killed(tmp_path: Path) -> None:
    holds = (
        f"import filelock, time\nwith filelock.FileLock({str(tmp_path / '.lock')!r}): print(flush=True); time.sleep(1)"
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


LETTERS = """\
from al_lightning.data import Arrays
from tests import digits


class Digits(digits.Digits):
    class_names = tuple("0123456789")

    def load(self) -> Arrays:
        arrays = super().load()
        targets = arrays.train_targets.clone()
        targets[100:] = -1
        return arrays._replace(train_targets=targets)
"""


def test_runs_that_wait_for_labels_or_end_early_are_not_finished(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "letters.py").write_text(LETTERS)
    (tmp_path / "ending.py").write_text(
        "from al_lightning import Random\nclass Ending(Random):\n    def query(self, *args): raise SystemExit(0)\n"
    )
    # and a module of the standard library's name in the working directory, which `fit` does not take for that
    (tmp_path / "queue.py").write_text("raise RuntimeError('not the queue of the standard library')\n")
    arms = {"ending": f"{TINY} --loop.strategy ending.Ending", "asking": "--loop.oracle FileOracle"}
    fit = "--data letters.Digits --model tests.digits.DigitsMLP --loop.num_rounds 3 --trainer.max_epochs 2"
    path = write_study(tmp_path / "study.yaml", arms, fit, out="out")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    words = [Path(sys.executable).with_name("al-lightning"), "sweep", "--config", path]
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
    result = subprocess.run([*words, "--dry_run"], cwd=tmp_path, capture_output=True, text=True, check=True)
    states = [line.split("  # ")[1] for line in result.stdout.splitlines()[:-1]]
    assert states == ["not begun", "1 of 4 fits done, waits for labels"]


def test_a_list_that_nobody_reads_to_its_end_is_no_error() -> None:
    process = start("--strategies", "Random", "--seeds", "3000", "--dry_run")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141


def test_a_folder_in_use_by_a_sweep_is_refused(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = {"loop": {"num_rounds": 2}, "trainer": {}}
    monkeypatch.setattr(command, "check", lambda arms: {arm.name: settings for arm in arms})
    monkeypatch.setattr(launchers, "_start", lambda *_: pytest.fail("a process was started"))
    with FileLock(tmp_path / ".sweep.lock"):
        assert "another sweep is using it" in refused(capsys, "--strategies", "Random", "--out", tmp_path)


# ------------------------------------------------------------------------------------------------------ how it stops


def wait_until(condition: object, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def processes_of(folder: Path) -> list[str]:
    """Command lines of the processes that work on runs in a folder, or on nothing but were started for it."""
    found = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if str(folder) in line and "sweep.child" in line]


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


# ----------------------------------------------------------------------------------------------------------- on Ray


@pytest.fixture
def own_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Ray of this test alone, whatever runs on the machine. The path of a socket has to be short."""
    pytest.importorskip("ray")
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("RAY_ADDRESS", "local")
        monkeypatch.setenv("RAY_TMPDIR", folder)
        yield Path(folder)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and says nothing, as a process does that was stopped."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(20)
        yield listener.getsockname()[1]


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


@pytest.mark.usefixtures("own_ray")
@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_a_ray_cluster_that_refuses_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, form: str
) -> None:
    address = form.format(free_port())
    monkeypatch.setenv("RAY_ADDRESS", address)
    path = write_study(tmp_path / "study.yaml", {"random": None})
    sentence = refused(capsys, "--config", path, "--out", tmp_path / "out", "--launcher", "ray")
    assert sentence == (
        f"Expected the Ray cluster at {address}, which `RAY_ADDRESS` names, to answer, but got: Connection refused; "
        "start it, or name another; `RAY_ADDRESS=local` starts Ray on this machine."
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("own_ray")
def test_a_ray_cluster_that_says_nothing_is_given_up_within_seconds(
    monkeypatch: pytest.MonkeyPatch, silent_port: int
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"localhost:{silent_port}")
    started = time.monotonic()
    with pytest.raises(InputError, match=rf"localhost:{silent_port}, .*but got: no answer within 5 seconds; start it"):
        launchers.make_launcher(study("--launcher", "ray"))
    assert time.monotonic() - started < 15


def test_the_address_that_a_crashed_ray_cluster_left_is_named(own_ray: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services = pytest.importorskip("ray._private.services")
    if services.find_gcs_addresses():
        pytest.skip("a process of Ray runs on this machine, to which it belongs rather than to what a file says")
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    file = own_ray / "ray" / "ray_current_cluster"
    file.parent.mkdir()
    file.write_text(f"127.0.0.1:{free_port()}")
    with pytest.raises(
        InputError, match=rf"which {file} names, .*Connection refused; if it crashed, `ray stop` forget"
    ):
        launchers.make_launcher(study("--launcher", "ray"))
    file.write_text("nowhere")
    with pytest.raises(InputError, match=f"Expected {file} to name a Ray cluster, but got: .*`RAY_ADDRESS=local`"):
        launchers.make_launcher(study("--launcher", "ray"))
    file.unlink()
    assert cluster_address() is None


@pytest.mark.usefixtures("own_ray")
@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:", "127.0.0.1:ray", "127.0.0.1:99999", "ray://"])
def test_what_is_no_address_of_ray_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError, match=f"`RAY_ADDRESS` names to be host:port, but got `{address}`"):
        cluster_address()


@pytest.mark.usefixtures("own_ray")
def test_a_server_of_something_else_is_no_ray_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.server_port}")
        try:
            with pytest.raises(InputError, match="but got: (an answer that is not Ray's|Connection reset)"):
                cluster_address()
        finally:
            server.shutdown()


@pytest.mark.usefixtures("own_ray")
def test_runs_on_ray(tmp_path: Path) -> None:
    path = write_study(tmp_path / "study.yaml", {"failing": "--loop.strategy tests.failing.Failing", "random": None})
    process = start("--config", path, "--out", tmp_path / "out", "--launcher", "ray", "--processes", "2")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1, out + err
    assert err == ""
    assert "failing seed 0: failed: RuntimeError: nothing to query\n" in out
    assert re.search(r"random seed 0: finished, round 2 of 2, 70 labels", out)
    assert len(read_rounds(tmp_path / "out/random/seed0")) == 3


def test_without_ray_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'al-lightning\[ray\]'"):
        launchers.make_launcher(study("--launcher", "ray"))


# --------------------------------------------------------------------------------------------------- what it shows


def commit_rounds(run: Run, number: int, seconds: float = 5.0) -> None:
    folder = RunFolder.open(run.folder, {})
    rounds = [
        Round(r, 50 + 10 * r, 0.5 + r / 10, 0.7, 0.3, 0.1, 0.99, 5, True, seconds, 0.0, 0.0, 0.0) for r in range(number)
    ]
    folder.commit(rounds, [Query(0, 0, 7, 1, None)])
    folder.close()


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    """Two arms and two seeds, of which one has done three rounds and one its first."""
    runs = [Run(Arm(name, ()), seed, tmp_path) for seed in (0, 1) for name in ("random", "bald")]
    commit_rounds(runs[0], 3)
    commit_rounds(runs[1], 1)
    return runs


def shown(runs: list[Run], terminal: bool) -> Iterator[str]:
    """What is shown when the first run has ended and the second is running, then when that has failed."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=120, highlight=False, soft_wrap=True, markup=False)
    progress = SweepDisplay({"random": 2, "bald": 2}, [], runs, processes=1, console=console)
    progress.start()
    progress.ended(runs[0], None)
    progress.update(runs[1:2])
    yield output.getvalue()
    progress.ended(runs[1], "it [bold]broke")
    progress.waits(runs[2])
    assert progress._done() == "3 of 4 runs done, 1 failed, 1 waiting for labels"
    progress.stop()
    yield output.getvalue()


def test_a_terminal_gets_a_display(runs: list[Run]) -> None:
    first, second = shown(runs, terminal=True)
    assert "random seed 0: finished, round 2 of 2, 70 labels, test acc 0.7000" in first
    assert "1 of 4 runs done" in first
    assert re.search(r"  bald +seed 0 +round 0 of 2, 50 labels, test acc 0\.5000", first)
    assert "left" not in first  # no run of BALD has told how long it takes
    assert "bald seed 0: failed: it [bold]broke" in second


def test_a_file_gets_a_line_a_run_and_a_line_a_minute(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
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
    runs = [Run(Arm(name, ()), seed, tmp_path) for seed in (0, 1) for name in ("slow", "fast", "fast2")]
    for run, seconds_fit in zip(runs, (10.0, 5.0, 5.0), strict=False):
        commit_rounds(run, 3, seconds_fit)
    commit_rounds(runs[4], 1)  # it has 10 of its 15 seconds to go
    progress = SweepDisplay({"slow": 2, "fast": 2, "fast2": 2}, runs[:3], runs[3:], processes)
    assert progress._left(runs[4:5]) == f", about {seconds} left"


def test_a_display_that_nobody_reads_any_longer_says_so(runs: list[Run]) -> None:
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


def test_only_some_of_very_many_runs_are_looked_at(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "MAX_LINES", 1)
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120)
    progress = SweepDisplay({"random": 2, "bald": 2}, [], runs, processes=4, console=console)
    progress.start()
    progress.update(runs)
    progress.stop()
    assert "and 3 more" in output.getvalue()
