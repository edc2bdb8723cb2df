"""UHerding: query so that the samples of which the model is not sure are covered by kernels around labeled samples."""

from typing import Literal

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike, as_floats
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor
from al_lightning.strategies.base import QueryStrategy, check_finite, check_query_size
from al_lightning.strategies.feature_space import Features, FeatureSpace
from al_lightning.strategies.geometry import COINCIDENT, every_kth
from al_lightning.strategies.margin import margin_score
from al_lightning.strategies.max_herding import check_reference_size, draw_references, max_herding
from al_lightning.strategies.temperature import labeled_temperature
from al_lightning.strategies.unit_length import UnitRows

Auto = Literal["auto"]

LEAST_BANDWIDTH = 0.05
LEAST_TEMPERATURE = 1.0  # features that were trained on the labels separate them too well, and the rule finds less
ROWS = 2000  # labeled samples whose nearest neighbour is searched
BLOCK_ROWS = 256


def uherding_query(
    logits: ArrayLike,
    embeddings: ArrayLike,
    labeled_logits: ArrayLike,
    labeled_embeddings: ArrayLike,
    labeled_targets: Tensor,
    query_size: int,
    bandwidth: float | Auto = "auto",
    temperature: float | Auto = "auto",
    references: Tensor | None = None,
) -> Tensor:
    r"""Chooses rows one after the other, each of which adds the most to the coverage of uncertain rows.

    It is :func:`~al_lightning.max_herding` with the kernel ``rbf`` and the weights

    .. math:: w(x) = 1 - (p_{(1)}(x) - p_{(2)}(x)), \qquad p = \mathrm{softmax}(\text{logits} / T)

    Args:
        logits: Logits of the pool, shape ``(N, C)``: a tensor, an array of NumPy or nested lists.
        embeddings: Features of the pool, shape ``(N, D)``, in one of these forms.
        labeled_logits: Logits of the labeled samples, shape ``(M, C)``; of any shape if there are none.
        labeled_embeddings: Features of the labeled samples, shape ``(M, D)``; the same holds.
        labeled_targets: Class indices of the labeled samples, int64, shape ``(M,)``.
        query_size: Number of rows to choose, b, 0 to N.
        bandwidth: A distance on the unit sphere, above 0; ``auto`` is :func:`labeled_bandwidth`.
        temperature: T, above 0; ``auto`` is :func:`~al_lightning.strategies.temperature.labeled_temperature`, and at
            least 1.
        references: Rows that stand for the pool in the mean, int64, shape ``(R,)``; all if not given.

    Returns:
        Distinct rows, int64, shape ``(b,)``, in the order picked. Ties go to the lowest row.

    Raises:
        InputError: If ``query_size`` is larger than N, a value is not finite or out of range, or the arguments do not
            go together.

    Reference:
        Bae, Oliveira and Sutherland, "Uncertainty Herding: One Active Learning Method for All Label Budgets", ICLR
        2025.

    Example:
        >>> angles = torch.tensor([0.0, 0.1, 0.2, 1.5])
        >>> embeddings = torch.stack([angles.cos(), angles.sin()], dim=1)
        >>> logits = [[9.0, 0.0], [9.0, 0.0], [9.0, 0.0], [1.0, 0.0]]  # the model is not sure of the last row
        >>> uherding_query(logits, embeddings, [], [], torch.tensor([]), 2, bandwidth=0.3)
        tensor([3, 1])
    """
    logits = as_floats(logits, "logits", "(N, C)").detach().cpu().double()
    points = as_floats(embeddings, "embeddings", "(N, D)").detach().cpu()
    _check_positive(bandwidth, "bandwidth", "uherding_query")
    _check_positive(temperature, "temperature", "uherding_query")
    check_query_size(query_size, len(points))
    check_finite(logits, "logits")
    if len(logits) != len(points):
        raise InputError(f"Expected logits of each of {len(points)} rows of embeddings, but got {len(logits)}.")
    sizes = len(labeled_logits), len(labeled_embeddings), len(labeled_targets)
    if len(set(sizes)) > 1:
        raise InputError(
            "Expected as many logits, embeddings and classes of labeled samples, but got {}, {} and {}.".format(*sizes)
        )
    if query_size == 0:
        return torch.empty(0, dtype=torch.int64)
    if sizes[0] == 0:  # of whatever shape
        labeled_logits, labeled_embeddings, labeled_targets = logits[:0], points[:0], torch.empty(0, dtype=torch.int64)
    if temperature == "auto":
        found: float = labeled_temperature(labeled_embeddings, labeled_targets, labeled_logits)
        temperature = found if found > LEAST_TEMPERATURE else LEAST_TEMPERATURE
    if bandwidth == "auto":
        bandwidth = labeled_bandwidth(labeled_embeddings)
    weights = (1 + margin_score((logits / temperature).softmax(dim=1))).clamp(min=0)
    return max_herding(points, labeled_embeddings, query_size, bandwidth, weights=weights, references=references)


