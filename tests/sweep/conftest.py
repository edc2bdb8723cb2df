import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def forked_processes(forked_python: str) -> Iterator[None]:
    """The processes of sweeps are forked, which saves the seconds of their imports."""
    python, sys.executable = sys.executable, forked_python
    yield
    sys.executable = python
