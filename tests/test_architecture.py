"""Dependencies go in one direction: see docs/design.md."""

import ast
from pathlib import Path

import pytest

from al_lightning.cli.parser import KNOWN_CLASSES
from al_lightning.models.protocol import Traits

ROOT = "al_lightning"
LOOSE = {"__init__", "__main__", "errors", "loop", "moved", "paths", "random_streams", "version"}
LOW = {"errors", "paths", "random_streams", "version"}
PAGE_OF_MODELS = "al_lightning.models.protocol"
"""What a model may have. Every part asks models, so every part may import this file, which imports nothing of ours."""
FOLDERS: dict[str, set[str]] = {
    "data": set(),
    "inference": {"data"},
    "models": {"data", "inference"},
    "strategies": {"data", "inference", "run_folder"},
    "run_folder": {"data"},
    "labeling": {"data", "run_folder"},
    "fitting": {"data", "inference", "labeling", "models", "run_folder", "strategies"},
    "testing": {"data", "inference", "models", "strategies"},
    "loop": {"data", "fitting", "inference", "labeling", "models", "run_folder", "strategies"},
    "report": {"data", "run_folder"},
    "sweep": {"cli", "run_folder"},
    "cli": {
        "data",
        "fitting",
        "inference",
        "labeling",
        "loop",
        "models",
        "report",
        "run_folder",
        "strategies",
        "sweep",
        "testing",
    },
}
"""For each folder, and the loop, what its files may import besides files of their own and those of LOW."""


def modules() -> dict[str, Path]:
    """All modules of the package by name."""
    found = {}
    for path in Path(ROOT).rglob("*.py"):
        parts = path.with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(path: Path, top_level_only: bool = False) -> set[str]:
    """Full names of all that a file imports, in whatever form: ``import a.b``, ``from a import b``, ``from . import``.

    Of ``from a import b`` it is ``a.b`` if that is a module of ours, and ``a`` otherwise.
    """
    tree = ast.parse(path.read_text())
    names = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by a relative name"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.add(full if full in MODULES else node.module or "")
    return names


def ours(name: str, path: Path) -> set[str]:
    """The modules of ours that a file imports."""
    return {other for other in imported(path) if other.split(".")[0] == ROOT} - {name}


def part(module: str) -> str:
    """Folder of a module, or its own name if it is loose."""
    return module.split(".")[1] if "." in module else "__init__"


def test_few_files_are_loose() -> None:
    assert {path.stem for path in Path(ROOT).glob("*.py")} <= LOOSE
    assert len(list(Path(ROOT).glob("*.py"))) <= 8


def test_each_folder_is_one_of_the_layout() -> None:
    folders = {path.parent.name for path in Path(ROOT).glob("*/*.py")}
    assert folders == FOLDERS.keys() - {"loop"}


@pytest.mark.parametrize("name", MODULES)
def test_a_file_imports_only_what_its_folder_may(name: str) -> None:
    mine = part(name)
    if mine in ("__init__", "__main__", "moved"):  # public names, and the command
        return
    allowed = {mine} | LOW | FOLDERS.get(mine, set())
    foreign = {other for other in ours(name, MODULES[name]) - {PAGE_OF_MODELS} if part(other) not in allowed}
    assert foreign == set(), MODULES[name]


def test_the_page_of_models_imports_nothing_of_ours() -> None:
    assert ours(PAGE_OF_MODELS, MODULES[PAGE_OF_MODELS]) == set()


def test_what_a_model_may_have_is_asked_by_the_page_alone() -> None:
    names = {name for name in vars(Traits) if not name.startswith("_")}
    assert len(names) >= 18
    for name, path in MODULES.items():
        asked = {
            argument.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr")
            for argument in node.args[1:2]
            if isinstance(argument, ast.Constant)
        }
        assert asked & names == set() or name == PAGE_OF_MODELS, path


