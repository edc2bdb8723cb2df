"""Margin: query where the two most likely classes are closest."""

from torch import Tensor

from al_lightning.data.arrays import ArrayLike, as_probs
from al_lightning.inference import Predictions
from al_lightning.strategies.base import ScoreStrategy


def margin_score(probs: ArrayLike) -> Tensor:
    r"""Minus the margin between the two most likely classes, :math:`p_{(2)} - p_{(1)}`.

    Args:
        probs: Class probabilities (not logits: their margins rank differently), shape ``(N, C)``, C at least 2.

    Returns:
        Shape ``(N,)``, in [-1, 0]; 0 where two classes are equally likely.

    Example:
        >>> import torch
        >>> margin_score(torch.tensor([[0.5, 0.5, 0.0], [0.4, 0.3, 0.3], [0.9, 0.1, 0.0]]))
        tensor([ 0.0000, -0.1000, -0.8000])
    """
    probs = as_probs(probs)
    first, second = probs.topk(2, dim=1).values.unbind(1)
    return second - first


class Margin(ScoreStrategy):
    """Queries the samples with the smallest margin between the two most likely classes.

    Reference:
        Scheffer, Decomain and Wrobel, "Active Hidden Markov Models for Information Extraction", IDA 2001.
    """

    def score(self, batch: Predictions) -> Tensor:
        return margin_score(batch.probs)
