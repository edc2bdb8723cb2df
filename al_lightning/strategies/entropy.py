"""Entropy: query where the predicted distribution is most uncertain."""

from torch import Tensor

from al_lightning.data.arrays import ArrayLike, as_floats
from al_lightning.inference import Predictions
from al_lightning.strategies.base import ScoreStrategy


def entropy_score(log_probs: ArrayLike) -> Tensor:
    r"""Entropy of the predicted distribution, :math:`-\sum_c p_c \log p_c`, in nats.

    Args:
        log_probs: Log-probabilities, shape ``(..., C)``; minus infinity is a probability of 0.

    Returns:
        Shape ``(...)``, in [0, log C].

    Example:
        >>> import torch
        >>> entropy_score(torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]).log())
        tensor([0.6931, 0.0000])
    """
    log_probs = as_floats(log_probs, "log-probabilities", "(..., C)")
    # 0 log 0 = 0, but 0 * -inf is NaN: the floor is any finite number
    return -(log_probs.exp() * log_probs.clamp(min=-1e4)).sum(dim=-1) + 0.0


class Entropy(ScoreStrategy):
    """Queries the samples of highest predictive entropy.

    Reference:
        Shannon, "A Mathematical Theory of Communication", 1948; Settles, "Active Learning Literature Survey", 2009.
    """

    def score(self, batch: Predictions) -> Tensor:
        return entropy_score(batch.log_probs)
