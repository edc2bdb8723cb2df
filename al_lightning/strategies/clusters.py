"""K-means with faiss, and the rows that stand for its clusters."""

from typing import NamedTuple

import torch
from torch import Tensor

from al_lightning.strategies.geometry import search
from al_lightning.strategies.stacked_rows import StackedRows

Rows = Tensor | StackedRows

ITERATIONS = 20  # most of them
TOLERANCE = 2e-3  # relative; what further iterations gain is little beside the luck of the first centres
SEED_ROWS = 2048  # rows, or 8 for each cluster, among which the first centres are drawn
SEED_ROWS_EACH = 8
BLOCK_ROWS = 8192  # rows that are added up in float32
EQUAL = 2**12  # units in the last place; distances that differ by less count as equal


class Clusters(NamedTuple):
    """The clusters of rows."""

    centres: Tensor
    """Means of the clusters, float32, shape ``(K, D)``."""
    members: Tensor
    """The cluster of each row, int64, shape ``(N,)``, 0 to K - 1. A cluster may be empty if rows coincide."""
    sq_distances: Tensor
    """Squared distance of each row to the centre of its cluster, float32, shape ``(N,)``."""


def kmeans(
    rows: Rows,
    num_clusters: int,
    generator: torch.Generator | None,
    num_iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
) -> Clusters:
    """Clusters rows by Lloyd's iterations. faiss finds the nearest centre of each row.

    The first centres are distinct rows, drawn by k-means++ from a uniform sample of the rows. An empty cluster gets the
    row that is farthest from its centre. The result does not depend on the number of threads.

    Args:
        rows: Float32 on the CPU, shape ``(N, D)``.
        num_clusters: Number of clusters, K, 1 to N.
        generator: CPU generator of the draws; torch's global one if None.
        num_iterations: Most iterations. They end earlier when no row changes its cluster.
        tolerance: They also end when the sum of the squared distances falls by no more than this share of it.

    Reference:
        Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [2.0], [10.0], [12.0]])
        >>> clusters = kmeans(line, 2, torch.Generator().manual_seed(0))
        >>> sorted(clusters.centres.flatten().tolist())
        [1.0, 11.0]
    """
    centres = rows[first_centres(rows, num_clusters, generator)]
    members, sq_distances = _nearest(rows, centres)
    total = float(sq_distances.double().sum())
    for _ in range(num_iterations):
        centres = _means(rows, members, sq_distances, num_clusters)
        members_before, total_before = members, total
        members, sq_distances = _nearest(rows, centres)
        total = float(sq_distances.double().sum())
        if torch.equal(members_before, members) or 0 <= total_before - total <= tolerance * total_before:
            break
    for start in range(0, len(rows), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        sq_distances[block] = (rows[block] - centres[members[block]]).square_().sum(dim=1)
    return Clusters(centres, members, sq_distances)


def first_centres(rows: Rows, num_clusters: int, generator: torch.Generator | None) -> Tensor:
    """Draws rows by k-means++: each with a probability proportional to the squared distance to those drawn before.

    If all rows coincide with those drawn before, the next one is drawn uniformly. Of many rows, only a uniform sample
    takes part.

    Args:
        rows: Float32 on the CPU, shape ``(N, D)``.
        num_clusters: Number of rows to draw, K, 1 to N.
        generator: CPU generator; torch's global one if None.

    Returns:
        Distinct rows, int64, shape ``(K,)``.
    """
    num_sampled = max(SEED_ROWS, SEED_ROWS_EACH * num_clusters)
    sample = torch.randperm(len(rows), generator=generator)[:num_sampled]
    points = rows[sample]
    uniforms = torch.rand(num_clusters, dtype=torch.float64, generator=generator)
    chances = torch.full((len(points),), torch.inf)
    free = torch.ones(len(points), dtype=torch.bool)
    drawn: list[int] = []
    for uniform in uniforms:
        # the first is drawn uniformly, too
        weights = chances if drawn and chances.any() else free
        cumulative = weights.cumsum(0, dtype=torch.float64)
        # right=True never draws a weight of 0; the last row with a weight catches products that round up to the sum
        pick = int(torch.searchsorted(cumulative, uniform * cumulative[-1], right=True))
        pick = min(pick, int(weights.nonzero()[-1]))
        drawn.append(pick)
        free[pick] = False
        torch.minimum(chances, (points - points[pick]).square_().sum(dim=1), out=chances)
    return sample[drawn]


def ranks(members: Tensor, values: Tensor) -> Tensor:
    """Ranks each row among the rows of its cluster by a value: 0 for the smallest.

    Ties go to the lowest row, and values that differ by rounding tie: the two rows of a cluster are as near to its
    centre.

    Args:
        members: The cluster of each row, int64, shape ``(N,)``.
        values: Float32, not negative, shape ``(N,)``.

    Returns:
        int64, shape ``(N,)``.

    Example:
        >>> ranks(torch.tensor([0, 1, 0, 0]), torch.tensor([5.0, 9.0, 2.0, 5.0]))
        tensor([1, 0, 0, 2])
    """
    # floats that are not negative are in the order of their bits
    order = (values.view(torch.int32) + EQUAL // 2).div(EQUAL, rounding_mode="floor").argsort(stable=True)
    order = order[members[order].argsort(stable=True)]
    starts = members.bincount().cumsum(0) - members.bincount()
    result = torch.empty_like(order)
    result[order] = torch.arange(len(order)) - starts[members[order]]
    return result


def nearest_to_centres(clusters: Clusters) -> Tensor:
    """Finds the row nearest to the centre of each cluster, among the rows of the cluster.

    Returns:
        Distinct rows, int64, in the order of the clusters; a cluster without rows has none. Ties go to the lowest row.
    """
    rows = (ranks(clusters.members, clusters.sq_distances) == 0).nonzero().squeeze(1)
    return rows[clusters.members[rows].argsort()]


def _nearest(rows: Rows, centres: Tensor) -> tuple[Tensor, Tensor]:
    origin = centres.mean(dim=0)
    sq_distances, nearest = search(rows, centres - origin, origin)
    return nearest[:, 0], sq_distances[:, 0].clamp(min=0)


def _means(rows: Rows, members: Tensor, sq_distances: Tensor, num_clusters: int) -> Tensor:
    """The means of clusters; an empty one gets the row that is farthest from its centre, and no row serves twice."""
    sizes = members.bincount(minlength=num_clusters)
    sums = torch.zeros(num_clusters, rows.shape[1], dtype=torch.float64)
    for start in range(0, len(rows), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        sums += torch.zeros(num_clusters, rows.shape[1]).index_add_(0, members[block], rows[block])
    empty = (sizes == 0).nonzero().squeeze(1)
    sums[empty] = rows[sq_distances.argsort(descending=True, stable=True)[: len(empty)]].double()
    return (sums / sizes.clamp(min=1)[:, None]).float()
