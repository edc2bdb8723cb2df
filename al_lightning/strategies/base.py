"""QueryStrategy, the base of all strategies, and ScoreStrategy, the base of strategies with scores."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike, as_floats, as_probs
from al_lightning.errors import InputError
from al_lightning.inference import Known, PoolPredictor, Predictions


class Answer(NamedTuple):
    """The answer of a strategy to a query."""

    positions: Tensor
    """Positions in the pool, int64, shape ``(b,)``, in the order they were chosen."""
    scores: Tensor | None = None
    """Acquisition scores of the whole pool, float, shape ``(N,)``; None if the strategy does not score samples."""


class QueryStrategy(ABC):
    """Chooses which samples of the pool to label next.

    A strategy holds its parameters and nothing else. All that it knows of a round comes in through :meth:`query`.
    """

    needs_predictions: bool = True
    """Whether queries depend on the predictions of a fitted model. If not, features are enough, and the strategy can
    also choose the first samples of a run."""

    is_rehearsed: bool = True
    """Whether a small query before the first fit shows if all that the strategy needs is there."""

    def rehearsed(self) -> tuple["QueryStrategy", ...]:
        """Returns the strategies that make a small query before the first fit: this one, or those that it uses."""
        return (self,) if self.is_rehearsed else ()

    def check_run(self, known: Known, num_queried: int | None) -> None:  # noqa: B027 (most refuse nothing)
        """Refuses, before the first fit of a run, what a query would refuse later.

        Args:
            known: What the first query will know of the samples besides their inputs.
            num_queried: Number of samples that all queries of the run take; None if it is not known.

        Raises:
            InputError: If the strategy cannot query in such a run.
        """

    @abstractmethod
    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor | tuple[Tensor, Tensor]:
        """Chooses samples.

        Args:
            pool: The fitted model and the N unlabeled samples.
            query_size: Number of samples to choose, b, from 0 to N.
            generator: CPU generator; the only source of randomness of a strategy.

        Returns:
            Distinct positions in the pool, 0 to N - 1, int64, shape ``(b,)``, in the order they were chosen. A strategy
            that scores the pool may return a pair: the positions, and the scores, float, shape ``(N,)``. The run writes
            the scores to queries.csv.

        Raises:
            InputError: If ``query_size`` is larger than the pool or the model's predictions are not finite.
        """

    def answer(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Answer:
        """Returns the choice of :meth:`query`, with the scores of the pool if there are any.

        The loop calls this method. Your own strategy overrides :meth:`query`.

        Args:
            pool: See :meth:`query`.
            query_size: See :meth:`query`.
            generator: See :meth:`query`.

        Raises:
            InputError: If :meth:`query` raises it, or the scores are not one float for each sample.
        """
        returned = self.query(pool, query_size, generator)
        if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], Tensor)):
            return Answer(returned)  # the loop refuses other types
        answer = Answer(*returned)
        if answer.scores is not None:
            _check_scores(answer.scores, len(pool), f"{type(self).__name__}.query")
        return answer

    def diagnose(self, pool: PoolPredictor, query: Tensor) -> Mapping[str, float]:
        """Returns figures about a query that was just made, by name, for diagnostics.csv and TensorBoard.

        The time it takes does not count as time of the query.

        Args:
            pool: As given to :meth:`query`.
            query: The positions that the strategy chose.
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

    def scores(self, pool: PoolPredictor) -> Tensor:
        """Returns the acquisition scores of the whole pool, float, shape ``(N,)``.

        Raises:
            InputError: If :meth:`score` returns anything but one float for each sample of a block.
        """

        def checked(batch: Predictions) -> Tensor:  # a score too few would shift all scores after it
            scores = self.score(batch)
            _check_scores(scores, len(batch), f"{type(self).__name__}.score")
            return scores

        return pool.map(checked)

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        return self._checked_rank(pool, query_size, generator).positions

    def answer(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Answer:
        if type(self).query is not ScoreStrategy.query:  # a subclass has a query of its own
            return super().answer(pool, query_size, generator)
        return self._checked_rank(pool, query_size, generator)

    def rank(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Answer:
        """Chooses the samples of highest score. Override it where ties, or random draws, need more than a score.

        Args:
            pool: See :meth:`query`.
            query_size: From 1 to N.
            generator: See :meth:`query`.
        """
        scores = self.scores(pool)
        return Answer(top_k(scores, query_size), scores)

    def _checked_rank(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Answer:
        check_query_size(query_size, len(pool))
        if query_size == 0:
            return Answer(torch.empty(0, dtype=torch.int64))
        return self.rank(pool, query_size, generator)


def _check_scores(scores: object, size: int, source: str) -> None:
    """Raises :class:`InputError` unless scores are floats of shape ``(size,)``."""
    if isinstance(scores, Tensor) and scores.shape == (size,) and scores.is_floating_point():
        return
    got = f"{scores.dtype} of shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
    what = "return a float tensor" if source.endswith(".score") else "return scores, a float tensor"
    raise InputError(f"Expected {source} to {what} of shape ({size},), but got {got}.")


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


def checked_predictions(probs: ArrayLike, embeddings: ArrayLike, whose: str = "") -> tuple[Tensor, Tensor]:
    """Returns class probabilities and features of the same samples on the CPU, float32 or float64 as they are.

    Args:
        probs: Shape ``(N, C)``: a tensor, an array of NumPy or nested lists.
        embeddings: Shape ``(N, D)``, in one of these forms.
        whose: Says in messages which samples they are of, such as `` of labeled samples``.

    Raises:
        InputError: If a value is not finite or out of range, or the two do not go together.
    """
    probs = as_probs(probs, f"probabilities{whose}").detach().cpu()
    embeddings = as_floats(embeddings, f"embeddings{whose}", "(N, D)").detach().cpu()
    if len(probs) != len(embeddings):
        raise InputError(
            f"Expected a row of embeddings{whose} for each of {len(probs)} rows of probabilities, but got "
            f"{len(embeddings)}."
        )
    check_finite(probs, f"probabilities{whose}")
    check_finite(embeddings, f"embeddings{whose}")
    return probs, embeddings


def top_k(scores: ArrayLike, k: int) -> Tensor:
    """Positions of the k highest scores, highest first; ties go to the lowest position.

    Warns if more than k samples share the score at the cut. Then their order decides the whole query, and not the
    model.

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
