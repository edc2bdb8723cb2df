"""The words of a sweep and its study file."""

import re
import subprocess
from pathlib import Path

import pytest

from al_lightning.sweep.plan import read_plan
from tests.sweep.studies import PYTHON, TWO_ARMS, refused, start, write_study

pytestmark = pytest.mark.usefixtures("forked_processes")


@pytest.mark.parametrize(("text", "seeds"), [("2", [0, 1]), ("[7, 3]", [7, 3]), ("2-3", [2, 3])])
def test_seeds_of_a_file(tmp_path: Path, text: str, seeds: list[int]) -> None:
    assert read_plan(["--config", str(write_study(tmp_path / "s.yaml", TWO_ARMS, seeds=text))]).seeds == seeds


def test_the_runs_of_a_seed_come_first_and_their_commands_are_whole(tmp_path: Path) -> None:
    path = write_study(tmp_path / "my_study.yaml", {"b": "--loop.strategy BALD", "a": None}, fit="--num_threads 2")
    runs = read_plan(["--config", str(path), "--seeds", "2", "--loop.num_rounds", "5"]).runs
    assert [str(run) for run in runs] == ["b seed 0", "a seed 0", "b seed 1", "a seed 1"]
    assert runs[2].command == (
        "al-lightning fit --num_threads 2 --loop.strategy BALD --loop.num_rounds 5 --seed_everything 1 "
        "--loop.run_dir runs/my_study/b/seed1"
    )
    assert runs[2].log == Path("runs/my_study/b/seed1.log")


def test_the_command_line_overrides_the_file(tmp_path: Path) -> None:
    path = str(write_study(tmp_path / "s.yaml", TWO_ARMS, out="x", seeds=3, processes=2, launcher="ray"))
    of_file = read_plan(["--config", path])
    assert (of_file.out, len(of_file.seeds), of_file.processes, of_file.launcher) == (Path("x"), 3, 2, "ray")
    words = "--out y --seeds 1 --processes 5 --launcher local --arms bald"
    given = read_plan(["--config", path, *words.split()])
    assert (given.out, given.seeds, given.processes, given.launcher) == (Path("y"), [0], 5, "local")
    assert [arm.name for arm in given.arms] == ["bald"]


def test_strategies_make_arms() -> None:
    arms = read_plan(["--strategies", "CoreSet,BALD,my_module.MyOwn", "--model.dropout=0.2"]).arms
    assert [arm.name for arm in arms] == ["core_set", "bald", "my_own"]
    assert arms[2].flags == ("--loop.strategy", "my_module.MyOwn", "--model.dropout=0.2")


def test_flags_may_be_a_list_and_hold_spaces(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("fit: [--trainer.detect_anomaly, true]\narms: {a: \"--data.root 'my data'\"}\n")
    (arm,) = read_plan(["--config", str(path)]).arms
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


def test_help_takes_no_torch_and_names_the_options() -> None:
    code = (
        "import sys\nfrom al_lightning.cli import main\n"
        "try: main(['sweep', '--help'])\nexcept SystemExit as stop: assert not stop.code\n"
        "assert not {'torch', 'lightning', 'ray'} & set(sys.modules)"
    )
    result = subprocess.run([PYTHON, "-c", code], check=True, capture_output=True, text=True)
    for option in ("--config", "--strategies", "--arms", "--seeds", "--out", "--processes", "--launcher", "--dry_run"):
        assert f"  {option} " in result.stdout


def test_a_list_that_nobody_reads_to_its_end_is_no_error() -> None:
    process = start("--strategies", "Random", "--seeds", "3000", "--dry_run")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141
