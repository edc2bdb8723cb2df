"""The head of a fitted model: the function from its features to its logits."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from al_lightning.errors import InputError
from al_lightning.inference.logits import class_logits, logits_of

ROWS = 4096
PROBES = 16  # rows of random features on which a head must be linear
TOLERANCE = 1e-3


class LinearHead(NamedTuple):
    """A head that is linear: the logits are ``features @ weight.T + bias``."""

    weight: Tensor
    """Float32 on the CPU, shape ``(C, D)``."""
    bias: Tensor
    """Float32 on the CPU, shape ``(C,)``."""


def apply_head(head: Callable[[Tensor], Tensor], embeddings: Tensor, parameter: Tensor | None, name: str) -> Tensor:
    """Computes the logits of features.

    Args:
        head: Maps features ``(B, D)`` to logits.
        embeddings: Features, shape ``(N, D)``.
        parameter: A tensor of the model's device and dtype.
        name: Name of the model, for messages.

    Returns:
        Logits of each class, float32 on the CPU, shape ``(N, C)``.
    """
    parts = []
    for rows in embeddings.split(ROWS):
        given = rows if parameter is None else rows.to(parameter)
        parts.append(class_logits(logits_of(head(given), len(rows), name)).float().cpu())
    return torch.cat(parts) if parts else torch.empty(0)


def linear_head(head: Callable[[Tensor], Tensor], logits: Callable[[Tensor], Tensor], num_features: int) -> LinearHead:
    """Finds the weights of a linear head.

    A layer that is linear shows its weights. Any other head is asked for the logits of the unit vectors.

    Args:
        head: The head.
        logits: Computes the logits of features on the CPU by the head: see :func:`apply_head`.
        num_features: Number of features, D.

    Raises:
        InputError: If the head is not linear.
    """
    if isinstance(head, nn.Linear):
        weight = head.weight.detach().float().cpu()
        bias = torch.zeros(len(weight)) if head.bias is None else head.bias.detach().float().cpu()
        return LinearHead(class_logits(weight.T).T.contiguous(), class_logits(bias[None])[0])
    bias = logits(torch.zeros(1, num_features))[0]
    rows = [logits(unit) - bias for unit in torch.eye(num_features).split(ROWS)]
    weight = torch.cat(rows).T.contiguous()
    probe = torch.randn(PROBES, num_features, generator=torch.Generator().manual_seed(0))
    expected = logits(probe)
    scale = max(1.0, float(expected.abs().max()))
    if not (probe @ weight.T + bias - expected).abs().max() <= TOLERANCE * scale:
        raise InputError(f"Expected the head of the model to be linear, but {type(head).__name__} is not.")
    return LinearHead(weight, bias)
