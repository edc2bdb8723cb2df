"""Names of modules in earlier versions: they import what the new names import, and nothing more."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from al_lightning.cli import main
from al_lightning.moved import MOVED, PACKAGE, new_name


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_is_the_module_of_the_new_name(old: str) -> None:
    module = import_module(f"{PACKAGE}.{old}")
    assert module is import_module(f"{PACKAGE}.{MOVED[old]}")
    assert module.__spec__ is not None
    assert module.__spec__.name == module.__name__ == f"{PACKAGE}.{MOVED[old]}"


def test_old_names_hide_no_module() -> None:
    for old in MOVED:
        import_module(f"{PACKAGE}.{old}")
    for name, module in list(sys.modules.items()):
        parent, _, child = name.rpartition(".")
        if parent.startswith(f"{PACKAGE}.") and module.__name__ == name:
            assert getattr(sys.modules[parent], child) is module, name


def test_old_names_of_classes_are_the_classes() -> None:
    from al_lightning.augmentations import RandomShift as OldShift
    from al_lightning.convergence import Convergence
    from al_lightning.oracles.base import Oracle
    from al_lightning.oracles.file_oracle import FileOracle as OldOracle

    from al_lightning import FileOracle, RandomShift, oracles

    assert OldShift is RandomShift
    assert OldOracle is FileOracle is oracles.FileOracle
    assert issubclass(OldOracle, Oracle)
    assert Convergence.__module__ == "al_lightning.fitting.convergence"


def test_what_did_not_move_is_found_as_before() -> None:
    assert new_name("al_lightning.strategies.badge") is None
    assert new_name("oracles") is new_name("other.oracles") is new_name("al_lightning") is None
    with pytest.raises(ModuleNotFoundError, match=r"al_lightning\.nothing"):
        import_module("al_lightning.nothing")
    with pytest.raises(ModuleNotFoundError, match=r"al_lightning\.labeling\.nothing"):
        import_module("al_lightning.oracles.nothing")


def test_a_moved_module_is_imported_no_earlier_than_its_old_name() -> None:
    code = (
        "import sys, al_lightning\n"
        "assert 'torch' not in sys.modules and 'al_lightning.fitting' not in sys.modules\n"
        "from al_lightning.spelling import did_you_mean\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_class_paths_of_earlier_versions_work_in_a_config(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config = {
        "loop": {"oracle": {"class_path": "al_lightning.oracles.file_oracle.FileOracle"}},
        "model": {
            "class_path": "al_lightning.MixMatch",
            "init_args": {"augmentation": {"class_path": "al_lightning.augmentations.RandomShift"}},
        },
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(SystemExit):
        main(["fit", "--config", str(path), "--print_config"])
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["loop"]["oracle"]["class_path"].endswith(".FileOracle")
    assert printed["model"]["init_args"]["augmentation"]["class_path"].endswith(".RandomShift")
