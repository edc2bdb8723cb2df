"""BALD: query where Monte Carlo samples of the model disagree."""

from collections.abc import Mapping

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike, as_floats
from al_lightning.inference import PoolPredictor, Predictions
from al_lightning.strategies.base import ScoreStrategy, top_k
from al_lightning.strategies.posterior import JointSamples, Posterior

TINY = torch.finfo(torch.float32).tiny


def bald_score(mc_log_probs: ArrayLike) -> Tensor:
    r"""Mutual information between a sample's label and the model's weights, in nats.

    .. math:: I(y; w) = H\Big(\frac1T \sum_t p_t\Big) - \frac1T \sum_t H(p_t)

    Args:
        mc_log_probs: Log-probabilities of T Monte Carlo samples, or logits, shape ``(N, T, C)``.

    Returns:
        Shape ``(N,)``, in [0, min(log C, log T)]. A finite T makes it too low: by a factor of about 1 - 1/T where the
        samples disagree little.

    Example:
        >>> opposite = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> same = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
        >>> bald_score(torch.stack([opposite, same]).log())
        tensor([0.6931, 0.0000])
    """
    mc_log_probs = as_floats(mc_log_probs, "log-probabilities", "(N, T, C)")
    # (T, C, N): the order in memory in which samples come from DropoutMLP, where operations run over long vectors
    logits = mc_log_probs.permute(1, 2, 0)
    log_probs = logits.log_softmax(dim=1).clamp_(min=-1e4)  # 0 log 0 = 0, but 0 * -inf is NaN
    probs = logits.softmax(dim=1)
    mean = probs.mean(dim=0)  # (C, N)
    entropy_of_mean = -(mean * mean.clamp(min=TINY).log()).sum(dim=0)  # (N,)
    mean_entropy = -log_probs.mul_(probs).sum(dim=1).mean(dim=0)  # (N,)
    # rounding can leave -1e-8 where the samples agree
    return (entropy_of_mean - mean_entropy).clamp(min=0)


class BALD(ScoreStrategy):
    """Queries the samples on which Monte Carlo samples disagree most (Bayesian active learning by disagreement).

    The samples come from dropout, or from the model itself if it has ``sample_logits``, as an ensemble has. With a
    ``posterior`` they are draws of the last layer, and the model needs no dropout. They are consistent: the whole pool
    shares each dropout mask, each member and each draw of weights.

    Args:
        num_samples: Number of samples, T, at least 2.
        reliability: Whether to score the pool again after the query, with T other samples. diagnostics.csv then reports
            the agreement of both scores. ``bald_rank_correlation`` is Spearman's correlation, in [-1, 1].
            ``bald_top_overlap`` is the share of the query that the other samples also choose, in [0, 1].
        posterior: ``laplace`` draws the last layer from its Laplace approximation; see
            :class:`~al_lightning.inference.laplace.LaplacePosterior`. None takes dropout or the model's own samples.
        prior_precision: Precision of the prior of ``laplace``; by marginal likelihood if not given.

    Raises:
        InputError: If an argument is out of range. When queried, if the model has no samples of its own and no active
            dropout; with ``laplace``, if its last layer is not linear.

    References:
        Houlsby et al., "Bayesian Active Learning for Classification and Preference Learning", 2011.
        Gal, Islam and Ghahramani, "Deep Bayesian Active Learning with Image Data", ICML 2017.
    """

    def __init__(
        self,
        num_samples: int = 20,
        reliability: bool = False,
        posterior: Posterior | None = None,
        prior_precision: float | None = None,
    ) -> None:
        self._samples = JointSamples("BALD", num_samples, posterior, prior_precision)
        self.num_samples = num_samples
        self.reliability = reliability
        self.posterior = posterior
        self.prior_precision = prior_precision

    def scores(self, pool: PoolPredictor) -> Tensor:
        self._samples.prepare(pool)
        return super().scores(pool)

    def score(self, batch: Predictions) -> Tensor:
        return self._samples.map(batch, bald_score)

    def diagnose(self, pool: PoolPredictor, query: Tensor) -> Mapping[str, float]:
        if not self.reliability or len(query) == 0:
            return {}
        from scipy.stats import spearmanr

        scores = self.scores(pool)  # with the samples of the query, which the pool keeps
        self._samples.prepare(pool, draw=1)
        others = pool.map(lambda batch: self._samples.map(batch, bald_score, draw=1))
        correlation = spearmanr(scores.numpy(), others.numpy()).statistic
        overlap = torch.isin(query, top_k(others, len(query))).float().mean()
        return {"bald_rank_correlation": float(correlation), "bald_top_overlap": float(overlap)}
