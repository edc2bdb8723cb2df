"""The linear layer whose output is the logits of a model, found by watching a pass."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from al_lightning.inference.logits import class_logits


def find_last_layer(model: nn.Module, logits_of_pass: Callable[[], Tensor]) -> nn.Module | None:
    """Finds the linear layer that makes the logits: its input is then the embedding.

    The layer is the one that is called last. The proof is that its output equals the logits, value by value.

    Args:
        model: The model; it may be a linear layer itself.
        logits_of_pass: Calls the model once and returns its logits ``(B, C)``.

    Returns:
        The layer, or None if something else comes after the last linear layer.

    Example:
        >>> network, inputs = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), torch.ones(5, 2, 2)
        >>> find_last_layer(network, lambda: network(inputs))
        Linear(in_features=4, out_features=3, bias=True)
        >>> find_last_layer(network, lambda: 2 * network(inputs)) is None
        True
    """
    last: list[tuple[nn.Module, int, Tensor]] = []

    def keep(layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        last[:] = [(layer, args[0][0].numel() if args and len(args[0]) else 0, output)]

    hooks = [layer.register_forward_hook(keep) for layer in model.modules() if isinstance(layer, nn.Linear)]
    try:
        logits = logits_of_pass()
    finally:
        for hook in hooks:
            hook.remove()
    if not last:
        return None
    layer, features_per_row, output = last[0]
    if len(output) != len(logits) or features_per_row != layer.in_features:  # of a layer for each token, for example
        return None
    is_logits = torch.equal(class_logits(output.flatten(1)).float(), class_logits(logits).float())
    return layer if is_logits else None