def labeled_bandwidth(labeled_embeddings: ArrayLike) -> float:
    """The median distance of a labeled sample to its nearest labeled neighbour, on features of unit length.

    The bandwidth falls as labels come in, and the query goes from coverage to uncertainty. The rule is ours. The
    authors take the smallest distance of any two labeled samples. There, one pair of near-duplicates makes the kernel
    so narrow that only the weights matter. The median of many samples hardly changes.

    Args:
        labeled_embeddings: Features, shape ``(M, D)``. Of more than 2,000 samples, every k-th looks for its neighbour.

    Returns:
        The median, at least 0.05. Samples that coincide are no neighbours. Without two that differ, it is 1.

    Raises:
        InputError: If a value is not finite.

    Example:
        >>> round(labeled_bandwidth([[1.0, 0.0], [0.0, 1.0], [0.0, 5.0]]), 3)  # the last two have one direction
        1.414
    """
    features = as_floats(labeled_embeddings, "embeddings of labeled samples", "(M, D)").detach().cpu()
    check_finite(features, "embeddings of labeled samples")
    centres = UnitRows(features).double(slice(None))
    if len(centres) < 2:
        return 1.0
    sq_norms = centres.square().sum(dim=1)
    nearest = []
    for block in every_kth(torch.arange(len(centres)), ROWS).split(BLOCK_ROWS):
        sq_distances = sq_norms[block, None] + sq_norms - 2 * centres[block] @ centres.T
        nearest.append(sq_distances.masked_fill_(sq_distances <= COINCIDENT, torch.inf).amin(dim=1))
    distances = torch.cat(nearest)
    distances = distances[distances.isfinite()].sqrt()
    return max(LEAST_BANDWIDTH, float(distances.quantile(0.5))) if len(distances) else 1.0


def _check_positive(value: float | str, argument: str, name: str) -> None:
    if value != "auto" and not (
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")
    ):
        raise InputError(f"Expected `{argument}` of {name} to be auto or a positive number, but got {value!r}.")


class UHerding(QueryStrategy):
    """Queries so that uncertain samples are covered by kernels around labeled samples in feature space.

    The bandwidth and the temperature follow the labels. With few labels the query resembles that of MaxHerding, and
    with many that of Margin. Both rules are ours and not those of the authors; see :func:`labeled_bandwidth` and
    :func:`~al_lightning.strategies.temperature.labeled_temperature`. The temperature is at least 1, because
    features that were trained on the labels would make it too low.

    Args:
        bandwidth: Of the kernel, a distance between features of unit length, or ``auto``.
        temperature: By which logits are divided, or ``auto``.
        reference_size: The coverage is a mean over so many samples of the pool, drawn for each query; None for all.
        features: The space of the distances. ``penultimate`` features of the model, without dropout; the ``inputs`` as
            the model gets them; or the outputs of another network.

    Raises:
        InputError: If an argument is out of its range.

    Reference:
        Bae, Oliveira and Sutherland, "Uncertainty Herding: One Active Learning Method for All Label Budgets", ICLR
        2025.
    """

    def __init__(
        self,
        bandwidth: float | Auto = "auto",
        temperature: float | Auto = "auto",
        reference_size: int | None = 10_000,
        features: Features = "penultimate",
    ) -> None:
        _check_positive(bandwidth, "bandwidth", "UHerding")
        _check_positive(temperature, "temperature", "UHerding")
        check_reference_size(reference_size, "UHerding")
        self._space = FeatureSpace(features, "UHerding")
        self.bandwidth: float | Auto = bandwidth
        self.temperature: float | Auto = temperature
        self.reference_size = reference_size
        self.features = features

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        check_query_size(query_size, len(pool))
        if query_size == 0:
            return torch.empty(0, dtype=torch.int64)
        return uherding_query(
            pool.map(lambda batch: batch.logits),
            self._space.of_pool(pool),
            pool.map_labeled(lambda batch: batch.logits),
            self._space.of_labeled(pool),
            pool.labeled_targets if pool.num_labeled else torch.empty(0, dtype=torch.int64),
            query_size,
            self.bandwidth,
            self.temperature,
            references=draw_references(len(pool), self.reference_size, generator),
        )
