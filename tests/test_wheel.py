"""The wheel stands alone: it has all files that the package needs, and its configs are found from any folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

SOURCES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "al_lightning", "configs")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the content of a wheel that was built from a copy of the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "source").mkdir()
    for name in SOURCES:
        copy = shutil.copytree if Path(name).is_dir() else shutil.copy
        copy(name, folder / "source" / name)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", ".", "./source"],
        cwd=folder,
        check=True,
    )
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def run_wheel(wheel: Path, folder: Path, *words: str) -> str:
    """Runs a command of the wheel in a folder; returns what it prints."""
    code = "import sys, al_lightning.cli as c; assert sys.argv.pop(1) in c.__file__; c.main()"
    command = [sys.executable, "-c", code, str(wheel), *words]
    env = {**os.environ, "PYTHONPATH": str(wheel)}
    return subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_the_wheel_has_all_files_of_the_package(wheel: Path) -> None:
    def files(folder: Path) -> set[str]:
        found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        return {path.as_posix() for path in found if "__pycache__" not in path.parts}

    configs = {f"configs/{name}" for name in files(Path("configs"))}
    assert files(wheel / "al_lightning") == files(Path("al_lightning")) | configs
    assert "py.typed" in files(wheel / "al_lightning")


def test_the_wheel_finds_its_configs_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    listed = run_wheel(wheel, tmp_path, "configs").splitlines()
    assert [line.split()[0] for line in listed] == sorted(path.stem for path in Path("configs").glob("*.yaml"))
    assert run_wheel(wheel, tmp_path, "configs", "badge") == Path("configs/badge.yaml").read_text()
    planned = run_wheel(wheel, tmp_path, "sweep", "--config", "study", "--seeds", "1", "--dry_run")
    assert f"{len(yaml.safe_load(Path('configs/study.yaml').read_text())['arms'])} runs" in planned
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_runs_a_config_by_its_name(wheel: Path, tmp_path: Path) -> None:
    flags = ["--loop.num_rounds", "1", "--trainer.max_epochs", "1", "--loop.run_dir", "run"]
    run_wheel(wheel, tmp_path, "fit", "--config", "digits", *flags)
    assert (tmp_path / "run" / "rounds.csv").read_text().count("\n") == 3
