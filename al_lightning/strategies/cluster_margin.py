"""ClusterMargin: query small margins that are not all of one kind."""

import math

import numpy as np
import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor
from al_lightning.strategies.base import (
    QueryStrategy,
    check_generator,
    check_query_size,
    checked_predictions,
    top_k,
)
from al_lightning.strategies.clusters import kmeans
from al_lightning.strategies.feature_space import Features, FeatureSpace
from al_lightning.strategies.geometry import as_points
from al_lightning.strategies.margin import margin_score

MOST_LINKED = 2000  # candidates, of which all pairs are compared; of more, k-means makes the clusters


def cluster_margin_query(
    probs: ArrayLike,
    embeddings: ArrayLike,
    query_size: int,
    generator: torch.Generator | None = None,
    oversample: float = 1.25,
    num_clusters: int | None = None,
) -> Tensor:
    """Chooses rows with small margins from different clusters.

    The candidates are the rows with the smallest margins between the two most likely classes, ``oversample`` times as
    many as asked for. They are clustered by their features: by average linkage up to 2,000 candidates, and by k-means
    above. Each turn takes a row from each cluster, from the smallest cluster to the largest, until the query is full.

    The paper clusters the whole pool once, and draws from a cluster at random. This function clusters the candidates
    alone, and takes the smallest margin of a cluster first.

    Args:
        probs: Class probabilities, shape ``(N, C)``: a tensor, an array of NumPy or nested lists.
        embeddings: Features, shape ``(N, D)``, in one of these forms. Distances are Euclidean.
        query_size: Number of rows to choose, b, 0 to N.
        generator: CPU generator of k-means; torch's global one if not given. Average linkage draws nothing.
        oversample: Candidates for each row of the query, at least 1. No more than N rows are candidates.
        num_clusters: Number of clusters; b if not given. Then linkage joins the candidates that are closest to each
            other, and of those only the smallest margin is chosen.

    Returns:
        Distinct rows, int64, shape ``(b,)``, in the order chosen. Clusters of one size come in the order of their
        smallest margins. Equal margins go to the lowest row.

    Raises:
        InputError: If an argument is out of range, a value is not finite, or the arguments do not go together.

    Example:
        >>> probs = torch.tensor([[0.50, 0.50], [0.51, 0.49], [0.52, 0.48], [0.53, 0.47], [1.0, 0.0]])
        >>> embeddings = torch.tensor([[0.0], [0.1], [0.2], [5.0], [9.0]])
        >>> cluster_margin_query(probs, embeddings, 2, oversample=2)  # the clusters are 0, 1, 2 and 3
        tensor([3, 0])
    """
    probs, embeddings = checked_predictions(probs, embeddings)
    check_query_size(query_size, len(probs))
    check_generator(generator)
    _check_options(oversample, num_clusters)
    if query_size == 0:
        return torch.empty(0, dtype=torch.int64)
    candidates = top_k(margin_score(probs), _num_candidates(query_size, oversample, len(probs)))
    return candidates[_spread(embeddings[candidates], query_size, num_clusters, generator)]


def round_robin(members: Tensor, num_rows: int) -> Tensor:
    """Takes rows from clusters in turn, from the smallest cluster to the largest.

    Args:
        members: The cluster of each row, int64, shape ``(K,)``. The rows are in order of preference.
        num_rows: How many to take, 0 to K.

    Returns:
        Rows, int64, shape ``(num_rows,)``. The rows of a cluster are taken in their order. Clusters of one size come in
        the order of their first rows.

    Example:
        >>> round_robin(torch.tensor([7, 7, 7, 2, 7, 4]), 4)
        tensor([3, 5, 0, 1])
    """
    _, members, sizes = members.unique(return_inverse=True, return_counts=True)
    by_cluster = members.argsort(stable=True)
    starts = sizes.cumsum(0) - sizes
    turns = torch.empty_like(members)
    turns[by_cluster] = torch.arange(len(members)) - starts[members[by_cluster]]
    first_rows = by_cluster[starts]
    keys = np.stack([first_rows[members].numpy(), sizes[members].numpy(), turns.numpy()])  # the last counts most
    return torch.from_numpy(np.lexsort(keys))[:num_rows]


def average_linkage(rows: Tensor, num_clusters: int) -> Tensor:
    """Joins the two clusters of least mean distance until so many are left.

    Args:
        rows: Shape ``(K, D)``; all pairs of rows are compared.
        num_clusters: Number of clusters, 1 to K.

    Returns:
        The cluster of each row, int64, shape ``(K,)``; any numbers.

    Example:
        >>> average_linkage(torch.tensor([[0.0], [9.0], [1.0]]), 2)
        tensor([3, 1, 3])
    """
    from scipy.cluster.hierarchy import linkage

    members = torch.arange(len(rows))
    if num_clusters == len(rows):
        return members
    joined = linkage(rows.double().numpy(), "average")[: len(rows) - num_clusters, :2].astype(np.int64)
    for i, (one, other) in enumerate(joined.tolist()):
        members[(members == one) | (members == other)] = len(rows) + i
    return members


def _num_candidates(query_size: int, oversample: float, pool_size: int) -> int:
    return min(math.ceil(oversample * query_size), pool_size)


def _spread(features: Tensor, query_size: int, num_clusters: int | None, generator: torch.Generator | None) -> Tensor:
    """Chooses candidates, which are in order of their margins, from different clusters."""
    features, _ = as_points(features, features[:0])
    size = min(query_size if num_clusters is None else num_clusters, len(features))
    if len(features) <= MOST_LINKED:
        members = average_linkage(features, size)
    else:
        members = kmeans(features, size, generator).members
    return round_robin(members, query_size)


def _check_options(oversample: float, num_clusters: int | None) -> None:
    if not 1 <= oversample < math.inf:
        raise InputError(
            f"Expected `oversample` of ClusterMargin to be a finite number of at least 1, but got {oversample}."
        )
    if num_clusters is not None and num_clusters < 1:
        raise InputError(f"Expected `num_clusters` of ClusterMargin to be at least 1, but got {num_clusters}.")


class ClusterMargin(QueryStrategy):
    """Queries the smallest margins, spread over clusters in feature space.

    Args:
        oversample: Candidates for each sample of the query, at least 1.
        num_clusters: Number of clusters of the candidates; the size of the query if not given.
        features: The space in which the candidates are clustered; see :class:`~al_lightning.CoreSet`.

    Raises:
        InputError: If an argument is out of range.

    Reference:
        Citovsky, DeSalvo, Gentile, Karydas, Rajagopalan, Rostamizadeh and Kumar, "Batch Active Learning at Scale",
        NeurIPS 2021.
    """

    def __init__(
        self, oversample: float = 1.25, num_clusters: int | None = None, features: Features = "penultimate"
    ) -> None:
        _check_options(oversample, num_clusters)
        self._space = FeatureSpace(features, "ClusterMargin")
        self.oversample = oversample
        self.num_clusters = num_clusters
        self.features = features

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        check_query_size(query_size, len(pool))
        if query_size == 0:
            return torch.empty(0, dtype=torch.int64)
        scores = pool.map(lambda batch: margin_score(batch.probs))
        candidates = top_k(scores, _num_candidates(query_size, self.oversample, len(pool)))
        features = self._space.of_rows(pool, candidates)
        return candidates[_spread(features, query_size, self.num_clusters, generator)]
