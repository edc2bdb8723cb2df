"""A run that was begun before scoring had a precision of its own goes on with the trainer's."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from al_lightning.errors import InputError
from al_lightning.run_folder import Query, Round, RunFolder
from al_lightning.run_folder.old_scoring import scoring_of_run, with_scoring
from al_lightning.run_folder.settings import SettingsOfObjects


def settings(precision: str | None = None) -> dict[str, Any]:
    named = {} if precision is None else {"scoring_precision": precision}
    return {"seed_everything": 0, "loop": {"query_size": 5, "num_rounds": 1, **named}}


def begin(path: Path, given: dict[str, Any]) -> RunFolder:
    folder = RunFolder.open(path, given)
    row = Round(0, 1, 0.5, 1.0, 0.5, 0.1, 0.9, 3, True, 0.0, 0.0, 0.0, 0.0)
    folder.commit(rounds=[row], queries=[Query(0, 0, 5, 1)])
    folder.close()
    return folder


@pytest.mark.parametrize("given", ["auto", "trainer"])
def test_an_old_run_goes_on_with_the_precision_of_the_trainer(tmp_path: Path, given: str) -> None:
    begin(tmp_path, settings())
    RunFolder.peek(tmp_path, settings(given))
    for _ in range(2):
        again = RunFolder.open(tmp_path, settings(given))
        again.close()
        assert scoring_of_run(again.settings) == "trainer"
        assert "scoring_precision" not in again.settings["loop"]  # so it goes on like this for ever


@pytest.mark.parametrize("stored", [None, "trainer"])
def test_another_precision_is_another_run(tmp_path: Path, stored: str | None) -> None:
    begin(tmp_path, settings(stored))
    for opening in (RunFolder.open, RunFolder.peek):
        with pytest.raises(InputError, match=r"`loop.scoring_precision` \(trainer there, bf16-mixed here\)"):
            opening(tmp_path, settings("bf16-mixed"))


def test_a_new_run_keeps_its_precision(tmp_path: Path) -> None:
    begin(tmp_path, settings("auto"))
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["loop"]["scoring_precision"] == "auto"
    again = RunFolder.open(tmp_path, settings("auto"))
    again.close()
    assert scoring_of_run(again.settings) == "auto"
    with pytest.raises(InputError, match=r"`loop.scoring_precision` \(auto there, trainer here\)"):
        RunFolder.open(tmp_path, settings("trainer"))


def test_a_run_without_a_round_is_begun_anew_with_the_setting(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path, settings())
    folder.commit(queries=[Query(0, 0, 5, 1)])
    folder.close()
    again = RunFolder.open(tmp_path, settings("auto"))
    again.close()
    assert scoring_of_run(again.settings) == "auto"


def test_an_old_run_from_python_goes_on_too(tmp_path: Path) -> None:
    begin(tmp_path, settings())
    again = RunFolder.open(tmp_path, SettingsOfObjects(settings("auto"), (), dict))
    again.close()
    assert again.settings["loop"] == {"query_size": 5, "num_rounds": 1, "run_dir": str(tmp_path)}


def test_settings_of_a_user_get_the_precision_of_the_loop() -> None:
    assert with_scoring({"name": "mine"}, "auto") == {"name": "mine", "loop": {"scoring_precision": "auto"}}
    assert with_scoring(settings("trainer"), "auto") == settings("trainer")
    assert with_scoring({"loop": "mine"}, "auto") == {"loop": "mine"}
