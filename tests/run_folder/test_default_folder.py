"""The default folder has no runs of another experiment."""

from pathlib import Path
from typing import Any

import pytest

from al_lightning.run_folder import Query, Round, RunFolder
from al_lightning.run_folder.default_folder import default_folder

IDENTITY = {"samples": "a", "classes": ["0", "1"], "model": {"act": "ReLU"}}
OTHER = {**IDENTITY, "model": {"act": "Tanh"}}
FIRST = Round(0, 1, 0.1, 0, 0, 0, 0, 1, True, 0, 0, 0, 0)


def settings(seed: int = 0, **loop: Any) -> dict[str, Any]:
    return {"seed_everything": seed, "loop": {"query_size": 2, **loop}}


def write(path: Path, given: dict[str, Any], identity: dict[str, Any] | None, rounds: int = 1, **more: Any) -> None:
    folder = RunFolder.open(path, given, identity)
    folder.commit([FIRST] * rounds, [Query(0, 0, 0, 0, None)], **more)
    folder.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "entropy" / "seed0"


def found(path: Path, given: dict[str, Any] | None = None, identity: dict[str, Any] = IDENTITY) -> str:
    return str(default_folder(path, given or settings(), identity).relative_to(path.parents[1]))


def test_an_empty_folder_and_the_same_experiment_are_taken(path: Path) -> None:
    assert found(path) == "entropy/seed0"
    write(path, settings(), IDENTITY)
    assert found(path) == "entropy/seed0"


def test_each_experiment_has_a_folder_for_all_of_its_seeds(path: Path) -> None:
    write(path, settings(), IDENTITY)
    assert found(path, identity=OTHER) == "entropy-2/seed0"
    assert found(path.with_name("seed1"), settings(1), OTHER) == "entropy-2/seed1"
    assert found(path.with_name("seed1"), settings(1)) == "entropy/seed1"
    write(path.parents[1] / "entropy-2" / "seed0", settings(), OTHER)
    assert found(path, settings(query_size=3)) == "entropy-3/seed0"
    assert found(path) == "entropy/seed0"
    assert found(path, identity=OTHER) == "entropy-2/seed0"


def test_a_run_of_an_older_version_goes_on_in_its_folder(path: Path) -> None:
    write(path, settings(), {"samples": "a", "classes": ["0", "1"]})
    assert found(path) == "entropy/seed0"


def test_a_run_without_a_round_is_in_nobodys_way_unless_it_asks_people(path: Path) -> None:
    write(path, settings(), OTHER, rounds=0)
    assert found(path) == "entropy/seed0"
    write(path, settings(oracle="FileOracle"), OTHER, rounds=0, asked=[Query(0, 0, 1, None)])
    assert found(path, settings(oracle="FileOracle")) == "entropy-2/seed0"
    assert found(path, settings(oracle="FileOracle"), OTHER) == "entropy/seed0"
