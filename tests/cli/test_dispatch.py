"""The command line: what it accepts, what it refuses and how it says so."""

import csv
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from al_lightning import __version__
from al_lightning.cli import main
from al_lightning.fitting import versions
from al_lightning.run_folder import RunFolder, read_rounds

DIGITS = ["--data", "tests.digits.FlatDigits", "--data.num_initial", "50", "--model", "tests.digits.DigitsMLP"]
TINY = [*DIGITS, "--loop.query_size", "10", "--loop.num_rounds", "1", "--trainer.max_epochs", "2"]


def printed_config(capsys: pytest.CaptureFixture, *flags: str) -> dict:
    with pytest.raises(SystemExit) as stop:
        main(["fit", *flags, "--print_config"])
    assert stop.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture, *words: str) -> str:
    """Runs a command that must be refused; returns the sentence."""
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("al-lightning: error: ")
    return lines[0].removeprefix("al-lightning: error: ")


# ------------------------------------------------------------------------------------------------- help and version


@pytest.mark.parametrize("words", [["-h"], ["--help"], []])
def test_help_names_the_commands(capsys: pytest.CaptureFixture, words: list[str]) -> None:
    main(words)
    out = capsys.readouterr().out
    assert all(f"  {command} " in out for command in ("fit", "sweep", "test", "predict", "check"))


def test_version(capsys: pytest.CaptureFixture) -> None:
    main(["--version"])
    assert capsys.readouterr().out == f"al-lightning {__version__}\n"


