"""What fit refuses, a sweep refuses before anything starts."""

import re
from pathlib import Path

import pytest

from al_lightning.sweep.plan import Arm
from al_lightning.sweep.settings_of_arms import _unfit, check
from tests.sweep.studies import refused, write_study

pytestmark = pytest.mark.usefixtures("forked_processes")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--loop.strategy BALD --loop.query_sze 5", "In arm `bad`: .*did you mean --loop.query_size?"),
        ("--model.dropout 1", r"In arm `bad`: Expected `model.dropout` to be in \[0, 1\)"),
        ("--config nope.yaml", "In arm `bad`: .*there is no .*nope.yaml"),
        ("--trainer.fast_dev_run true", "In arm `bad`: Expected no `trainer.fast_dev_run` in a sweep, .* but got True"),
        ("--trainer.accelerator cpu --trainer.num_nodes 2", "`trainer.num_nodes` to be 1 .* sweep, but got 2"),
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


@pytest.mark.parametrize("devices", [1, "1", "auto", -1, [3], "3,", 2, "2", [0, 1], "0,1"])
@pytest.mark.parametrize("num_nodes", [1, 2])
def test_a_run_may_have_several_devices_of_one_machine(devices: object, num_nodes: int) -> None:
    trainer = {"fast_dev_run": False, "devices": devices, "num_nodes": num_nodes}
    assert (_unfit(trainer) is not None) is (num_nodes == 2)
