"""Draws test sets for data sets without one."""

import torch
from torch import Tensor

from al_lightning.errors import InputError


def draw_test_set(targets: Tensor, fraction: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draws a test set uniformly from the samples of known class.

    The draw has its own seed, so that runs with other seeds are tested on the same samples.

    Args:
        targets: Class indices, int64, shape ``(N,)``, -1 where unknown.
        fraction: Share of the known samples that form the test set, in [0, 1).
        seed: Seed of the draw.

    Returns:
        Indices of the training and of the test samples, ascending.

    Raises:
        InputError: If ``fraction`` is out of range.

    Example:
        >>> train, test = draw_test_set(torch.tensor([0, 1, -1, 0, 1]), 0.5)
        >>> len(train), len(test), 2 in train
        (3, 2, True)
    """
    if not 0 <= fraction < 1:
        raise InputError(f"Expected `data.test_fraction` to be in [0, 1), but got {fraction}.")
    known = (targets >= 0).nonzero().squeeze(1)
    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))
    is_test = torch.zeros(len(targets), dtype=torch.bool)
    is_test[known[order[: round(fraction * len(known))]]] = True
    return (~is_test).nonzero().squeeze(1), is_test.nonzero().squeeze(1)
