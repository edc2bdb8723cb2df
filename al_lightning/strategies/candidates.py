"""Spreads a query over candidates: the last step of DropQuery and of ALFA-Mix."""

import warnings

import torch
from torch import Tensor

from al_lightning.strategies.clusters import kmeans, nearest_to_centres

TINY = torch.finfo(torch.float32).tiny


def spread_over(
    embeddings: Tensor, candidates: Tensor, query_size: int, generator: torch.Generator, name: str
) -> Tensor:
    """Chooses the candidates nearest to the centres of clusters, as many clusters as samples to choose.

    Features are scaled to unit length. If clusters are empty because candidates coincide, the first candidates that
    are left take their places. If there are too few candidates, the rest of the query is drawn from the other rows,
    with a warning.

    Args:
        embeddings: Features of the pool, float32 on the CPU, shape ``(N, D)``.
        candidates: Distinct rows, int64, shape ``(K,)``, the best ones first.
        query_size: Number of rows to choose, b, 0 to N.
        generator: CPU generator of all draws.
        name: Name of the strategy, for the warning.

    Returns:
        Distinct rows, int64, shape ``(b,)``.

    Example:
        >>> rows = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0], [5.0, 5.0]])
        >>> query = spread_over(rows, torch.arange(4), 2, torch.Generator().manual_seed(0), "DropQuery")
        >>> sorted(query.tolist())
        [0, 2]
    """
    chosen = candidates
    if len(candidates) > query_size > 0:
        rows = embeddings[candidates]
        rows /= torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=TINY)
        chosen = candidates[nearest_to_centres(kmeans(rows, query_size, generator))]
        left = candidates[~torch.isin(candidates, chosen)]
        chosen = torch.cat([chosen, left[: query_size - len(chosen)]])
    chosen = chosen[:query_size]
    if len(chosen) == query_size:
        return chosen
    # without a number, so that Python says it once a run
    warnings.warn(
        f"{name} finds fewer candidates than are queried: the rest of the query is drawn at random from the pool.",
        stacklevel=2,
    )
    is_other = torch.ones(len(embeddings), dtype=torch.bool)
    is_other[chosen] = False
    others = is_other.nonzero().squeeze(1)
    drawn = torch.randperm(len(others), generator=generator)[: query_size - len(chosen)]
    return torch.cat([chosen, others[drawn]])
