"""QueryStrategy: what every strategy is, and ScoreStrategy: what most of them are."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike, as_floats
from al_lightning.errors import InputError
from al_lightning.inference.predictor import PoolPredictor, Predictions


class QueryStrategy(ABC):
    """Chooses which samples of the pool to label next.

    A strategy holds its parameters and nothing else: what it knows of a round comes in through :meth:`query`.
    """

    @abstractmethod
    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        """Chooses samples.

        Args:
            pool: The fitted model and the N unlabeled samples.
            query_size: Number of samples to choose, b, from 0 to N.
            generator: CPU generator; the only source of randomness of a strategy.

        Returns:
            Distinct positions in the pool, 0 to N - 1, int64, shape ``(b,)``, in the order they were chosen.

        Raises:
            InputError: If ``query_size`` is larger than the pool or the model's predictions are not finite.
        """

    def diagnose(self, pool: PoolPredictor, query: Tensor) -> Mapping[str, float]:
        """Returns figures about a query that was just made, by name, for diagnostics.csv and TensorBoard.

        The time it takes is not counted as that of the query.

        Args:
            pool: As given to :meth:`query`.
            query: What that returned.
        """
        return {}


class ScoreStrategy(QueryStrategy):
    """Queries the samples of highest acquisition score. Ties go to the lowest position."""

    @abstractmethod
    def score(self, batch: Predictions) -> Tensor:
        """Scores one block of the pool.

        Args:
            batch: The model's predictions on B samples.

        Returns:
            Float tensor of shape ``(B,)``; the highest scores are queried first.
        """

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        check_query_size(query_size, len(pool))
        if query_size == 0:
            return torch.empty(0, dtype=torch.int64)
        pool.scores = pool.map(self._checked_score)
        return top_k(pool.scores, query_size)

    def _checked_score(self, batch: Predictions) -> Tensor:
        """Scores a block; a score too few would shift all that follow, and buy the wrong labels."""
        scores, size = self.score(batch), len(batch)
        if not isinstance(scores, Tensor) or scores.shape != (size,) or not scores.is_floating_point():
            got = (
                f"{scores.dtype} of shape {tuple(scores.shape)}"
                if isinstance(scores, Tensor)
                else type(scores).__name__
            )
            raise InputError(
                f"Expected {type(self).__name__}.score to return a float tensor of shape ({size},), but got {got}."
            )
        return scores


def check_query_size(query_size: int, pool_size: int) -> None:
    """Raises :class:`InputError` if there are not so many samples in the pool, or it is no integer."""
    if not hasattr(query_size, "__index__"):
        raise InputError(f"Expected `query_size` to be an integer, but got {query_size!r}.")
    if not 0 <= query_size <= pool_size:
        raise InputError(f"Expected `query_size` to be from 0 to the pool size {pool_size}, but got {query_size}.")


def check_generator(generator: torch.Generator | None) -> None:
    """Raises :class:`InputError` unless it is None or a generator on the CPU."""
    if generator is None or (isinstance(generator, torch.Generator) and generator.device.type == "cpu"):
        return
    got = f"one of {generator.device}" if isinstance(generator, torch.Generator) else repr(generator)
    raise InputError(f"Expected `generator` to be a torch.Generator of the CPU, but got {got}.")


def check_finite(values: Tensor, name: str) -> None:
    """Raises :class:`InputError` unless all values are finite.

    NaN sorts first in some functions and last in others: a strategy that lets it pass buys the wrong labels in silence.
    """
    if values.sum().isfinite():  # NaN and infinity survive a sum, which costs a fifth of the check of each value
        return
    if not values.isfinite().all():
        rows = (
            int((~values.isfinite()).flatten(1).any(1).sum()) if values.dim() > 1 else int((~values.isfinite()).sum())
        )
        raise InputError(f"Expected finite {name}, but got NaN or infinity in {rows} of {len(values)} samples.")


def top_k(scores: ArrayLike, k: int) -> Tensor:
    """Positions of the k highest scores, highest first; ties go to the lowest position.

    Warns if more than k samples share the score at the cut: then their order decides about the whole query, and not
    the model.

    Args:
        scores: Finite scores, shape ``(N,)``: a tensor, an array of NumPy or a list.
        k: How many, 0 to N.

    Returns:
        int64 tensor of shape ``(k,)``.

    Raises:
        InputError: If a score is not finite, or k is not from 0 to N.

    Example:
        >>> top_k(torch.tensor([0.1, 0.7, 0.3, 0.7]), 3)
        tensor([1, 3, 2])
    """
    scores = as_floats(scores, "acquisition scores", "(N)")
    check_query_size(k, len(scores))
    check_finite(scores, "acquisition scores")
    if k == 0:
        return torch.empty(0, dtype=torch.int64)
    cut = scores.topk(k, sorted=False).values.min()
    candidates = (scores >= cut).nonzero().squeeze(1)  # ascending, at least k of them
    if int((scores == cut).sum()) > k:
        # without a number, so that Python says it once a run
        warnings.warn(
            "More samples of the pool share the acquisition score at the cut than are queried: their order in the pool "
            "decides, not the model.",
            stacklevel=2,
        )
    return candidates[scores[candidates].argsort(descending=True, stable=True)[:k]]
