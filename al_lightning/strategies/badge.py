"""BADGE: query gradients that are large and different from each other."""

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike
from al_lightning.inference import PoolPredictor
from al_lightning.strategies.base import (
    QueryStrategy,
    check_finite,
    check_generator,
    check_query_size,
    checked_predictions,
)
from al_lightning.strategies.geometry import GradientEmbeddings

NUM_PROPOSALS = 64  # at a time
MIN_ACCEPTED = 8  # of them, or else the bounds are brought up to date


def badge_query(
    probs: ArrayLike,
    embeddings: ArrayLike,
    query_size: int,
    generator: torch.Generator | None = None,
    include_bias: bool = False,
) -> Tensor:
    """Chooses rows by k-means++ seeding of their gradient embeddings.

    The first centre is the largest gradient. Each further centre is drawn with probability proportional to the squared
    distance to the nearest centre so far. The draws are exact, but a draw costs far less than a pass over all rows. A
    new centre can only make distances smaller, so earlier distances are upper bounds. Rejection sampling against these
    bounds needs the true distances of the proposed rows alone. When few proposals are accepted, one matrix product
    brings all bounds up to date.

    Args:
        probs: Class probabilities, shape ``(N, C)``: a tensor, an array of NumPy or nested lists.
        embeddings: Penultimate features, shape ``(N, D)``, in one of these forms.
        query_size: Number of rows to choose, b, 0 to N.
        generator: CPU generator of the draws; torch's global one if not given.
        include_bias: Whether the gradient with respect to the head's bias counts.

    Returns:
        Distinct rows, int64, shape ``(b,)``, in the order drawn. Rows that coincide with a centre are only drawn,
        uniformly, when nothing else is left.

    Raises:
        InputError: If ``query_size`` is larger than N, a value is not finite, or the arguments do not go together.

    Example:
        >>> probs = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.9, 0.1]])
        >>> embeddings = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> badge_query(probs, embeddings, 2, torch.Generator().manual_seed(0))[0]
        tensor(0)
    """
    probs, embeddings = checked_predictions(probs, embeddings)
    check_query_size(query_size, len(probs))
    check_generator(generator)
    if query_size == 0:
        return torch.empty(0, dtype=torch.int64)
    gradients = GradientEmbeddings(probs, embeddings, include_bias)
    chosen = [int(gradients.sq_norms.argmax())]
    bounds = gradients.nearest_sq_distances(torch.tensor(chosen))  # (N,)
    bounds[chosen] = 0.0
    while len(chosen) < query_size:
        cumulative = bounds.cumsum(0)
        check_finite(cumulative[-1:], "distances of gradient embeddings")  # finite features may be too large to square
        if cumulative[-1] == 0:
            return torch.cat([torch.tensor(chosen), _others(len(probs), chosen, query_size, generator)])
        drawn = _draw(gradients, bounds, cumulative, query_size - len(chosen), generator)
        chosen += drawn.tolist()
        if len(chosen) < query_size:
            bounds = torch.minimum(bounds, gradients.nearest_sq_distances(drawn))
            bounds[drawn] = 0.0
    return torch.tensor(chosen)


def _draw(
    gradients: GradientEmbeddings, bounds: Tensor, cumulative: Tensor, most: int, generator: torch.Generator | None
) -> Tensor:
    """Draws rows exactly, one after the other, as long as rejection sampling against the bounds is worth it.

    A row is proposed with probability proportional to its bound, and accepted with probability true / bound. So the
    probability of an accepted row is proportional to its true squared distance at that moment.

    Returns:
        From 1 to ``most`` distinct rows.
    """
    drawn: list[int] = []
    while len(drawn) < most:
        u = torch.rand(2, NUM_PROPOSALS, dtype=torch.float64, generator=generator)
        # right=True never proposes a row whose bound is zero; the last row with a bound catches u that rounds up to 1
        rows = torch.searchsorted(cumulative, u[0] * cumulative[-1], right=True)
        rows = rows.clamp(max=int(bounds.nonzero()[-1]))
        true = bounds[rows]
        if drawn:
            centres = torch.tensor(drawn)
            true = torch.minimum(true, gradients.sq_distances(rows, centres).amin(dim=1))
            true[torch.isin(rows, centres)] = 0.0
        accepted_below = u[1] * bounds[rows]
        num_accepted = 0
        i = -1
        # the proposals in order; each one that is accepted is a centre for those after it
        while len(drawn) < most and (left := (accepted_below[i + 1 :] < true[i + 1 :]).nonzero()).numel():
            i += 1 + int(left[0])
            drawn.append(int(rows[i]))
            num_accepted += 1
            to_new = gradients.sq_distances(rows, rows[i : i + 1]).squeeze(1)
            true = torch.minimum(true, to_new).masked_fill_(rows == rows[i], 0.0)
        if num_accepted < MIN_ACCEPTED and drawn:
            break
    return torch.tensor(drawn)


def _others(size: int, chosen: list[int], query_size: int, generator: torch.Generator | None) -> Tensor:
    """Draws what is still missing uniformly from the rows not chosen."""
    free = torch.ones(size, dtype=torch.bool)
    free[chosen] = False
    rows = free.nonzero().squeeze(1)
    return rows[torch.randperm(len(rows), generator=generator)[: query_size - len(chosen)]]


class BADGE(QueryStrategy):
    """Queries by k-means++ seeding in the space of gradients (batch active learning by diverse gradient embeddings).

    Args:
        include_bias: Whether the gradient with respect to the head's bias counts; the authors leave it out.

    Reference:
        Ash, Zhang, Krishnamurthy, Langford and Agarwal, "Deep Batch Active Learning by Diverse, Uncertain Gradient
        Lower Bounds", ICLR 2020.
    """

    def __init__(self, include_bias: bool = False) -> None:
        self.include_bias = include_bias

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        check_query_size(query_size, len(pool))
        if query_size == 0:
            return torch.empty(0, dtype=torch.int64)
        probs, embeddings = pool.map(lambda batch: (batch.probs, batch.embeddings))
        return badge_query(probs, embeddings, query_size, generator, include_bias=self.include_bias)
