"""TypiClust: query the most typical sample of each cluster without a label."""

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor
from al_lightning.strategies.base import QueryStrategy, check_generator, check_query_size
from al_lightning.strategies.clusters import kmeans
from al_lightning.strategies.feature_space import Features, FeatureSpace
from al_lightning.strategies.geometry import SEARCH_ROWS, as_points, search
from al_lightning.strategies.stacked_rows import StackedRows


def typiclust_query(
    embeddings: ArrayLike,
    labeled_embeddings: ArrayLike,
    query_size: int,
    generator: torch.Generator | None,
    max_clusters: int = 500,
    num_neighbors: int = 20,
) -> Tensor:
    r"""Chooses the most typical unlabeled member of each of the clusters with the fewest labels.

    K-means makes min(M + b, ``max_clusters``) clusters of the pool and the labeled samples. The clusters are taken in
    the order of their labels, fewest first, and of equally many the largest first. A row that was chosen counts as a
    label when all clusters have had their turn and the next round begins. So no row is drawn at random, however many
    labels there are. A cluster of few members comes after all larger clusters with as few labels. The authors leave out
    clusters of 5 members and fewer.

    The typicality of :math:`x` is high in a dense part of its cluster:

    .. math:: \left(\frac1K \sum_{x' \in \mathrm{NN}_K(x)} \lVert x - x' \rVert\right)^{-1}

    with the :math:`K` nearest members of the cluster: ``num_neighbors``, or all others if there are fewer. The distance
    is not squared. Labeled members count as neighbours, because labels do not change where the data are dense.

    Args:
        embeddings: Features of the pool, shape ``(N, D)``: a tensor, an array of NumPy or nested lists. They are used
            as they are; the authors scale features to unit length before.
        labeled_embeddings: Features of the labeled samples, shape ``(M, D)``, in one of these forms; of any shape if
            there are none.
        query_size: Number of rows to choose, b, 0 to N.
        generator: CPU generator of k-means; torch's global one if None.
        max_clusters: Most clusters.
        num_neighbors: Most neighbours of a sample.

    Returns:
        Distinct rows, int64, shape ``(b,)``, in the order chosen. Ties go to the lowest row.

    Raises:
        InputError: If ``query_size`` is larger than N, a value is not finite, or the arguments do not go together.

    Reference:
        Hacohen, Dekel and Weinshall, "Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets",
        ICML 2022.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [2.0], [10.0], [12.0]])  # clusters 0, 1, 2 and 10, 12
        >>> typiclust_query(line, [], 2, torch.Generator().manual_seed(0))
        tensor([1, 3])
    """
    embeddings, labeled_embeddings = as_points(embeddings, labeled_embeddings)
    check_query_size(query_size, len(embeddings))
    check_generator(generator)
    _check_positive(max_clusters, "max_clusters")
    _check_positive(num_neighbors, "num_neighbors")
    if query_size == 0:
        return torch.empty(0, dtype=torch.int64)
    size, num_labeled = len(embeddings), len(labeled_embeddings)
    rows = StackedRows(embeddings, labeled_embeddings)
    num_clusters = min(num_labeled + query_size, max_clusters, len(rows))
    members = kmeans(rows, num_clusters, generator).members

    turns = _turns(members[:size], members[size:], num_clusters, query_size)
    by_cluster = members.argsort(stable=True)  # pool rows before labeled ones in each cluster
    parts = by_cluster.split(members.bincount(minlength=num_clusters).tolist())
    typical = {k: iter(_by_typicality(rows, parts[k], size, num_neighbors)) for k in set(turns)}
    return torch.tensor([next(typical[k]) for k in turns])


def _check_positive(value: int, name: str) -> None:
    if not hasattr(value, "__index__") or value < 1:
        raise InputError(f"Expected `{name}` of TypiClust to be an integer of at least 1, but got {value!r}.")


def _turns(members: Tensor, labeled_members: Tensor, num_clusters: int, query_size: int) -> list[int]:
    """Says from which cluster each row is chosen: in rounds, in each of which a cluster has one turn.

    Args:
        members: The cluster of each row of the pool, shape ``(N,)``.
        labeled_members: The cluster of each labeled row, shape ``(M,)``.
        num_clusters: K.
        query_size: Number of turns, b, 0 to N.
    """
    left = members.bincount(minlength=num_clusters)
    labels = labeled_members.bincount(minlength=num_clusters)
    sizes = left + labels
    labels, left = labels.clone(), left.clone()
    turns: list[int] = []
    while len(turns) < query_size:
        order = sizes.argsort(descending=True, stable=True)
        order = order[labels[order].argsort(stable=True)]
        turn = order[left[order] > 0][: query_size - len(turns)]
        labels[turn] += 1
        left[turn] -= 1
        turns += turn.tolist()
    return turns


def _by_typicality(rows: StackedRows, inside: Tensor, pool_size: int, num_neighbors: int) -> list[int]:
    """Sorts the unlabeled members of a cluster, the most typical first.

    Args:
        rows: Features of the pool, then of the labeled samples, shape ``(N + M, D)``.
        inside: The members of the cluster, ascending.
        pool_size: N.
        num_neighbors: Most neighbours.
    """
    unlabeled = inside[inside < pool_size]
    if len(unlabeled) == 1:
        return unlabeled.tolist()
    points = rows[inside]
    origin = points.mean(dim=0)
    num_nearest = min(num_neighbors + 1, len(points))  # a sample is its own nearest neighbour
    _, nearest = search(points[: len(unlabeled)], points - origin, origin, num_nearest)
    distances = [
        # from the differences: faiss's distances of samples that coincide are not zero but noise
        (points[start : start + len(near), None] - points[near]).square_().sum(dim=2).sqrt_().sort(dim=1).values
        for start, near in zip(range(0, len(nearest), SEARCH_ROWS), nearest.split(SEARCH_ROWS), strict=True)
    ]
    mean = torch.cat(distances)[:, 1:].mean(dim=1)
    return unlabeled[mean.argsort(stable=True)].tolist()


class TypiClust(QueryStrategy):
    """Queries the most typical sample of each of the clusters with the fewest labels.

    It looks at no prediction. So it also chooses the first samples of a run.

    Args:
        max_clusters: Most clusters.
        num_neighbors: The typicality of a sample is 1 / mean distance to so many neighbours in its cluster.
        features: The space of the clusters. ``penultimate`` features of the model, without dropout; the ``inputs`` as
            the model gets them; or the outputs of another network.

    Raises:
        InputError: If an argument is out of its range.

    Reference:
        Hacohen, Dekel and Weinshall, "Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets",
        ICML 2022.
    """

    needs_predictions = False

    def __init__(self, max_clusters: int = 500, num_neighbors: int = 20, features: Features = "penultimate") -> None:
        _check_positive(max_clusters, "max_clusters")
        _check_positive(num_neighbors, "num_neighbors")
        self._space = FeatureSpace(features, "TypiClust")
        self.max_clusters = max_clusters
        self.num_neighbors = num_neighbors
        self.features = features

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        check_query_size(query_size, len(pool))
        if query_size == 0:
            return torch.empty(0, dtype=torch.int64)
        embeddings, labeled = self._space.of_pool(pool), self._space.of_labeled(pool)
        return typiclust_query(embeddings, labeled, query_size, generator, self.max_clusters, self.num_neighbors)
