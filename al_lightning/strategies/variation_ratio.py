"""Variation ratio: query where the votes of Monte Carlo samples are split."""

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike, as_floats
from al_lightning.inference import PoolPredictor, Predictions
from al_lightning.strategies.base import Answer, ScoreStrategy, check_finite
from al_lightning.strategies.entropy import entropy_score
from al_lightning.strategies.posterior import JointSamples, Posterior


def variation_ratio(mc_log_probs: ArrayLike) -> Tensor:
    r"""Share of the votes that are not for the class with most of them, :math:`1 - \max_c v_c / T`.

    Each sample of the model votes for its most likely class. Of equal classes it votes for the first.

    Args:
        mc_log_probs: Log-probabilities of T Monte Carlo samples, or logits, shape ``(N, T, C)``.

    Returns:
        Shape ``(N,)``, in [0, 1 - 1 / min(C, T)]: one of T values at most. NaN where a sample is NaN.

    Example:
        >>> votes = torch.tensor([[0, 0, 0, 1, 1], [2, 2, 2, 2, 2]])
        >>> variation_ratio(torch.nn.functional.one_hot(votes, 3))
        tensor([0.4000, 0.0000])
    """
    logits = as_floats(mc_log_probs, "log-probabilities", "(N, T, C)")
    num_rows, num_samples, num_classes = logits.shape
    highest, votes = logits.max(dim=2)  # (N, T)
    counts = logits.new_zeros(num_rows, num_classes).scatter_add_(1, votes, torch.ones_like(votes, dtype=logits.dtype))
    is_finite = (highest < torch.inf).all(dim=1)  # argmax takes NaN for the largest, and the vote would hide it
    return (1 - counts.amax(dim=1) / num_samples).masked_fill_(~is_finite, torch.nan)


class VariationRatio(ScoreStrategy):
    """Queries the samples on which the votes of Monte Carlo samples are split most.

    T votes have at most T different ratios, so many samples tie. Of equal ratios, those whose mean prediction has the
    higher entropy come first. The score that the run writes is the ratio.

    Args:
        num_samples: Number of samples of the model, T, at least 2. An ensemble has one for each member.
        posterior: See :class:`~al_lightning.strategies.BALD`.
        prior_precision: See :class:`~al_lightning.strategies.BALD`.

    Raises:
        InputError: If an argument is out of range. When queried, if the model has no samples.

    References:
        Freeman, "Elementary Applied Statistics", 1965.
        Beluch, Genewein, Nürnberger and Köhler, "The Power of Ensembles for Active Learning in Image Classification",
        CVPR 2018.
    """

    def __init__(
        self, num_samples: int = 20, posterior: Posterior | None = None, prior_precision: float | None = None
    ) -> None:
        self._samples = JointSamples("VariationRatio", num_samples, posterior, prior_precision)
        self.num_samples = num_samples
        self.posterior = posterior
        self.prior_precision = prior_precision

    def rank(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Answer:
        self._samples.prepare(pool)
        scores, entropies = pool.map(lambda batch: self._samples.map(batch, _ratio_and_entropy)).unbind(1)
        check_finite(entropies, "predictions")
        order = entropies.argsort(descending=True, stable=True)
        order = order[scores[order].argsort(descending=True, stable=True)]
        return Answer(order[:query_size], scores.contiguous())

    def scores(self, pool: PoolPredictor) -> Tensor:
        self._samples.prepare(pool)
        return super().scores(pool)

    def score(self, batch: Predictions) -> Tensor:
        return self._samples.map(batch, variation_ratio)


def _ratio_and_entropy(logits: Tensor) -> Tensor:
    """Variation ratios, and entropies of the mean prediction, shape ``(N, 2)``."""
    mean = logits.softmax(dim=2).mean(dim=1)
    return torch.stack([variation_ratio(logits), entropy_score(mean.log())], dim=1)
