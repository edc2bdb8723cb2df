"""Inputs of a block of samples: one tensor, a mapping of tensors, or a tuple of tensors."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

Inputs = Tensor | Mapping[str, Any] | tuple[Any, ...]
"""A tensor ``(B, ...)``, a mapping of tensors, such as ``input_ids`` and ``attention_mask``, or a tuple of tensors."""


def tensors_of(inputs: Inputs) -> list[Tensor]:
    """Returns all tensors of a block, in order.

    Example:
        >>> import torch
        >>> [tuple(tensor.shape) for tensor in tensors_of({"ids": torch.zeros(2, 3), "mask": torch.ones(2, 3)})]
        [(2, 3), (2, 3)]
    """
    if isinstance(inputs, Tensor):
        return [inputs]
    parts = inputs.values() if isinstance(inputs, Mapping) else inputs if isinstance(inputs, tuple | list) else ()
    return [tensor for part in parts for tensor in tensors_of(part)]


def count_rows(inputs: Inputs) -> int:
    """Number of samples in a block: the length of its first tensor."""
    return len(tensors_of(inputs)[0])


def map_tensors(fn: Callable[[Tensor], Tensor], inputs: Any) -> Any:
    """Applies ``fn`` to each tensor of a block and keeps everything else."""
    if isinstance(inputs, Tensor):
        return fn(inputs)
    if isinstance(inputs, Mapping):
        return {name: map_tensors(fn, part) for name, part in inputs.items()}
    if isinstance(inputs, tuple | list):
        return tuple(map_tensors(fn, part) for part in inputs)
    return inputs


def as_floats(tensor: Tensor, model: nn.Module) -> Tensor:
    """Turns integers, and floats wider than a model's weights, into the dtype of the weights. Other floats stay."""
    dtype = next(model.parameters()).dtype
    return tensor if tensor.is_floating_point() and tensor.element_size() <= dtype.itemsize else tensor.to(dtype)


def only_tensor(inputs: Inputs) -> Tensor | None:
    """The one tensor that is the input: the first of a tuple, or the only one with features in a mapping.

    Example:
        >>> import torch
        >>> only_tensor({"image": torch.zeros(2, 3), "index": torch.zeros(2)}).shape
        torch.Size([2, 3])
    """
    if isinstance(inputs, Tensor):
        return inputs
    if isinstance(inputs, Mapping):
        wide = [part for part in inputs.values() if isinstance(part, Tensor) and part.dim() > 1]
        return wide[0] if len(wide) == 1 else None
    return only_tensor(inputs[0])


def take_rows(inputs: Any, rows: slice) -> Any:
    """Returns the samples of a block that are in a slice."""
    return map_tensors(lambda tensor: tensor[rows], inputs)


def split_rows(inputs: Inputs, size: int) -> Iterator[Any]:
    """Splits a block into blocks of at most ``size`` samples."""
    if isinstance(inputs, Tensor):
        yield from inputs.split(size)
        return
    for start in range(0, count_rows(inputs), size):
        yield take_rows(inputs, slice(start, start + size))


def describe(inputs: Inputs) -> str:
    """The shapes of one sample, for messages.

    Example:
        >>> import torch
        >>> describe(torch.zeros(2, 1, 28, 28)), describe({"ids": torch.zeros(2, 3)})
        ('shape (1, 28, 28)', 'shapes ids: (3,)')
    """
    if isinstance(inputs, Tensor):
        return f"shape {tuple(inputs.shape[1:])}"
    named = inputs.items() if isinstance(inputs, Mapping) else enumerate(inputs)
    shapes = [f"{name}: {tuple(part.shape[1:])}" for name, part in named if isinstance(part, Tensor)]
    return f"shapes {', '.join(shapes)}"
