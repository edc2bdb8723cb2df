"""Random streams: the only place where randomness is derived.

Every stream is a function of (seed, purpose, round), and is never carried from one round to the next. This has three
results:

- Two strategies with the same seed share everything except their queries.
- A run that was killed repeats its round to the same bits.
- Scoring the pool cannot disturb training.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch

Purpose = Literal[
    "initial",
    "weights",
    "shuffle",
    "transforms",
    "unlabeled",
    "augmentation",
    "mixup",
    "dropout",
    "masks",
    "views",
    "query",
    "validation",
]


def stream_seed(seed: int, purpose: Purpose, round: int = 0, rank: int = 0) -> int:
    """Derives the seed of one stream.

    Args:
        seed: The seed of the experiment.
        purpose: The use of the stream.
        round: The round it is used in, 0 for the initial set.
        rank: The device it is used on, for draws that must differ between devices, such as dropout.

    Returns:
        An integer in [0, 2^63), the same on every machine and in every Python version.

    Example:
        >>> stream_seed(0, "weights", 3) == stream_seed(0, "weights", 3)
        True
        >>> len({stream_seed(0, "weights", 3), stream_seed(1, "weights", 3), stream_seed(0, "masks", 3)})
        3
    """
    of_rank = f"/{rank}" if rank else ""  # the first device keeps the seeds of runs on one device
    digest = hashlib.sha256(f"{seed}/{purpose}/{round}{of_rank}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stream(seed: int, purpose: Purpose, round: int = 0, rank: int = 0) -> torch.Generator:
    """Returns a fresh CPU generator for one stream; see :func:`stream_seed` for the arguments."""
    return torch.Generator().manual_seed(stream_seed(seed, purpose, round, rank))


@contextmanager
def seeded(seed: int, with_gpus: bool = False) -> Iterator[None]:
    """Seeds the global generators of torch on the CPU, NumPy and Python, and puts them back.

    Args:
        seed: At least 0. Draws of torch are the same as after ``torch.manual_seed(seed)``, which takes fifty times as
            long.
        with_gpus: Whether the generators of all GPUs are seeded, too.
    """
    gpus = list(range(torch.cuda.device_count())) if with_gpus else []
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        with torch.random.fork_rng(devices=gpus, enabled=bool(gpus)):
            if gpus:
                torch.cuda.manual_seed_all(seed)
            yield
    finally:
        torch.set_rng_state(before[0])
        random.setstate(before[1])
        np.random.set_state(before[2])
