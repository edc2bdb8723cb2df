"""Turns the arrays of NumPy, lists and tensors that users pass into float tensors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from al_lightning.errors import InputError

ArrayLike = Tensor | np.ndarray | Sequence[Any]

ALMOST = 1e-2  # rounding to bfloat16 may take a probability this far out of [0, 1]


def as_floats(values: ArrayLike, name: str, shape: str) -> Tensor:
    """Returns values as a float tensor: float32 and float64 stay, all other types become float32.

    Args:
        values: A tensor on any device, an array of numbers, or nested lists of them.
        name: The name of the values in messages.
        shape: The expected shape in words, for example ``(N, C)``: one name for each dimension, or ``(..., C)`` for any
            number of dimensions.

    Returns:
        The same tensor if its dtype is right, otherwise a new one. It may share its memory with an array.

    Raises:
        InputError: If the values are not numbers, or have another number of dimensions.

    Example:
        >>> as_floats([[0, 1], [1, 0]], "probabilities", "(N, C)")
        tensor([[0., 1.],
                [1., 0.]])
    """
    tensor = values if isinstance(values, Tensor) else _of_array(values, name)
    if tensor.is_complex():
        raise InputError(f"Expected {name} to be numbers, but got {tensor.dtype}.")
    if tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.float()
    num_dims = len(shape.split(","))
    if tensor.dim() != num_dims and not (shape.startswith("(...") and tensor.dim() >= num_dims - 1):
        raise InputError(f"Expected {name} of shape {shape}, but got {tuple(tensor.shape)}.")
    return tensor


def as_rows(values: Tensor | np.ndarray) -> Tensor:
    """Returns samples, one a row, as a detached tensor of the same dtype.

    Raises:
        InputError: If the values are not numbers, or are a single number.
    """
    if isinstance(values, Tensor):
        tensor = values.detach()
    else:
        try:
            tensor = torch.from_numpy(np.require(np.asarray(values), requirements=["C", "W"]))
        except (TypeError, ValueError) as error:
            raise InputError(f"Expected inputs to be numbers, but got: {error}.") from error
    if tensor.dim() == 0:
        raise InputError("Expected inputs with samples along the first dimension, but got a single number.")
    return tensor


def as_probs(values: ArrayLike, name: str = "probabilities") -> Tensor:
    """Returns class probabilities ``(N, C)`` as a float tensor; see :func:`as_floats`.

    Raises:
        InputError: If a value is not in [0, 1], for example because it is a logit, or if there is only one class.
    """
    probs = as_floats(values, name, "(N, C)")
    if probs.shape[1] < 2:
        raise InputError(f"Expected {name} of shape (N, C) of at least two classes, but got {tuple(probs.shape)}.")
    if len(probs):
        least, most = torch.aminmax(probs)
        if least < -ALMOST or most > 1 + ALMOST:
            raise InputError(
                f"Expected {name} in [0, 1], but got values from {float(least):.3g} to {float(most):.3g}; "
                "of logits, take the softmax first."
            )
    return probs


def _of_array(values: Any, name: str) -> Tensor:
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # nested lists of several lengths, tensors on a GPU
        raise InputError(f"Expected {name} to be an array of numbers, but got: {error}.") from error
    if array.dtype.kind not in "fiub":
        raise InputError(f"Expected {name} to be an array of numbers, but got {array.dtype}.")
    dtype = np.float64 if array.dtype.kind == "f" and array.dtype.itemsize >= 8 else np.float32
    array = np.require(array, dtype=dtype, requirements=["C", "A"])  # torch has no negative strides
    return torch.from_numpy(array if array.flags.writeable else array.copy())
