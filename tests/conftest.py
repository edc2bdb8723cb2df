import os

import torch
from hypothesis import settings

from tests.fork_server import forked_python  # noqa: F401

torch.set_num_threads(1)
# what PyTorch's profiler writes to standard error is buffered, and appears in the middle of a later test
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

# the same examples in each run, so that CI does not fail by chance; --hypothesis-profile=search has new ones
settings.register_profile("search", deadline=None)
settings.register_profile("same", parent=settings.get_profile("search"), derandomize=True)
settings.load_profile("same")