def test_fit_help_has_all_options(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for option in ("--config", "--seed_everything", "--loop.query_size", "--convergence.stopping_threshold"):
        assert option in out


def test_help_imports_no_torch() -> None:
    code = "import sys; from al_lightning.cli import main; main(['--help']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_python_m_is_the_console_script() -> None:
    for command in ([sys.executable, "-m", "al_lightning"], [str(Path(sys.executable).with_name("al-lightning"))]):
        result = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert result.stdout == f"al-lightning {__version__}\n"


# ------------------------------------------------------------------------------------------------------ what it takes


def test_names_that_others_rely_on(capsys: pytest.CaptureFixture) -> None:
    flags = {
        "--seed_everything": 3,
        "--loop.query_size": 7,
        "--loop.num_rounds": 2,
        "--loop.run_dir": "x",
        "--data.root": "y",
        "--data.num_initial": 40,
        "--data.initial": "balanced",
        "--data.batch_size": 16,
        "--model.hidden_dim": 8,
        "--model.dropout": 0.25,
        "--trainer.max_epochs": 9,
        "--trainer.precision": "bf16-mixed",
        "--trainer.accelerator": "cpu",
        "--convergence.stopping_threshold": 0.5,
    }
    config = printed_config(capsys, *(str(word) for flag in flags.items() for word in flag))
    for flag, value in flags.items():
        group, *name = flag.removeprefix("--").split(".")
        found = config[group]
        if name:
            found = found.get("init_args", found)[name[0]]
        assert found == value, flag


def test_the_strategy_is_swapped_by_flag_over_any_config(capsys: pytest.CaptureFixture) -> None:
    flags = ["--config", "configs/badge.yaml", "--loop.strategy", "BALD", "--loop.strategy.num_samples", "50"]
    strategy = printed_config(capsys, *flags)["loop"]["strategy"]
    arguments = {"num_samples": 50, "reliability": False, "posterior": None, "prior_precision": None}
    assert strategy == {"class_path": "al_lightning.BALD", "init_args": arguments}


def test_the_learning_rate_is_a_flag(capsys: pytest.CaptureFixture) -> None:
    config = printed_config(capsys, "--model.optimizer.lr", "0.001")
    assert config["model"]["init_args"]["optimizer"]["init_args"]["lr"] == 0.001


def test_configs_overlay_from_left_to_right(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("loop: {num_rounds: 7}\nmodel: {dropout: 0.25}\ndata: {num_initial: 40}\n")
    config = printed_config(capsys, "--config", "configs/bald.yaml", "--config", str(tmp_path / "mine.yaml"))
    assert config["loop"]["strategy"]["class_path"] == "al_lightning.BALD"
    assert config["loop"]["num_rounds"] == 7
    assert config["model"]["init_args"]["dropout"] == 0.25
    assert config["data"]["init_args"]["num_initial"] == 40


def test_a_users_own_strategy_needs_no_registration(tmp_path: Path) -> None:
    (tmp_path / "my_module.py").write_text(
        "import torch\n"
        "from al_lightning import QueryStrategy\n"
        "class First(QueryStrategy):\n"
        '    """Queries the first of the pool."""\n'
        "    def __init__(self, skip: int = 0):\n"
        "        self.skip = skip\n"
        "    def query(self, pool, query_size, generator):\n"
        "        return torch.arange(self.skip, self.skip + query_size)\n"
    )
    flags = ["--loop.strategy", "my_module.First", "--loop.strategy.skip", "5", "--loop.run_dir", "run"]
    command = [Path(sys.executable).with_name("al-lightning"), "fit", *TINY, *flags]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    with (tmp_path / "run/queries.csv").open() as file:
        queries = list(csv.DictReader(file))
    initial = {int(q["index"]) for q in queries if q["round"] == "0"}
    pool = [i for i in range(1400) if i not in initial]
    assert [int(q["index"]) for q in queries if q["round"] == "1"] == pool[5:15]
    assert result.stderr == ""


def test_nobody_who_asks_for_the_cpu_is_told_of_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr("lightning.pytorch.trainer.setup.CUDAAccelerator.is_available", lambda: True)
    main(["fit", *TINY, "--trainer.accelerator", "cpu", "--loop.run_dir", str(tmp_path)])
    assert [warning for warning in recwarn if "GPU" in str(warning.message)] == []


def test_fit_then_test_then_predict(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run_dir = tmp_path / "run"
    main(["fit", *TINY, "--loop.run_dir", str(run_dir)])
    capsys.readouterr()
    model = ["--config", str(run_dir / "config.yaml"), "--ckpt_path", str(run_dir / "model.ckpt")]
    main(["test", *model])
    with (run_dir / "rounds.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    assert f"{float(last['test_acc']):.6f}"[:7] in capsys.readouterr().out
    main(["predict", *model])
    with (run_dir / "predictions.csv").open() as file:
        predictions = list(csv.DictReader(file))
    assert len(predictions) == 397
    for row in predictions[:5]:
        probs = [float(row[f"prob_{c}"]) for c in range(10)]
        assert sum(probs) == pytest.approx(1, abs=1e-4)
        assert probs.index(max(probs)) == int(row["predicted"])
    # neither wrote anything that the run would stumble over
    main(["fit", *TINY, "--loop.run_dir", str(run_dir)])
    assert "is finished" in capsys.readouterr().out


def test_a_run_continues_from_its_own_config(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run_dir = str(tmp_path / "run")
    main(["fit", *TINY, "--loop.run_dir", run_dir])
    main(["fit", "--config", f"{run_dir}/config.yaml", "--loop.num_rounds", "2"])
    printed = capsys.readouterr().out
    assert "Continuing the run" in printed
    assert "may differ" not in printed


def test_a_run_that_continues_with_another_version_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = str(tmp_path / "run")
    main(["fit", *TINY, "--loop.run_dir", run_dir])
    monkeypatch.setattr(versions, "__version__", "9.0")
    main(["fit", *TINY, "--loop.run_dir", run_dir, "--loop.num_rounds", "2"])
    assert f"these changed: al-lightning ({__version__} there, 9.0 here)." in " ".join(capsys.readouterr().out.split())


def test_fast_dev_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    main(["fit", *TINY, "--loop.run_dir", str(tmp_path / "run"), "--trainer.fast_dev_run", "true"])
    assert "one tiny round" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_lightning_says_nothing_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "al_lightning", "fit", *TINY, "--loop.run_dir", str(tmp_path / "run")]
    result = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert result.stderr == ""
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["round", "round", "Finished:"]


# ---------------------------------------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--loop.strategy Bagde", "one of BADGE, BAIT, BALD, .*but got `Bagde`; did you mean BADGE?"),
        ("--loop.strategy bald", "did you mean BALD?"),
        ("--loop.strategy my_module.Missing", "`loop.strategy`.*`my_module.Missing`"),
        ("--loop.strategy torch.nn.Linear", "`loop.strategy`"),
        ("--loop.strategy BALD --loop.strategy.num_sampls 5", "loop.strategy.num_sampls"),
        ("--loop.strategy BALD --loop.strategy.num_samples ten", "`loop.strategy.num_samples` to be an integer.*`ten`"),
        ("--loop.strategy BALD --loop.strategy.num_samples 1", "at least 2, but got 1"),
        ("--loop.strategy", "loop.strategy"),
        ("--stratgy BALD", "`--stratgy`"),
        ("--loop.query_sze 5", "did you mean --loop.query_size?"),
        ("--config nope.yaml", "`config` to be a file, but there is no .*nope.yaml"),
        ("--config tests", "`config` to be a file, but .*tests is a folder"),
        ("--data.batch_size null", "`data.batch_size` to have a value, but got null"),
        ("--data FashionMNIST --data.root null", "`data.root` to have a value, but got null"),
        ("--data Torchvision --data.dataset CIFAR10 --data.root null", "`data.root` to have a value, but got null"),
        ("--data ImageFolder --data.root null", "`data.root`"),
        (
            "--loop.query_size 99999999999999999999",
            "`loop.query_size` to be an integer of 64 bits, but got 99999999999",
        ),
        ("--model.hidden_dim 99999999999999999999", "`model.hidden_dim` to be an integer of 64 bits"),
        ("--model.hidden_dim 999999999999999999", "arguments that tests.digits.DigitsMLP can use"),
        (f"--model.hidden_dim {'9' * 5000}", "numbers of 64 bits"),
        ("--model.dropout .nan", "`model.dropout` to be a number, but got nan"),
        (
            "--data ImageFolder --data.root . --data.classes [no,on,01]",
            "YAML reads no, off and false.*quote it, element 1",
        ),
        (
            "--data ImageFolder --data.root . --data.classes [a,01]",
            "a string, but got `1`, as YAML.* quote it, element 2",
        ),
        ("--data ImageFolder --data.root . --data.classes cat", r"to be a list, as in .\[cat\]. or .cat, dog."),
        ("--loop null", "`loop` to be a file of its options"),
        ("--loop.query_size ten", "`loop.query_size` to be an integer, but got `ten`"),
        ("--loop.query_size 1.5", "`loop.query_size` to be an integer, but got `1.5`"),
        ("--loop.query_size 0", "`loop.query_size` to be at least 1, but got 0"),
        ("--loop.query_size -5", "`loop.query_size` to be at least 1, but got -5"),
        ("--loop.query_size 1351", "`loop.query_size` to be at most the pool size 1350, but got 1351"),
        ("--loop.num_rounds -1", "`loop.num_rounds` to be at least 0, but got -1"),
        ("--loop.num_rounds 1000", "`loop.num_rounds` to be at most 135, .*but got 1000"),
        ("--data.num_initial -1", "`data.num_initial` to be at least 0, but got -1"),
        ("--data.num_initial 1401", "`data.num_initial` to be at most the training set size 1400, but got 1401"),
        ("--data.num_initial 1400", "`loop.query_size` to be at most the pool size 0"),
        (
            "--data.initial sorted",
            "`data.initial` to be random, balanced or a strategy .*, but got `sorted`",
        ),
        ("--data.batch_size 0", "`data.batch_size` to be at least 1, but got 0"),
        ("--model.hidden_dim 0", "`model.hidden_dim` to be at least 1, but got 0"),
        ("--model.hidden_dim big", "`model.hidden_dim` to be an integer, but got `big`"),
        ("--model.dropout 1", r"`model.dropout` to be in \[0, 1\), but got 1.0"),
        ("--model.dropout -0.1", r"`model.dropout` to be in \[0, 1\), but got -0.1"),
        ("--seed_everything true", "`seed_everything` to be an integer, but got `True`"),
        ("--seed_everything -3", "`seed_everything` to be from 0 to 2..32 - 1, but got -3"),
        ("--seed_everything 4294967296", "`seed_everything` to be from 0"),
        ("--data PoolDataModule", "`data`"),
        (
            "--model al_lightning.DropoutMLP --model.input_dim 784",
            r"`model.input_dim` to be 64, .* but got 784; without",
        ),
        (
            "--model al_lightning.DropoutMLP --model.num_classes 5",
            r"`model.num_classes` to be 10, .*, but got 5",
        ),
        (
            "--model al_lightning.DropoutMLP --model.num_classes 11",
            "`model.num_classes` to be 10, .*, but got 11",
        ),
        ("--model al_lightning.DropoutMLP --model.num_classes ten", "`model.num_classes` to be an integer"),
        ("--model al_lightning.DropoutMLP --model.input_dim 64 --model.optimizer.lr=-1", "`model.optimizer`.*-1"),
        ("--seed_everything x", "`seed_everything`.*`x`"),
        ("--loop.seed 3", "Expected `seed_everything` instead of `loop.seed`"),
        ("--num_threads 0", "`num_threads` to be from 1 to 1024, but got 0"),
        ("--num_threads 99999999999", "`num_threads` to be from 1 to 1024"),
        ("--loop.strategy Margin --loop.strategy.num_samples 5", "`--loop.strategy.num_samples`, which it has not"),
        ("--trainer.limit_test_batches 0", "`trainer.limit_test_batches`.*but got 0"),
        ("--trainer.accelerator foo", "accelerator='foo'"),
        ("--trainer.strategy BADGE", "the query strategy is `loop.strategy`; did you mean BADGE?"),
        ("--trainer.precision 17", "`trainer.precision` to be one of .*but got `17`"),
        ("--trainer.max_epochs abc", "`trainer.max_epochs` to be an integer, but got `abc`"),
        ("--trainer.max_epochs -5", "max_epochs"),
        (
            "--trainer.accelerator cpu --trainer.devices 2 --trainer.strategy ddp_spawn",
            "`trainer.strategy` to be ddp for 2 devices, but got ddp_spawn",
        ),
        ("--trainer.gradient_clip_val 1.0", "gradient"),
        ("--trainer.callbacks Nope", "`trainer.callbacks`"),
        ("--convergence.mode up", "`convergence.mode`"),
        ("--convergence.monitor nothing", "nothing"),
        ("--loop.run_dir /dev/null/run", "/dev/null/run"),
        ("--loop.strategy BALD --model.dropout 0", "active dropout.*`model.dropout` = 0"),
        ("--model Nope", "`model` to be .*`Nope`"),
        ("--model torch.nn.Linear", "`model`"),
        ("--data Nope", "`data` to be .*`Nope`"),
        ("extra", "extra"),
    ],
)
def test_bad_input_gets_one_sentence(capsys: pytest.CaptureFixture, tmp_path: Path, flags: str, sentence: str) -> None:
    run_dir = tmp_path / "run"
    words = ["fit", *TINY, "--loop.run_dir", str(run_dir), *flags.split()]
    assert re.search(sentence, refused(capsys, *words))
    assert not (run_dir / "rounds.csv").exists() or (run_dir / "rounds.csv").read_text().count("\n") == 1


COMMANDS = "fit, sweep, test, predict, label, suggest, features, pretrain, report, check, configs"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("frobnicate", f"one of {COMMANDS}, but got `frobnicate`"),
        ("--fit", f"one of {COMMANDS}, but got `--fit`"),
        ("validate", "one of fit, sweep, test, predict"),
        ("test", "`ckpt_path`.* but got none"),
        ("test --ckpt_path nope.ckpt", "`ckpt_path` to be a file, but there is no nope.ckpt"),
        ("predict --ckpt_path README.md", "README.md"),
    ],
)
def test_bad_commands_get_one_sentence(capsys: pytest.CaptureFixture, words: str, sentence: str) -> None:
    assert re.search(sentence, refused(capsys, *words.split()))


