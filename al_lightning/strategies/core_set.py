"""Core-Set: query so that every sample has a labeled one nearby in feature space."""

from collections.abc import Mapping

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor
from al_lightning.strategies.base import QueryStrategy, check_finite, check_query_size
from al_lightning.strategies.feature_space import Features, FeatureSpace
from al_lightning.strategies.geometry import (
    as_points,
    every_kth,
    nearest_sq_distances,
    outlier_percentiles,
    upper_bounds,
)

FIRST_CENTRES = 256  # labeled rows that bound all distances
BLOCK_ROWS = 1024  # rows that picks are made from at a time
MOST_ROWS = 2**14  # after growing, where distances tell little
PICKED = -1.0  # below all distances, also those of rows that coincide with a centre


def k_center_greedy(embeddings: ArrayLike, labeled_embeddings: ArrayLike, query_size: int) -> Tensor:
    """Chooses rows one after the other, each the farthest from all centres so far.

    The labeled rows are the first centres. The plain algorithm compares all rows with each new centre. This function
    picks the same rows and leaves out nearly all of that work. The distance to some of the centres is an upper bound of
    the distance to the nearest one. A row whose bound is below the largest known distance cannot be the farthest.
    Rounding is the limit. If two squared distances differ by less than a millionth of the squared spread of all rows,
    either centre may count as the nearest.

    Args:
        embeddings: Features of the pool, shape ``(N, D)``: a tensor, an array of NumPy or nested lists. They are
            compared in float32; the mean of float64 features is taken off before.
        labeled_embeddings: Features of the labeled samples, shape ``(M, D)``, in one of these forms. If there are none,
            the row nearest to the mean is picked first.
        query_size: Number of rows to choose, b, 0 to N.

    Returns:
        Distinct rows, int64, shape ``(b,)``, in the order picked. Ties go to the lowest row; rows that coincide with
        centres come last.

    Raises:
        InputError: If ``query_size`` is larger than N, a value is not finite, or the arguments do not go together.

    Example:
        >>> line = torch.arange(1.0, 11.0)[:, None]
        >>> k_center_greedy(line, torch.zeros(1, 1), 3) + 1  # farthest is 10, then 5, then 2 of the tie 2, 3, 7, 8
        tensor([10,  5,  2])
    """
    embeddings, labeled_embeddings = as_points(embeddings, labeled_embeddings)
    check_query_size(query_size, len(embeddings))
    if query_size == 0:
        return torch.empty(0, dtype=torch.int64)
    picks: list[int] = []
    if len(labeled_embeddings) == 0:
        picks.append(int((embeddings - embeddings.mean(dim=0)).square().sum(dim=1).argmin()))
        labeled_embeddings = embeddings[picks]

    # some labeled rows bound all rows; all labeled rows are only asked about rows that may be the farthest
    bounds = upper_bounds(embeddings, every_kth(labeled_embeddings, FIRST_CENTRES))  # (N,)
    checked = torch.zeros(len(embeddings), dtype=torch.bool)  # rows that were compared with all labeled ones
    bounds[picks] = PICKED
    size = BLOCK_ROWS
    while len(picks) < query_size:
        block, outside = _split(bounds, size)
        rows = embeddings[block]  # (R, D)
        new = ~checked[block]
        if new.any():
            bounds[block[new]] = torch.minimum(bounds[block[new]], nearest_sq_distances(rows[new], labeled_embeddings))
            checked[block] = True
        distances = bounds[block]  # (R,)
        if picks:
            distances = torch.minimum(distances, nearest_sq_distances(rows, embeddings[picks]))
        num_before = len(picks)
        while len(picks) < query_size:
            i = int(distances.argmax())  # the first of equals, which is the lowest row
            if (-float(distances[i]), int(block[i])) > outside:
                break  # a row outside the block may be farther
            picks.append(int(block[i]))
            distances = torch.minimum(distances, (rows - rows[i]).square().sum(dim=1))
            distances[i] = PICKED
        bounds[block] = distances
        # where rows coincide by the thousand, distances are all the same and bounds tell nothing
        size = BLOCK_ROWS if len(picks) > num_before else min(2 * size, MOST_ROWS)
    return torch.tensor(picks)


def farthest_rows(embeddings: Tensor, labeled_embeddings: Tensor, num_rows: int) -> Tensor:
    """Finds the rows that are farthest from all labeled ones. Ties go to the lowest positions.

    Args:
        embeddings: Features of the pool, float32, shape ``(N, D)``.
        labeled_embeddings: Features of the labeled samples, float32, shape ``(M, D)``, M at least 1.
        num_rows: How many, 0 to N.

    Returns:
        Rows, int64, shape ``(num_rows,)``, farthest first.

    Example:
        >>> farthest_rows(torch.tensor([[1.0], [9.0], [-4.0]]), torch.zeros(1, 1), 2)
        tensor([1, 2])
    """
    if num_rows == 0:
        return torch.empty(0, dtype=torch.int64)
    bounds = upper_bounds(embeddings, every_kth(labeled_embeddings, FIRST_CENTRES))
    size = num_rows + BLOCK_ROWS
    while True:
        block, outside = _split(bounds, size)
        distances = nearest_sq_distances(embeddings[block], labeled_embeddings)
        order = distances.argsort(descending=True, stable=True)[:num_rows]  # of equals the first, which are the lowest
        if (-float(distances[order[-1]]), int(block[order[-1]])) < outside:  # no row outside the block is farther
            return block[order]
        size *= 2


def _split(bounds: Tensor, size: int) -> tuple[Tensor, tuple[float, int]]:
    """Splits rows by their bounds.

    Returns:
        The rows with the ``size`` highest bounds, ascending; of equal bounds, the lowest rows. Also a pair for the best
        remaining row: its negated bound, and the row. Smaller pairs come first in the greedy order.
    """
    if size >= len(bounds):
        return torch.arange(len(bounds)), (torch.inf, 0)
    order = bounds.argsort(descending=True, stable=True)
    best_left = int(order[size])
    return order[:size].sort().values, (-float(bounds[best_left]), best_left)


class CoreSet(QueryStrategy):
    """Queries by k-center greedy from the labeled set: each pick is the sample farthest from all labeled ones.

    Distances are Euclidean.

    Args:
        features: The space in which distances are measured. ``penultimate`` features of the model, without dropout; the
            ``inputs`` as the model gets them; or the outputs of another network, an ``nn.Module`` such as
            :class:`~al_lightning.models.PretrainedMLP`.
        trim: Share of the pool, in [0, 1), that is passed over: the samples farthest from the labeled ones when the
            query starts. Their number is rounded down, and leaves enough samples for the query. If nothing is
            labeled, no sample is passed over.
        outliers: Whether to report in diagnostics.csv how far out in the pool the query lies:
            ``core_set_outlier_percentile``, the mean of :func:`~al_lightning.strategies.geometry.outlier_percentiles`
            in these features, in [0, 1]. A random query has 0.5.

    Raises:
        InputError: If an argument is out of range.

    Reference:
        Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", ICLR 2018.
    """

    needs_predictions = False

    def __init__(
        self,
        features: Features = "penultimate",
        trim: float = 0.0,
        outliers: bool = False,
    ) -> None:
        if not 0 <= trim < 1:
            raise InputError(f"Expected `trim` of CoreSet to be from 0 to less than 1, but got {trim}.")
        self._space = FeatureSpace(features, "CoreSet")
        self.features = features
        self.trim = trim
        self.outliers = outliers

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        check_query_size(query_size, len(pool))
        if query_size == 0:
            return torch.empty(0, dtype=torch.int64)
        embeddings, labeled = self._space.of_pool(pool), self._space.of_labeled(pool)
        num_trimmed = min(int(self.trim * len(pool)), len(pool) - query_size) if len(labeled) else 0
        if num_trimmed == 0:
            return k_center_greedy(embeddings, labeled, query_size)
        check_finite(embeddings, "embeddings")
        check_finite(labeled, "embeddings of labeled samples")
        inside = torch.ones(len(pool), dtype=torch.bool)
        inside[farthest_rows(embeddings, labeled, num_trimmed)] = False
        rows = inside.nonzero().squeeze(1)
        return rows[k_center_greedy(embeddings[rows], labeled, query_size)]

    def diagnose(self, pool: PoolPredictor, query: Tensor) -> Mapping[str, float]:
        if not self.outliers:
            return {}
        percentiles = outlier_percentiles(self._space.of_pool(pool), query)
        return {"core_set_outlier_percentile": float(percentiles.mean())}
