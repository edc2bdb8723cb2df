"""Stochastic: draw a query by the scores of another strategy, in place of the highest scores."""

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike, as_floats
from al_lightning.errors import InputError
from al_lightning.inference import Known, PoolPredictor
from al_lightning.strategies.base import (
    QueryStrategy,
    ScoreStrategy,
    check_finite,
    check_generator,
    check_query_size,
    top_k,
)

Form = Literal["power", "softmax", "softrank"]
ROUNDING = 1e-6  # a score of 0 may be rounded to this far below
TINY = torch.finfo(torch.float64).tiny


def stochastic_top_k(
    scores: ArrayLike, k: int, generator: torch.Generator | None, beta: float = 1.0, form: Form = "power"
) -> Tensor:
    r"""Draws k positions without replacement, with a probability that grows with the score.

    Each draw takes a position that is left with a probability proportional to its weight :math:`w`:

    .. math::
        w_\text{power} = s^\beta \qquad w_\text{softmax} = e^{\beta s} \qquad w_\text{softrank} = r^{-\beta}

    :math:`r` is the rank of the score :math:`s`: 1 for the highest. Equal scores share the mean of their ranks. All
    draws together are one top-k: of :math:`\log w` plus a Gumbel variable for each position.

    Args:
        scores: Finite scores, shape ``(N,)``: a tensor, an array of NumPy or a list. ``power`` needs scores of at
            least 0, and takes scores down to -1e-6 for a 0 that was rounded.
        k: How many, 0 to N.
        generator: CPU generator of the draws; torch's global one if None.
        beta: Weight of the score, above 0. With infinity it is :func:`~al_lightning.strategies.base.top_k`.
        form: The weights. With ``power``, positions whose score is 0 come last, in random order.

    Returns:
        int64 tensor of shape ``(k,)``, in the order drawn. A smaller k gives the beginning.

    Raises:
        InputError: If a score is not finite or is negative with ``power``, or another argument is out of range.

    Reference:
        Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron and Gal, "Stochastic Batch Acquisition: A Simple
        Baseline for Deep Active Learning", TMLR 2023.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> draws = torch.cat([stochastic_top_k([3.0, 1.0, 0.0], 1, generator) for _ in range(1000)])
        >>> draws.bincount(minlength=3)  # 750, 250 and 0 are expected
        tensor([780, 220,   0])
    """
    scores = as_floats(scores, "acquisition scores", "(N)").detach().cpu().double()
    check_query_size(k, len(scores))
    check_finite(scores, "acquisition scores")
    check_generator(generator)
    _check_beta(beta)
    _check_form(form)
    if form == "power" and len(scores) and float(scores.min()) < -ROUNDING:
        raise InputError(
            f"Expected acquisition scores of at least 0 for the form power, but got {float(scores.min()):.3g}; the "
            "forms softmax and softrank take any scores."
        )
    if beta == torch.inf:
        return top_k(scores, k)
    # as many draws as positions, so that a smaller k is the beginning of a larger one
    exponential = -torch.log1p(-torch.rand(len(scores), dtype=torch.float64, generator=generator))
    gumbel = -exponential.clamp(min=TINY).log()
    if form != "power":
        return top_k(_mixed(scores if form == "softmax" else -_ranks(scores).log(), gumbel, beta), k)
    positive, zero = (scores > 0).nonzero().squeeze(1), (scores <= 0).nonzero().squeeze(1)
    num_positive = min(k, len(positive))
    first = top_k(_mixed(scores[positive].log(), gumbel[positive], beta), num_positive)
    return torch.cat([positive[first], zero[top_k(gumbel[zero], k - num_positive)]])


def _mixed(log_weights: Tensor, gumbel: Tensor, beta: float) -> Tensor:
    """Returns ``beta * log_weights + gumbel``, or a multiple that does not overflow."""
    return beta * log_weights + gumbel if beta <= 1 else log_weights + gumbel / beta


def _ranks(scores: Tensor) -> Tensor:
    """Ranks of scores, 1 for the highest, float64, shape ``(N,)``. Equal scores share the mean of their ranks."""
    _, group, sizes = scores.unique(return_inverse=True, return_counts=True)  # ascending
    above = sizes.sum() - sizes.cumsum(0)
    return (above + (sizes + 1) / 2)[group].double()


def _check_beta(beta: float) -> None:
    if not beta > 0:
        raise InputError(f"Expected `beta` of Stochastic to be above 0, but got {beta}.")


def _check_form(form: str) -> None:
    if form not in get_args(Form):
        raise InputError(f"Expected `form` of Stochastic to be one of {', '.join(get_args(Form))}, but got `{form}`.")


class Stochastic(QueryStrategy):
    """Draws the query by the scores of another strategy, without replacement, in place of the highest scores.

    The highest scores of a pool often belong to samples that are alike. Draws spread over more of the pool, at no cost.

    Args:
        base: The strategy whose scores count.
        beta: Weight of the scores, above 0; see :func:`stochastic_top_k`.
        form: How a weight is made of a score: ``power``, ``softmax`` or ``softrank``. ``power`` needs scores of at
            least 0. The scores of Margin are below 0, and need one of the others.

    Raises:
        InputError: If an argument is out of range. When queried, if the scores do not suit the form.

    Reference:
        Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron and Gal, "Stochastic Batch Acquisition: A Simple
        Baseline for Deep Active Learning", TMLR 2023.
    """

    def __init__(self, base: ScoreStrategy, beta: float = 1.0, form: Form = "power") -> None:
        if not isinstance(base, ScoreStrategy):
            raise InputError(
                f"Expected `base` of Stochastic to be a strategy with scores, but got {type(base).__name__}."
            )
        _check_beta(beta)
        _check_form(form)
        self.base = base
        self.beta = beta
        self.form: Form = form
        self.needs_predictions = base.needs_predictions
        self.is_rehearsed = base.is_rehearsed

    def check_run(self, known: Known, num_queried: int | None) -> None:
        self.base.check_run(known, num_queried)

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor | tuple[Tensor, Tensor]:
        check_query_size(query_size, len(pool))
        if query_size == 0:
            return torch.empty(0, dtype=torch.int64)
        scores = self.base.scores(pool)
        return stochastic_top_k(scores, query_size, generator, self.beta, self.form), scores

    def diagnose(self, pool: PoolPredictor, query: Tensor) -> Mapping[str, float]:
        return self.base.diagnose(pool, query)
