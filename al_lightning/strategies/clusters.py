"""K-means with faiss, and the rows that stand for its clusters."""

from typing import NamedTuple

import torch
from torch import Tensor

from al_lightning.strategies.geometry import search

ITERATIONS = 20  # most of them; the order of clusters by size has settled long before


class Clusters(NamedTuple):
    """The clusters of rows."""

    centres: Tensor
    """Means of the clusters, float32, shape ``(K, D)``."""
    members: Tensor
    """The cluster of each row, int64, shape ``(N,)``, 0 to K - 1. A cluster may be empty if rows coincide."""
    sq_distances: Tensor
    """Squared distance of each row to the centre of its cluster, float32, shape ``(N,)``."""


def kmeans(rows: Tensor, num_clusters: int, generator: torch.Generator, num_iterations: int = ITERATIONS) -> Clusters:
    """Clusters rows by Lloyd's iterations. faiss finds the nearest centre of each row.

    The first centres are distinct rows, drawn uniformly. An empty cluster gets the row that is farthest from its
    centre. The result does not depend on the number of threads.

    Args:
        rows: Float32 on the CPU, shape ``(N, D)``.
        num_clusters: Number of clusters, K, 1 to N.
        generator: CPU generator of the draw.
        num_iterations: Most iterations. They end when no row changes its cluster.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [2.0], [10.0], [12.0]])
        >>> clusters = kmeans(line, 2, torch.Generator().manual_seed(0))
        >>> sorted(clusters.centres.flatten().tolist())
        [1.0, 11.0]
    """
    centres = rows[torch.randperm(len(rows), generator=generator)[:num_clusters]]
    members, sq_distances = _nearest(rows, centres)
    for _ in range(num_iterations):
        centres = _means(rows, members, sq_distances, num_clusters)
        before = members
        members, sq_distances = _nearest(rows, centres)
        if torch.equal(before, members):
            break
    return Clusters(centres, members, sq_distances)


def nearest_to_centres(clusters: Clusters) -> Tensor:
    """Finds the row nearest to the centre of each cluster, among the rows of the cluster.

    Returns:
        Distinct rows, int64, in the order of the clusters; a cluster without rows has none. Ties go to the lowest row.
    """
    order = clusters.sq_distances.argsort(stable=True)
    order = order[clusters.members[order].argsort(stable=True)]
    members = clusters.members[order]
    is_first = torch.ones(len(order), dtype=torch.bool)
    is_first[1:] = members[1:] != members[:-1]
    return order[is_first]


def _nearest(rows: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    origin = centres.mean(dim=0)
    sq_distances, nearest = search(rows, centres - origin, origin)
    return nearest[:, 0], sq_distances[:, 0].clamp(min=0)


def _means(rows: Tensor, members: Tensor, sq_distances: Tensor, num_clusters: int) -> Tensor:
    """The means of clusters; an empty one gets the row that is farthest from its centre, and no row serves twice."""
    sizes = members.bincount(minlength=num_clusters)
    sums = torch.zeros(num_clusters, rows.shape[1]).index_add_(0, members, rows)
    empty = (sizes == 0).nonzero().squeeze(1)
    sums[empty] = rows[sq_distances.argsort(descending=True, stable=True)[: len(empty)]]
    return sums / sizes.clamp(min=1)[:, None]
