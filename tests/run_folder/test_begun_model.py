"""What a folder says of its run before the run is opened."""

from pathlib import Path
from typing import Any

from al_lightning.run_folder import Query, Round, RunFolder, comparable_settings, differing
from al_lightning.run_folder.begun_model import BegunModel, read_begun_model

IDENTITY = {"classes": ["a", "b", "c"]}
ROUND = Round(0, 1, *[0.5] * 5, 3, True, *[0.0] * 4)


def settings(oracle: str | None = None, **init_args: Any) -> dict[str, Any]:
    return {
        "model": {"class_path": "al_lightning.DropoutMLP", "init_args": init_args},
        "loop": {"oracle": oracle},
    }


def begin(path: Path, given: dict[str, Any], **tables: Any) -> None:
    folder = RunFolder.open(path, given, IDENTITY)
    folder.commit(**tables)
    folder.close()


def test_a_run_with_rounds_has_begun(tmp_path: Path) -> None:
    begin(tmp_path, settings(num_classes=10), rounds=[ROUND], queries=[Query(0, 0, 5, 1)])
    assert read_begun_model(tmp_path) == BegunModel("DropoutMLP", 10, ("a", "b", "c"))


def test_a_run_with_questions_for_people_has_begun(tmp_path: Path) -> None:
    begin(tmp_path, settings("al_lightning.FileOracle", num_classes=None), asked=[Query(0, 0, 5, None)])
    assert read_begun_model(tmp_path) == BegunModel("DropoutMLP", None, ("a", "b", "c"))


def test_a_run_that_will_be_forgotten_has_not_begun(tmp_path: Path) -> None:
    begin(tmp_path, settings(num_classes=10), queries=[Query(0, 0, 5, 1)])
    assert read_begun_model(tmp_path) is None
    assert read_begun_model(tmp_path / "none") is None


def test_a_size_that_is_null_equals_each_number() -> None:
    null, ten, three = (comparable_settings(settings(num_classes=n, input_dim=64)) for n in (None, 10, 3))
    assert differing(null, ten) == differing(ten, null) == {}
    assert differing(ten, three) == {"model.num_classes": (10, 3)}
    assert differing(ten, comparable_settings(settings(input_dim=64))) == {}
