"""Digests of code: what changes a fit changes them, and comments, blanks and logging do not."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from torch import nn

from al_lightning import DropoutMLP
from al_lightning.run_folder.fingerprint.code_digest import digest_of_class, digest_of_function, is_own

SOURCE = """
import torch
from torch.nn import functional as F

SCALE = 2.0
CALLS = 0

def loss(logits, targets):
    return F.cross_entropy(logits, targets)

class Base:
    width = 4
    def forward(self, x):
        return torch.relu(x) * SCALE

class Net(Base):
    def training_step(self, batch, index):
        global CALLS
        CALLS += 1
        return loss(self.forward(batch[0]), batch[1])
"""


@pytest.fixture
def number() -> Iterator[list[int]]:
    counted = [0]
    yield counted
    for i in range(counted[0]):
        sys.modules.pop(f"code_of_a_user_{i}", None)


def load(folder: Path, number: list[int], source: str) -> ModuleType:
    name = f"code_of_a_user_{number[0]}"
    number[0] += 1
    path = folder / f"{name}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("torch.relu(x)", "torch.tanh(x)"),
        ("* SCALE", "+ SCALE"),
        ("SCALE = 2.0", "SCALE = 3.0"),
        ("width = 4", "width = 5"),
        ("F.cross_entropy(logits, targets)", "F.cross_entropy(logits, targets, label_smoothing=0.1)"),
        ("functional as F", "functional as G\nclass F: cross_entropy = staticmethod(G.multi_margin_loss)"),
        ("return loss(", "return 2 * loss("),
    ],
)
def test_an_edit_that_matters_is_seen(tmp_path: Path, number: list[int], old: str, new: str) -> None:
    assert old in SOURCE
    first = load(tmp_path, number, SOURCE).Net
    assert digest_of_class(first) != digest_of_class(load(tmp_path, number, SOURCE.replace(old, new)).Net)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import torch\n", "import torch\n# a comment\n\n\n"),
        (
            "        return torch.relu(x) * SCALE",
            '        """Says."""\n        return torch.relu( x )*SCALE  # why',
        ),
        ("        CALLS += 1", '        CALLS += 1\n        self.log("calls", CALLS)\n        print("here")'),
        ("def loss(logits, targets):", "def loss(logits: torch.Tensor, targets: object) -> torch.Tensor:"),
        ("CALLS = 0", "CALLS = 7"),  # which the code sets itself
        ("class Base:", "def unused():\n    return 1\n\nclass Base:"),
    ],
)
def test_an_edit_that_does_not_is_not(tmp_path: Path, number: list[int], old: str, new: str) -> None:
    assert old in SOURCE
    first = load(tmp_path, number, SOURCE).Net
    assert digest_of_class(first) == digest_of_class(load(tmp_path, number, SOURCE.replace(old, new)).Net)


def test_code_without_a_source_is_told_apart_too() -> None:
    def made(source: str) -> type:
        names: dict[str, Any] = {"__name__": __name__}
        exec(source, names)
        return names["Net"]

    relu, tanh = (made(SOURCE.replace("relu", name)) for name in ("relu", "tanh"))
    assert is_own(relu)
    assert digest_of_class(relu) == digest_of_class(made(SOURCE)) != digest_of_class(tanh)


def test_what_a_function_closes_over_counts() -> None:
    def power(exponent: int) -> Any:
        return lambda x: x**exponent

    assert digest_of_function(power(2)) == digest_of_function(power(2)) != digest_of_function(power(3))
    double, triple = (lambda x: 2 * x), (lambda x: 3 * x)
    assert digest_of_function(double) != digest_of_function(triple)


def test_functions_that_call_each_other_end() -> None:
    def even(n: int) -> bool:
        return n == 0 or odd(n - 1)

    def odd(n: int) -> bool:
        return n != 0 and even(n - 1)

    assert digest_of_function(even) != digest_of_function(odd)


def test_what_is_the_users_own() -> None:
    class Mine(nn.Linear):
        pass

    assert is_own(Mine)
    assert not any(is_own(cls) for cls in (nn.Linear, DropoutMLP, dict, Path))


def test_packages_of_another_environment_are_not_the_users(tmp_path: Path) -> None:
    """An environment may see the packages of another one, whose folders are not its own."""
    folder = tmp_path / "other" / "lib" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "installed_elsewhere.py").write_text("class Net:\n    def forward(self):\n        return 1\n")
    spec = importlib.util.spec_from_file_location("installed_elsewhere", folder / "installed_elsewhere.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["installed_elsewhere"] = module
    try:
        spec.loader.exec_module(module)
        assert not is_own(module.Net)
        assert not is_own(module.Net.forward)
    finally:
        del sys.modules["installed_elsewhere"]
