"""DropQuery: query where the prediction changes when features are dropped, spread over the pool."""

from collections.abc import Callable

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike, as_floats
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor
from al_lightning.strategies.base import QueryStrategy, check_finite, check_generator, check_query_size
from al_lightning.strategies.candidates import spread_over

BLOCK_ROWS = 4096


def drop_query(
    embeddings: ArrayLike,
    head: Callable[[Tensor], Tensor],
    query_size: int,
    generator: torch.Generator,
    num_draws: int = 3,
    dropout: float = 0.75,
    candidates_per_pick: int = 25,
) -> Tensor:
    """Chooses rows whose prediction changes when features are dropped, spread by k-means.

    A row is a candidate if its prediction changes in more than half of the draws. While there are fewer than
    ``candidates_per_pick`` times b candidates, one change less is enough, down to a single one. The features of the
    candidates are scaled to unit length and clustered into b clusters. The query is the row nearest to the centre of
    each cluster.

    Args:
        embeddings: Penultimate features, shape ``(N, D)``: a tensor, an array of NumPy or nested lists.
        head: Maps features ``(K, D)`` to logits ``(K, C)``; a linear layer, for example.
        query_size: Number of rows to choose, b, 0 to N.
        generator: CPU generator of all draws.
        num_draws: Number of draws of dropout, M. Each row has masks of its own.
        dropout: Probability that a feature is dropped. The others are scaled up, as dropout does.
        candidates_per_pick: Candidates to look for, for each row of the query.

    Returns:
        Distinct rows, int64, shape ``(b,)``. If no draw changes enough predictions, the rest is drawn at random, with a
        warning.

    Raises:
        InputError: If an argument is out of range, or a value is not finite.

    Reference:
        Gupte, Aklilu, Nirschl and Yeung-Levy, "Revisiting Active Learning in the Era of Vision Foundation Models",
        TMLR 2024.

    Example:
        >>> head = torch.nn.Linear(2, 2, bias=False)
        >>> _ = head.weight.data.copy_(torch.eye(2))
        >>> embeddings = torch.tensor([[9.0, 0.0], [4.0, 5.0], [8.0, 0.0]])  # only the second can change
        >>> drop_query(embeddings, head, 1, torch.Generator().manual_seed(0))
        tensor([1])
    """
    embeddings = as_floats(embeddings, "embeddings", "(N, D)").detach().cpu().float()
    check_query_size(query_size, len(embeddings))
    check_finite(embeddings, "embeddings")
    check_generator(generator)
    _check(num_draws, dropout, candidates_per_pick)
    if query_size == 0:
        return torch.empty(0, dtype=torch.int64)
    changes = count_changes(embeddings, head, generator, num_draws, dropout)
    enough = num_draws // 2 + 1
    while enough > 1 and int((changes >= enough).sum()) < candidates_per_pick * query_size:
        enough -= 1
    candidates = (changes >= enough).nonzero().squeeze(1)
    candidates = candidates[changes[candidates].argsort(descending=True, stable=True)]
    return spread_over(embeddings, candidates, query_size, generator, "DropQuery")


def count_changes(
    embeddings: Tensor, head: Callable[[Tensor], Tensor], generator: torch.Generator, num_draws: int, dropout: float
) -> Tensor:
    """Counts the draws of dropout in which the predicted class of a row differs from the one without dropout.

    Args:
        embeddings: Float32 on the CPU, shape ``(N, D)``.
        head: See :func:`drop_query`.
        generator: CPU generator of the masks.
        num_draws: Number of draws, M.
        dropout: See :func:`drop_query`.

    Returns:
        int64, shape ``(N,)``, 0 to M.
    """
    changes = torch.zeros(len(embeddings), dtype=torch.int64)
    with torch.no_grad():
        for start in range(0, len(embeddings), BLOCK_ROWS):
            rows = embeddings[start : start + BLOCK_ROWS]
            predicted = _predicted(head, rows)
            for _ in range(num_draws):
                kept = torch.rand(rows.shape, generator=generator) >= dropout
                changes[start : start + BLOCK_ROWS] += _predicted(head, rows * kept / (1 - dropout)) != predicted
    return changes


def _predicted(head: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    logits = head(rows)
    check_finite(logits, "logits")
    return logits.max(dim=1).indices.cpu()  # argmax takes ten times as long


def _check(num_draws: int, dropout: float, candidates_per_pick: int) -> None:
    for name, value in (("num_draws", num_draws), ("candidates_per_pick", candidates_per_pick)):
        if value < 1:
            raise InputError(f"Expected `{name}` of DropQuery to be at least 1, but got {value}.")
    if not 0 < dropout < 1:
        raise InputError(f"Expected `dropout` of DropQuery to be above 0 and below 1, but got {dropout}.")


class DropQuery(QueryStrategy):
    """Queries samples whose prediction changes when features are dropped, spread over the pool by k-means.

    The dropout is of the query alone: the model needs none. See :func:`drop_query`.

    Args:
        num_draws: Number of draws of dropout, M, at least 1.
        dropout: Probability that a feature is dropped, above 0 and below 1.
        candidates_per_pick: Candidates to look for, for each sample of the query, at least 1.

    Raises:
        InputError: If an argument is out of range.

    Reference:
        Gupte, Aklilu, Nirschl and Yeung-Levy, "Revisiting Active Learning in the Era of Vision Foundation Models",
        TMLR 2024.
    """

    def __init__(self, num_draws: int = 3, dropout: float = 0.75, candidates_per_pick: int = 25) -> None:
        _check(num_draws, dropout, candidates_per_pick)
        self.num_draws = num_draws
        self.dropout = dropout
        self.candidates_per_pick = candidates_per_pick

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        check_query_size(query_size, len(pool))
        if query_size == 0:
            return torch.empty(0, dtype=torch.int64)
        return drop_query(
            pool.embeddings(),
            pool.head,
            query_size,
            generator,
            self.num_draws,
            self.dropout,
            self.candidates_per_pick,
        )
