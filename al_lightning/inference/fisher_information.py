"""The Fisher information of a linear head's weights, which is also the Hessian of its loss."""

import torch
from torch import Tensor

BLOCK_ROWS = 4096


def fisher_information(probs: Tensor, features: Tensor) -> Tensor:
    r"""Sums what samples tell about the weights ``(C, D)`` of a head with logits ``features @ weight.T``.

    .. math:: \sum_x (\mathrm{diag}(p) - p p^\top) \otimes h h^\top

    Args:
        probs: Predicted class probabilities p, float64, shape ``(N, C)``. Each row sums to 1.
        features: Features h, float, shape ``(N, D)``.

    Returns:
        Float64, shape ``(C D, C D)``, of the weights row by row.

    Example:
        >>> fisher_information(torch.tensor([[0.5, 0.5]], dtype=torch.float64), torch.tensor([[2.0]]))
        tensor([[ 1., -1.],
                [-1.,  1.]], dtype=torch.float64)
    """
    num_classes, num_features = probs.shape[1], features.shape[1]
    total = torch.zeros(num_classes, num_features, num_classes, num_features, dtype=torch.float64)
    for p, h in zip(probs.split(BLOCK_ROWS), features.split(BLOCK_ROWS), strict=True):
        h = h.double()
        for c in range(num_classes):
            for other in range(c + 1):
                weights = p[:, c] * (float(c == other) - p[:, other])
                total[c, :, other] += (h * weights[:, None]).T @ h
    for c in range(num_classes):
        for other in range(c):
            total[other, :, c] = total[c, :, other].T
    return total.flatten(2).flatten(0, 1)
