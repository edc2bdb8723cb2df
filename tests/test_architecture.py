"""Dependencies go in one direction: see `How it is built` in the README."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path("al_lightning")
ANY_OF_OURS = "al_lightning."
ALLOWED = {
    "arrays": {"errors"},
    "strategies": {
        "arrays",
        "augmentations",
        "errors",
        "inference",
        "inputs",
        "nearest",
        "outliers",
        "strategies.base",
    },
    "nearest": set(),
    "outliers": {"nearest"},
    "data": {"arrays", "errors", "inputs", "data", "paths", "random_streams", "spelling"},
    "inputs": set(),
    "batch_hooks": {"data", "errors", "inference", "inputs"},
    "calling": {"errors", "inputs"},
    "models": {
        "augmentable",
        "augmentations",
        "calling",
        "denormals",
        "errors",
        "inputs",
        "layers",
        "logits",
        "models",
        "paths",
        "spelling",
    },
    "augmentable": {"errors", "inputs"},
    "augmentations": {"augmentable", "errors", "inputs"},
    "lazy": {"calling", "inference", "inputs"},
    "inference": {
        "augmentations",
        "calling",
        "data.blocks",
        "errors",
        "inputs",
        "last_layer",
        "layers",
        "logits",
        "mc_dropout",
    },
    "last_layer": {"logits"},
    "logits": {"errors"},
    "layers": {"errors", "spelling"},
    "model_check": {"calling", "data", "errors", "inference", "inputs", "lazy", "logits", "strategies"},
    "digest": set(),
    "durable": set(),
    "identity": {
        "code_digest",
        "data",
        "description",
        "digest",
        "run_settings",
        "same_objects",
        "sketch",
        "strategies",
        "watching",
    },
    "code_digest": set(),
    "description": {"code_digest"},
    "default_folder": {"errors", "run_folder"},
    "differences": {"errors", "sketched"},
    "same_objects": set(),
    "sketch": {"inputs"},
    "sketched": set(),
    "reinit": {"digest", "durable", "errors", "model_maker", "module_state", "random_streams"},
    "model_maker": {"errors", "models.reset", "random_streams", "weight_proof"},
    "module_state": set(),
    "weight_proof": set(),
    "lightning_insides": set(),
    "preflight": {"cluster", "errors", "lightning_insides"},
    "query_rows": {"data", "run_folder"},
    "stopping": {"convergence", "lightning_insides"},
    "mc_dropout": {"calling", "errors", "inputs", "logits", "ragged_masks"},
    "ragged_masks": set(),
    "random_streams": set(),
    "errors": set(),
    "passed_on": set(),
    "paths": set(),
    "watching": set(),
    "cluster": {"errors"},
    "run_folder": {"differences", "errors", "old_rule", "watching"},
    "old_rule": set(),
    "callback_check": {"errors"},
    "run_loggers": {"durable"},
    "callback_state": {"errors"},
    "trainer_state": set(),
    "progress": {"run_folder"},
    "first_fit": {"durable", "errors"},
    "events": {"errors"},
    "convergence": {"falling_loss"},
    "falling_loss": set(),
    "explain": {"spelling"},
    "spelling": set(),
    "seeds": {"errors"},
    "arguments": {"errors"},
    "validation": {"random_streams"},
    "world": {"errors"},
    "study": {"errors", "events", "paths", "run_folder", "seeds", "study"},
    "loop": {
        "batch_hooks",
        "callback_check",
        "callback_state",
        "cluster",
        "convergence",
        "data",
        "default_folder",
        "errors",
        "events",
        "first_fit",
        "identity",
        "inference",
        "lazy",
        "lightning_insides",
        "model_check",
        "model_maker",
        "models",
        "models.metrics",
        "module_state",
        "oracles",
        "paths",
        "preflight",
        "progress",
        "query_rows",
        "random_streams",
        "reinit",
        "run_folder",
        "run_loggers",
        "run_settings",
        "scoring",
        "stopping",
        "strategies",
        "trainer_state",
        "validation",
        "world",
    },
    "scoring": {"inference", "inputs", "random_streams"},
    "run_settings": {
        "convergence",
        "data",
        "description",
        "inputs",
        "models",
        "run_folder",
        "same_objects",
        "strategies",
    },
    "oracles": {"data", "errors", "oracles", "run_folder"},
    "labeling": {"arguments", "errors", "labeling", "paths", "run_folder", "spelling"},
    "suggest": {
        "arguments",
        "commands",
        "data.images",
        "errors",
        "identity",
        "model_check",
        "oracles.label_studio",
        "oracles.questions",
        "paths",
        "random_streams",
        "run_folder",
        "scoring",
    },
    "sweep": {"cli", "commands", "errors", "paths", "run_folder", "seeds", "spelling", "sweep", "yaml_files"},
    "yaml_files": {"errors"},
    "checkpoint_data": {"data", "differences", "errors", "identity", "run_folder", "sketched"},
    "null_options": {"errors"},
    "check": {"check", "data", "errors", "explain", "inference", "models", "spelling", "strategies"},
    "cli": {"check", "commands", "errors", "labeling", "study", "suggest", "sweep"},
}


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Full names of the modules that a file imports."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def files(part: str) -> list[Path]:
    folder = PACKAGE / part
    return sorted(folder.glob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


@pytest.mark.parametrize("part", ALLOWED)
def test_a_part_imports_only_what_it_may(part: str) -> None:
    for path in files(part):
        if path.name == "__init__.py":
            continue
        ours = {name.removeprefix(ANY_OF_OURS) for name in imports(path) if name.startswith(ANY_OF_OURS)}
        foreign = {name for name in ours if not any(name == a or name.startswith(f"{a}.") for a in ALLOWED[part])}
        assert foreign == set(), path


def test_strategies_know_nothing_of_lightning_and_import_faiss_late() -> None:
    for path in [*files("strategies"), *files("nearest"), *files("outliers")]:
        assert not any(name.split(".")[0] in ("lightning", "torchvision") for name in imports(path)), path
        assert "faiss" not in imports(path, top_level_only=True), path


def test_few_files_use_private_names_of_lightning() -> None:
    for path in PACKAGE.rglob("*.py"):
        private = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lightning")
            for alias in node.names
            if alias.name.startswith("_")
        }
        assert private == set() or path.name in ("lightning_insides.py", "preflight.py"), path
