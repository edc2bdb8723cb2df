"""KMeans: query the samples nearest to the centres of as many clusters."""

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike
from al_lightning.inference import PoolPredictor
from al_lightning.strategies.base import QueryStrategy, check_generator, check_query_size
from al_lightning.strategies.clusters import kmeans, ranks
from al_lightning.strategies.feature_space import Features, FeatureSpace
from al_lightning.strategies.geometry import as_points


def kmeans_query(embeddings: ArrayLike, query_size: int, generator: torch.Generator | None) -> Tensor:
    """Clusters rows by k-means with b clusters, and chooses the row nearest to each centre.

    Fewer clusters than b have rows if many rows coincide. Then the rows second nearest to the centres follow, and so
    on. In each of these rounds the larger clusters come first.

    Args:
        embeddings: Features, shape ``(N, D)``: a tensor, an array of NumPy or nested lists.
        query_size: Number of rows to choose, b, 0 to N.
        generator: CPU generator of the first centres; torch's global one if None.

    Returns:
        Distinct rows, int64, shape ``(b,)``, those of the largest clusters first. Ties go to the lowest row.

    Raises:
        InputError: If ``query_size`` is larger than N, or a value is not finite.

    Reference:
        Lloyd, "Least Squares Quantization in PCM", IEEE Transactions on Information Theory, 1982.

    Example:
        >>> line = torch.tensor([[10.0], [0.0], [12.0], [1.0], [2.0], [11.0], [13.0]])  # centres 11.5 and 1
        >>> kmeans_query(line, 2, torch.Generator().manual_seed(0))
        tensor([2, 3])
    """
    points, _ = as_points(embeddings, [])
    check_query_size(query_size, len(points))
    check_generator(generator)
    if query_size == 0:
        return torch.empty(0, dtype=torch.int64)
    clusters = kmeans(points, query_size, generator)
    rows = torch.arange(len(points))
    smaller = -clusters.members.bincount(minlength=query_size)[clusters.members]
    for key in (clusters.members, smaller, ranks(clusters.members, clusters.sq_distances)):  # the last is the first key
        rows = rows[key[rows].argsort(stable=True)]
    return rows[:query_size]


class KMeans(QueryStrategy):
    """Queries the samples nearest to the centres of b clusters in feature space.

    It looks at no label and no prediction. So it also chooses the first samples of a run.

    Args:
        features: The space of the clusters. ``penultimate`` features of the model, without dropout; the ``inputs`` as
            the model gets them; or the outputs of another network.

    Reference:
        Lloyd, "Least Squares Quantization in PCM", IEEE Transactions on Information Theory, 1982.
    """

    needs_predictions = False

    def __init__(self, features: Features = "penultimate") -> None:
        self._space = FeatureSpace(features, "KMeans")
        self.features = features

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        check_query_size(query_size, len(pool))
        if query_size == 0:
            return torch.empty(0, dtype=torch.int64)
        return kmeans_query(self._space.of_pool(pool), query_size, generator)
