"""The one rule for finding the logits in a model's result, for scoring, testing and the loss of Classifier."""

import warnings
from collections.abc import Mapping
from weakref import WeakSet

import torch
from torch import Tensor, nn

from al_lightning.errors import InputError

MOST_ROUNDING = 4  # roundings by which the probabilities of a row may miss 1, in a dtype below float32
ONLY_SHAPES = ("Alias", "Clone", "ReshapeAlias", "Squeeze", "ToCopy", "UnsafeView", "Unsqueeze", "View")

_warned_of: "WeakSet[nn.Module]" = WeakSet()


def logits_of(returned: object, num_rows: int, name: str) -> Tensor:
    """Finds the logits in the result of a model for a batch.

    The rule: a tensor is the logits. An object with an attribute ``logits``, as the models of transformers return, and
    a mapping with the key ``logits`` say where they are. In a tuple or a list without such a name the logits come
    first. Dimensions of size 1 after the classes are dropped, ``(B, C, 1, 1)``. One value a sample, ``(B, 1)`` or
    ``(B,)``, is the one logit of two classes.

    Args:
        returned: The result of the model.
        num_rows: Number of samples in the batch, B.
        name: Name of the model, for messages.

    Returns:
        Floating-point logits of the dtype that the model returned, shape ``(B, C)``; ``(B, 1)`` for one logit.

    Raises:
        InputError: If there are no logits in it, or their shape is another.

    Example:
        >>> logits_of({"logits": torch.tensor([[0.0, 1.0, 2.0]])}, 1, "Net")
        tensor([[0., 1., 2.]])
        >>> logits_of((torch.tensor([3.0, -3.0]), "more"), 2, "Net")
        tensor([[ 3.],
                [-3.]])
    """
    logits = _named_or_first(returned)
    if not isinstance(logits, Tensor):
        raise InputError(
            f"Expected the model {name} to return logits: a tensor, an object or a dict with `logits`, or a tuple that "
            f"begins with them, but got {_described(returned)}."
        )
    if not logits.is_floating_point():
        raise InputError(f"Expected the model {name} to return logits of a float dtype, but got {logits.dtype}.")
    shaped = _as_rows(logits, num_rows)
    if shaped is None:
        raise InputError(
            f"Expected the model {name} to return logits of shape (B, C) for B = {num_rows} samples, "
            f"but got {tuple(logits.shape)}."
        )
    return shaped


def class_logits(logits: Tensor) -> Tensor:
    """Returns the logits of each class. A model with one logit z has two classes, with logits 0 and z.

    Then the softmax is ``(1 - sigmoid(z), sigmoid(z))``, and the cross-entropy is the binary one.

    Args:
        logits: Shape ``(..., C)``, or ``(..., 1)`` for one logit.

    Returns:
        Shape ``(..., C)``, C at least 2.

    Example:
        >>> class_logits(torch.tensor([[2.0], [-1.0]]))
        tensor([[ 0.,  2.],
                [ 0., -1.]])
    """
    if logits.shape[-1] != 1:
        return logits
    return torch.cat([torch.zeros_like(logits), logits], dim=-1)


def warn_of_probabilities(logits: Tensor, model: nn.Module) -> None:
    """Warns, once for each model, if its logits are probabilities.

    There are two signs. All rows are positive and sum to 1, which logits do not by chance. Or the last operation is a
    sigmoid, which shows where the logits have a gradient.

    Args:
        logits: As the model returned them, shape ``(B, C)``, or ``(B, 1)`` for one logit.
        model: The model that returned them.
    """
    if model in _warned_of or len(logits) == 0:
        return
    if _is_sigmoid(logits):
        sign, cure = "a sigmoid is its last operation", "return what goes into the sigmoid"
    elif _are_distributions(logits):
        sign, cure = "each row is positive and sums to 1", "return logits, or `probs.log()`"
    else:
        return
    _warned_of.add(model)
    warnings.warn(
        f"The model {full_name(model)} returns probabilities in place of logits: {sign}. A softmax is taken of them, "
        f"so that all probabilities are wrong; {cure}.",
        stacklevel=2,
    )


def _are_distributions(logits: Tensor) -> bool:
    if logits.shape[1] < 2 or bool((logits < 0).any()):
        return False
    tolerance = max(1e-5, MOST_ROUNDING * torch.finfo(logits.dtype).eps)
    return bool(((logits.double().sum(dim=1) - 1).abs() <= tolerance).all())


def _is_sigmoid(logits: Tensor) -> bool:
    """Whether the values come from a sigmoid. Operations that only change the shape do not count."""
    node = logits.grad_fn
    while node is not None and node.name().partition("Backward")[0] in ONLY_SHAPES:
        node = node.next_functions[0][0]
    return node is not None and node.name().startswith("SigmoidBackward")


def full_name(model: nn.Module) -> str:
    """Returns the class of a model, and the class of the network inside it if there is one."""
    network = getattr(model, "network", None)
    name = type(model).__name__
    return f"{name} of the network {type(network).__name__}" if isinstance(network, nn.Module) else name


def _named_or_first(returned: object) -> object:
    if isinstance(returned, Tensor):
        return returned
    if isinstance(returned, Mapping):  # also if it has attributes: transformers' ModelOutput is a dict
        return returned.get("logits")
    named = getattr(returned, "logits", None)
    if named is None and isinstance(returned, tuple | list) and returned:
        return returned[0]
    return named


def _as_rows(logits: Tensor, num_rows: int) -> Tensor | None:
    """Logits as ``(B, C)``, or None if that is not their shape."""
    if logits.dim() > 2 and logits.shape[2:].numel() == 1:
        logits = logits.flatten(1)
    if logits.dim() == 1 and num_rows == 1 and len(logits) != 1:  # `squeeze()` of a single row of several classes
        logits = logits.unsqueeze(0)
    if logits.dim() == 0 or logits.dim() == 1:
        logits = logits.reshape(-1, 1)
    return logits if logits.dim() == 2 and len(logits) == num_rows and logits.shape[1] > 0 else None


def _described(returned: object) -> str:
    if isinstance(returned, Mapping):
        return f"{type(returned).__name__} with {', '.join(map(str, returned)) or 'nothing'}"
    if isinstance(returned, tuple | list) and returned:
        return f"{type(returned).__name__} that begins with {type(returned[0]).__name__}"
    return type(returned).__name__
