"""Outliers: how far out samples lie among all others."""

import torch
from torch import Tensor

from al_lightning.strategies.nearest import every_kth, kth_distances

NEIGHBOURS = 20
"""A sample lies as far out as its 20th nearest neighbour is away."""
REFERENCES = 2000  # rows that stand for all: 95 % of percentiles are off by less than three hundredths


def outlier_percentiles(rows: Tensor, picks: Tensor) -> Tensor:
    """Ranks rows by the distance to their 20th nearest neighbour, among all rows.

    Args:
        rows: Features, float32, shape ``(N, D)``.
        picks: Rows to rank, int64, shape ``(b,)``.

    Returns:
        For each pick the share of rows that lie less far out, ties counted half, float32, shape ``(b,)``, in [0, 1]:
        near 1 for outliers, 0.5 on average for picks at random. Where there are many rows, every k-th stands for all.

    Reference:
        Ramaswamy, Rastogi and Shim, "Efficient Algorithms for Mining Outliers from Large Data Sets", SIGMOD 2000.

    Example:
        >>> line = torch.cat([torch.arange(99.0), torch.tensor([1000.0])])[:, None]
        >>> outlier_percentiles(line, torch.tensor([99, 50]))
        tensor([0.9950, 0.3950])
    """
    num_nearest = min(NEIGHBOURS + 1, len(rows))  # a row is its own nearest neighbour
    usual = kth_distances(every_kth(rows, REFERENCES), rows, num_nearest).sort().values
    found = kth_distances(rows[picks], rows, num_nearest)
    below, up_to = (torch.searchsorted(usual, found, right=right) for right in (False, True))
    return (below + up_to).float() / (2 * len(usual))