@pytest.mark.parametrize(
    "text",
    [
        "loop: [",
        "loop: {num_rounds: many}",
        "lop: {num_rounds: 1}",
        "lop: {}",
        "",
        "loop:",
        "loop: {seed: 5}",
        "- 1",
        "loop: 5",
        "\t",
    ],
)
def test_a_bad_config_file_gets_one_sentence(capsys: pytest.CaptureFixture, tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    refused(capsys, "fit", "--config", str(tmp_path / "bad.yaml"))


BAD_YAML = {
    "loop: {num_rounds: 1}\ndata: {num_initial: 5}\nloop: {query_size: 5}": "`loop` is there 2 times, in lines 1 and 3",
    "loop:\n  num_rounds: 1\n  num_rounds: 2": "`num_rounds` is there 2 times in `loop`, in lines 2 and 3",
    "loop: &a\n  num_rounds: 1\n  strategy: *a": "`loop.strategy` in line 1 is part of itself",
    "loop.num_rounds: 1\nloop: {num_rounds: 2}": "got `loop.num_rounds` twice",
    "data: {class_path: ImageFolder, init_args: {root: ., classes: [a, on]}}": "classes.*`True`.*quote it, element 2",
    "": "it is empty",
    "# loop: 1": "it is empty",
    "loop:\n\tnum_rounds: 1": "line 2.*tabs",
}


@pytest.mark.parametrize("text", BAD_YAML)
def test_what_is_wrong_in_a_config_file_is_said_with_its_name(
    capsys: pytest.CaptureFixture, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    sentence = refused(capsys, "fit", *TINY, "--config", str(path))
    assert re.search(BAD_YAML[text], sentence)
    assert str(path) in sentence or "element 2" in sentence


def test_a_key_given_twice_in_the_config_of_a_part_is_named(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text("class_path: Digits\ninit_args: {num_initial: 5}\ninit_args: {batch_size: 6}")
    assert f"{path}, but `init_args` is there 2 times" in refused(capsys, "fit", "--data", str(path))
    text = '{"loop": {"num_rounds": 1}, "loop": {"query_size": 3}}'
    assert "the text of an option, but `loop` is there 2 times" in refused(capsys, "fit", "--config", text)


def test_a_merge_key_in_a_config_works(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("loop:\n  <<: {num_rounds: 3, query_size: 4}\n  query_size: 7\n")
    loop = printed_config(capsys, "--config", str(tmp_path / "mine.yaml"))["loop"]
    assert (loop["num_rounds"], loop["query_size"]) == (3, 7)


def test_classes_in_quotes_are_text(capsys: pytest.CaptureFixture) -> None:
    flags = ["--data", "ImageFolder", "--data.root", "x", "--data.classes", '["no", "on", "01"]']
    assert printed_config(capsys, *flags)["data"]["init_args"]["classes"] == ["no", "on", "01"]


def test_a_checkpoint_of_another_model_gets_one_sentence(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    main(["fit", *TINY, "--loop.run_dir", str(tmp_path)])
    capsys.readouterr()
    quiet = ["--trainer.enable_progress_bar", "false"]
    flags = ["--ckpt_path", str(tmp_path / "model.ckpt"), *quiet]
    assert "Expected the classes of the run in" in refused(capsys, "test", *flags)  # the default data have others
    (tmp_path / "elsewhere").mkdir()
    alone = (tmp_path / "model.ckpt").rename(tmp_path / "elsewhere" / "model.ckpt")
    assert "`ckpt_path`" in refused(capsys, "test", "--ckpt_path", str(alone), *quiet)


def test_a_config_may_be_given_in_place(capsys: pytest.CaptureFixture) -> None:
    assert printed_config(capsys, "--config", '{"loop": {"num_rounds": 7}}')["loop"]["num_rounds"] == 7


def test_a_run_folder_may_have_any_name(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    main(["fit", *TINY, "--loop.run_dir", str(tmp_path / "[bold]x[/nope]")])
    assert "[bold]x[/nope]" in capsys.readouterr().out


def test_other_settings_are_refused_by_name(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    flags = [*TINY, "--loop.run_dir", str(tmp_path)]
    main(["fit", *flags])
    before = {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    capsys.readouterr()
    others = ["--loop.strategy", "Margin", "--model.dropout", "0.2", "--seed_everything", "4"]
    sentence = refused(capsys, "fit", *flags, *others)
    for name in ("loop.strategy", "model.dropout", "seed_everything"):
        assert f"`{name}` (" in sentence
    assert "loop.query_size" not in sentence
    assert {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()} == before


def test_a_run_folder_in_use_is_refused(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time; from al_lightning.run_folder import RunFolder\n"
        "folder = RunFolder.open(pathlib.Path(sys.argv[1]), {}); print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert "another process" in refused(capsys, "fit", *TINY, "--loop.run_dir", str(tmp_path))
        other.kill()
    assert RunFolder.open(tmp_path, {}).rounds == []


@pytest.mark.skipif(not Path("/dev/shm").exists() or os.geteuid() != 0, reason="needs to mount a small disk")
def test_a_disk_that_fills_up_ends_the_run_and_loses_nothing(tmp_path: Path, forked_python: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        command = [forked_python, "-m", "al_lightning", "fit", *TINY, "--loop.num_rounds", "80"]
        command += ["--loop.run_dir", str(disk / "run")]
        root = Path(__file__).parents[2]
        filled = False
        with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("round 2") and not filled:
                    filled = True
                    (disk / "ballast").write_bytes(b"x" * os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize)
            assert process.stderr is not None
            stderr = process.stderr.read()
        assert process.returncode == 2, stderr
        assert "Traceback" not in stderr
        assert len(stderr.strip().splitlines()) == 1
        (disk / "ballast").unlink()
        shorter = [*command, "--loop.num_rounds", str(len(read_rounds(disk / "run")) + 3)]
        again = subprocess.run(shorter, cwd=root, capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr
        whole = [*shorter, "--loop.run_dir", str(tmp_path / "whole")]
        subprocess.run(whole, cwd=root, capture_output=True, check=True)
        assert (disk / "run/queries.csv").read_bytes() == (tmp_path / "whole/queries.csv").read_bytes()
    finally:
        time.sleep(0.1)
        subprocess.run(["umount", "-l", str(disk)], check=False)