def test_no_circle_between_files() -> None:
    graph = {name: ours(name, path) & MODULES.keys() for name, path in MODULES.items()}
    graph[ROOT] = set()  # imports late
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a circle: {' -> '.join([*path[path.index(name) :], name])}"
        if name not in done:
            for other in graph[name]:
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_strategies_know_nothing_of_lightning_and_import_faiss_late() -> None:
    for name, path in MODULES.items():
        if part(name) == "strategies":
            assert not any(other.split(".")[0] in ("lightning", "torchvision") for other in imported(path)), path
            assert "faiss" not in imported(path, top_level_only=True), path


def test_sweeps_and_reports_import_no_torch() -> None:
    """Their processes would take seconds to start; what needs torch there runs in processes of its own."""
    late = {"al_lightning.sweep.settings_of_arms", "al_lightning.sweep.child"}
    for name, path in MODULES.items():
        if part(name) in ("sweep",) and name not in late:
            assert not any(other.split(".")[0] in ("torch", "lightning") for other in imported(path)), path


OF_LIGHTNING = ("trainer", "fit_loop", "launcher", "logger", "connector")
"""What parts of a trainer are called."""


def private_names_of_lightning(path: Path) -> set[str]:
    """Names with an underscore that a file takes from Lightning: imported, or read off a trainer and its parts."""
    tree = ast.parse(path.read_text())
    found = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lightning")
        for alias in node.names
        if alias.name.startswith("_")
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            owner = ast.unparse(node.value)
            is_own = owner == "self" or owner.startswith("self._")
            if not is_own and any(word in owner.split("(")[0] for word in OF_LIGHTNING):
                found.add(f"{owner}.{node.attr}")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr"):
            owner, name = ast.unparse(node.args[0]), node.args[1]
            is_private = isinstance(name, ast.Constant) and str(name.value).startswith("_")
            if is_private and owner in (*OF_LIGHTNING, "callback", "model", "datamodule"):
                found.add(f"{owner}.{name.value}")
    return found


def test_only_the_folder_of_fits_uses_private_names_of_lightning() -> None:
    for name, path in MODULES.items():
        if part(name) != "fitting":
            assert private_names_of_lightning(path) == set(), path


def test_private_names_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "from lightning.pytorch.loops import _Loop\n"
        "def f(trainer):\n"
        "    trainer.fit_loop.epoch_loop._batches_that_stepped = 3\n"
        "    getattr(trainer, '_results', None)\n"
        "    return trainer._signal_connector\n"
    )
    assert private_names_of_lightning(path) == {
        "_Loop",
        "trainer.fit_loop.epoch_loop._batches_that_stepped",
        "trainer._results",
        "trainer._signal_connector",
    }


def test_all_forms_of_imports_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "import al_lightning.loop\n"
        "from al_lightning import errors, Margin\n"
        "def f():\n"
        "    from al_lightning.data import datamodule, PoolDataModule\n"
    )
    assert imported(path) == {
        "al_lightning.loop",
        "al_lightning.errors",
        "al_lightning",
        "al_lightning.data.datamodule",
        "al_lightning.data",
    }
    assert imported(path, top_level_only=True) == {"al_lightning.loop", "al_lightning.errors", "al_lightning"}


@pytest.mark.parametrize("folder", sorted({path.parent for path in Path("tests").rglob("test_*.py")}))
def test_tests_mirror_the_package(folder: Path) -> None:
    assert (Path(ROOT) / folder.relative_to("tests")).is_dir() or folder == Path("tests/scripts")


def test_no_class_of_the_tests_has_the_name_of_one_that_a_flag_chooses() -> None:
    """``--model Ensemble`` would mean two classes wherever a process has imported both."""
    known = {name for names in KNOWN_CLASSES.values() for name in names}
    trees = {path: ast.parse(path.read_text()) for path in Path("tests").rglob("*.py")}
    classes = {
        (path, node.name) for path, tree in trees.items() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    }
    assert len(classes) > 100
    assert {f"{path}: {name}" for path, name in classes if name in known} == set()
