"""Deep active learning on PyTorch Lightning."""

import ast
from importlib import import_module
from pathlib import Path

from al_lightning import moved
from al_lightning.version import __version__  # noqa: F401  it is in __all__


def _modules() -> dict[str, str]:
    """Public names with the modules that they are in, as ``__init__.pyi`` says for type checkers, too."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


_MODULES = _modules()
__all__ = [*_MODULES]

moved.install()


def __getattr__(name: str) -> object:
    """Imports a public name when it is first used, so that ``al-lightning --help`` need not wait for torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
