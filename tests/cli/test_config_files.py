"""Configs that come with the package: found by name, listed and printed."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from al_lightning.cli import main
from al_lightning.cli.config_files import find_config, find_configs, own_configs
from al_lightning.errors import InputError
from al_lightning.sweep.plan import read_plan

OWN = Path("configs").absolute()


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys: pytest.CaptureFixture, *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_a_name_stands_for_a_config_of_the_package(elsewhere: Path) -> None:
    assert find_config("badge") == str(OWN / "badge.yaml")
    words = ["fit", "--config", "badge", "--config=bald", "-c", "margin", "--loop.run_dir", "badge"]
    assert find_configs(words) == [
        "fit",
        "--config",
        str(OWN / "badge.yaml"),
        f"--config={OWN / 'bald.yaml'}",
        "-c",
        str(OWN / "margin.yaml"),
        "--loop.run_dir",
        "badge",
    ]


def test_a_file_of_the_user_goes_before_a_config_of_the_package(elsewhere: Path) -> None:
    (elsewhere / "badge").write_text("loop: {num_rounds: 1}")
    assert find_config("badge") == "badge"


def test_a_folder_of_the_name_does_not_hide_a_config_of_the_package(elsewhere: Path) -> None:
    (elsewhere / "random").mkdir()  # of the runs of an arm
    assert find_config("random") == str(OWN / "random.yaml")


@pytest.mark.parametrize("text", ["{}", "{loop: {num_rounds: 1}}", "loop:\n num_rounds: 1", "", "[a]", "tests"])
def test_text_and_folders_are_left_to_the_parser(text: str) -> None:
    assert find_config(text) == text


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("bagde", "to be a file, or a name that `al-lightning configs` lists, but got `bagde`; did you mean badge?"),
        ("xyzzy", "to be a file, or a name that `al-lightning configs` lists, but got `xyzzy`."),
        ("bagde.yaml", "to be a file, but there is no bagde.yaml; did you mean badge?"),
        ("configs/badge.yaml", "to be a file, but there is no configs/badge.yaml; did you mean badge?"),
        ("no/where.yaml", "to be a file, but there is no no/where.yaml."),
    ],
)
def test_a_missing_config_gets_a_near_name(elsewhere: Path, value: str, sentence: str) -> None:
    with pytest.raises(InputError) as error:
        find_config(value)
    assert str(error.value) == f"Expected `config` {sentence}"


def test_fit_and_sweep_take_names(elsewhere: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--config", "bald", "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out)["loop"]["strategy"]["class_path"] == "al_lightning.BALD"
    study = read_plan(["--config", "study"])
    assert str(study.out) == "runs/study"
    assert "bald" in [arm.name for arm in study.arms]
    assert "did you mean badge?" in refused(capsys, "fit", "--config", "bagde")
    assert "did you mean study?" in refused(capsys, "sweep", "--config", "studdy")


def test_configs_lists_each_config_with_its_first_comment(capsys: pytest.CaptureFixture) -> None:
    main(["configs"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(path.stem for path in OWN.glob("*.yaml"))
    margin = next(line for line in lines if line.startswith("margin "))
    assert margin.endswith("  Margin (Scheffer et al., IDA 2001): smallest gap between the two most likely classes.")
    for line, path in zip(lines, own_configs().values(), strict=True):
        assert line[-1] in ".?", path


def test_configs_prints_one(capsys: pytest.CaptureFixture) -> None:
    main(["configs", "badge"])
    assert capsys.readouterr().out == (OWN / "badge.yaml").read_text()


def test_an_unknown_config_gets_a_near_name(capsys: pytest.CaptureFixture) -> None:
    assert refused(capsys, "configs", "bagde").endswith("but got `bagde`; did you mean badge?\n")
    assert "al-lightning configs [NAME]" in refused(capsys, "configs", "badge", "bald")


@pytest.mark.parametrize("name", ["study", "planted", "core_set_why", "round0"])
def test_a_study_names_the_configs_of_its_arms_without_a_path(elsewhere: Path, name: str) -> None:
    for arm in read_plan(["--config", name]).arms:
        words = find_configs(list(arm.flags))  # raises for a file that is missing
        assert words.count("--config") == sum(word.startswith(str(OWN)) for word in words)


def test_a_command_ends_quietly_when_nobody_reads_on() -> None:
    command = [sys.executable, "-m", "al_lightning", "configs"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE
