"""ProbCover: query so that balls around labeled samples cover the pool."""

from typing import Literal

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor
from al_lightning.strategies.ball_graph import BallGraph, cover
from al_lightning.strategies.base import QueryStrategy, check_query_size
from al_lightning.strategies.clusters import kmeans
from al_lightning.strategies.feature_space import Features, FeatureSpace
from al_lightning.strategies.geometry import as_points, every_kth, nearest_sq_distances

PURITY = 0.95
SAMPLE = 2000  # rows whose balls say how many are pure: the share is off by less than a hundredth
BELOW = 1 - 1e-5  # the ball ends before the row that would make it impure


def prob_cover_query(embeddings: ArrayLike, labeled_embeddings: ArrayLike, query_size: int, radius: float) -> Tensor:
    r"""Chooses rows one after the other, each of whose balls covers the most rows that are not covered.

    A row :math:`x` is covered by a labeled or chosen row :math:`s` if :math:`\lVert x - s \rVert` is at most the
    radius. When all rows are covered, covering begins again: nothing counts as covered, and the rows chosen before
    cannot be chosen. So no row is chosen twice. The pairs within the radius are kept as a sparse graph, and a pick
    costs only those that it covers.

    Args:
        embeddings: Features of the pool, shape ``(N, D)``: a tensor, an array of NumPy or nested lists. They are used
            as they are; the authors scale features to unit length before.
        labeled_embeddings: Features of the labeled samples, shape ``(M, D)``, in one of these forms; of any shape if
            there are none.
        query_size: Number of rows to choose, b, 0 to N.
        radius: Of the balls; :func:`purity_radius` finds one.

    Returns:
        Distinct rows, int64, shape ``(b,)``, in the order picked. Ties go to the lowest row.

    Raises:
        InputError: If ``query_size`` is larger than N, the radius is negative, a value is not finite, the arguments do
            not go together, or more pairs lie within the radius than fit in memory.

    Reference:
        Yehuda, Dekel, Hacohen and Weinshall, "Active Learning Through a Covering Lens", NeurIPS 2022.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
        >>> prob_cover_query(line, [], 3, 1.1)
        tensor([1, 3, 0])
    """
    points, labeled = as_points(embeddings, labeled_embeddings)
    check_query_size(query_size, len(points))
    if isinstance(radius, str):  # the class takes auto
        raise InputError(
            "Expected `radius` of prob_cover_query to be a number of at least 0, such as that of purity_radius, but "
            f"got {radius!r}."
        )
    _check_radius(radius)
    if query_size == 0:
        return torch.empty(0, dtype=torch.int64)
    graph = BallGraph(points, radius)
    picks = cover(graph, graph.near(labeled), query_size)
    while len(picks) < query_size:
        nothing = torch.zeros(len(points), dtype=torch.bool)
        picks += cover(graph, nothing, query_size - len(picks), taken=picks)
    return torch.tensor(picks)


def _check_radius(radius: float) -> None:
    if isinstance(radius, str) or not 0 <= radius < float("inf"):
        raise InputError(f"Expected `radius` of ProbCover to be auto, or a number of at least 0, but got {radius!r}.")


def purity_radius(
    embeddings: ArrayLike, num_classes: int, generator: torch.Generator | None, purity: float = PURITY
) -> float:
    """Finds the largest radius at which balls around rows are pure.

    K-means with C clusters gives each row a pseudo-label. A ball is pure if all rows in it have the pseudo-label of its
    centre. The radius is the largest at which at least ``purity`` of the balls are pure. Of many rows, only the balls
    around every k-th are looked at.

    Args:
        embeddings: Features, shape ``(N, D)``, N at least 1: a tensor, an array of NumPy or nested lists.
        num_classes: C, at least 2.
        generator: CPU generator of k-means; torch's global one if None.
        purity: Share of the balls, more than 0, up to 1.

    Returns:
        The radius; 0 if all rows coincide.

    Raises:
        InputError: If an argument is out of its range, or a value is not finite.

    Reference:
        Yehuda, Dekel, Hacohen and Weinshall, "Active Learning Through a Covering Lens", NeurIPS 2022, section 3.2.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [2.0], [10.0], [12.0]])  # pseudo-labels 0, 1, 2 and 10, 12
        >>> radius = purity_radius(line, 2, torch.Generator().manual_seed(0))
        >>> round(radius, 3)  # 2 and 10 are the nearest rows of different pseudo-labels
        8.0
    """
    points, _ = as_points(embeddings, [])
    _check_classes(num_classes)
    _check_purity(purity)
    members = kmeans(points, min(num_classes, len(points)), generator).members
    rows = every_kth(torch.arange(len(points)), SAMPLE)
    to_others = torch.full((len(rows),), torch.inf)  # squared distance to the nearest row of another pseudo-label
    for label in members.unique().tolist():
        other = members[rows] != label
        if other.any():
            found = nearest_sq_distances(points[rows[other]], points[members == label])
            to_others[other] = torch.minimum(to_others[other], found)
    most_impure = int((1 - purity) * len(rows) + 1e-9)
    limit = float(to_others.sort().values[most_impure].sqrt())
    return limit * BELOW if limit < float("inf") else 0.0


def _check_classes(num_classes: int) -> None:
    if not hasattr(num_classes, "__index__") or num_classes < 2:
        raise InputError(
            f"Expected `num_classes` of ProbCover to be an integer of at least 2, but got {num_classes!r}."
        )


def _check_purity(purity: float) -> None:
    if not 0 < purity <= 1:
        raise InputError(f"Expected `purity` of ProbCover to be more than 0, up to 1, but got {purity!r}.")


class ProbCover(QueryStrategy):
    """Queries so that balls around labeled samples cover the pool in feature space.

    It looks at no label and no prediction. So it also chooses the first samples of a run.

    Args:
        radius: Of the balls; or ``auto``, the largest at which ``purity`` of them are pure: see
            :func:`~al_lightning.strategies.prob_cover.purity_radius`.
        num_classes: Of ``auto``, the number of pseudo-labels. If not given, it is the number of the model's classes.
            Without any labeled sample there is no fitted model; then it is the query size, at least 2.
        purity: Of ``auto``.
        features: The space of the distances. ``penultimate`` features of the model, without dropout; the ``inputs`` as
            the model gets them; or the outputs of another network.

    Raises:
        InputError: If an argument is out of its range.

    Reference:
        Yehuda, Dekel, Hacohen and Weinshall, "Active Learning Through a Covering Lens", NeurIPS 2022.
    """

    needs_predictions = False

    def __init__(
        self,
        radius: float | Literal["auto"] = "auto",
        num_classes: int | None = None,
        purity: float = PURITY,
        features: Features = "penultimate",
    ) -> None:
        if radius != "auto":
            _check_radius(radius)
        if num_classes is not None:
            _check_classes(num_classes)
        _check_purity(purity)
        self._space = FeatureSpace(features, "ProbCover")
        self.radius = radius
        self.num_classes = num_classes
        self.purity = purity
        self.features = features

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        check_query_size(query_size, len(pool))
        if query_size == 0:
            return torch.empty(0, dtype=torch.int64)
        embeddings, labeled = self._space.of_pool(pool), self._space.of_labeled(pool)
        radius = self.radius
        if radius == "auto":
            radius = purity_radius(embeddings, self._classes(pool, query_size), generator, self.purity)
        return prob_cover_query(embeddings, labeled, query_size, radius)

    def _classes(self, pool: PoolPredictor, query_size: int) -> int:
        if self.num_classes is not None:
            return self.num_classes
        if pool.num_labeled == 0:
            return max(2, query_size)
        first = pool.blocks_at(torch.zeros(1, dtype=torch.int64))
        return pool.map(lambda batch: batch.logits, over=first).shape[1]
