import os

import pytest
import torch
from hypothesis import settings
from PIL import Image

from tests.fork_server import forked_python  # noqa: F401

torch.set_num_threads(1)
# what PyTorch's profiler writes to standard error is buffered, and appears in the middle of a later test
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

# the same examples in each run, so that CI does not fail by chance; --hypothesis-profile=search has new ones
settings.register_profile("search", deadline=None)
settings.register_profile("same", parent=settings.get_profile("search"), derandomize=True)
settings.load_profile("same")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Each file that Pillow opens."""
    files: list[object] = []
    open_image = Image.open
    monkeypatch.setattr(Image, "open", lambda file, *rest: files.append(file) or open_image(file, *rest))
    return files
