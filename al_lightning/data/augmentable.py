"""Which inputs may be augmented as images. A transform of images would also accept tokens and rows of tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torchvision.transforms import v2

from al_lightning.data.inputs import Inputs, describe, tensors_of
from al_lightning.errors import InputError

CONTAINERS = (v2.Compose, v2.RandomApply, v2.RandomChoice, v2.RandomOrder)
VALUE_BY_VALUE = (v2.GaussianNoise, v2.Identity, v2.Lambda, v2.Normalize, v2.ToDtype)
"""Transforms of torchvision that ignore height and width. They may change a row of a table."""


def check_augmentable(transform: nn.Module, inputs: Inputs) -> None:
    """Raises :class:`InputError` if a transform of images would get inputs that are not images.

    Images are floats or bytes, ``(B, H, W)`` or ``(B, ..., H, W)``, with more than one row and column. A mapping may
    hold one image and other numbers of each sample. A transform that the user wrote may get any input.
    """
    if not is_of_images(transform):
        return
    wide = [tensor for tensor in tensors_of(inputs) if tensor.dim() > 1 or isinstance(inputs, Tensor)]
    if len(wide) == 1 and is_image(wide[0]):
        return
    if len(wide) != 1:
        got = f"several tensors, of {describe(inputs)}"
    elif is_whole_number(wide[0]):
        got = f"integers, {wide[0].dtype} of {describe(wide[0])}, as token ids are"
    else:
        got = f"inputs of {describe(wide[0])}"
    raise InputError(
        f"Expected images, floats of shape (..., H, W), for the augmentation {type(transform).__name__}, but got {got}."
    )


def is_image(tensor: Tensor) -> bool:
    """Whether a batch ``(B, ...)`` may hold images."""
    return tensor.dim() >= 3 and min(tensor.shape[-2:]) > 1 and not is_whole_number(tensor)


def is_whole_number(tensor: Tensor) -> bool:
    """Whether the values have an integer type of more than 8 bits: grey values have 8."""
    return not tensor.is_floating_point() and tensor.element_size() > 1


def is_of_images(transform: nn.Module) -> bool:
    """Whether a transform, or a part of it, is one of torchvision's transforms for images."""
    return any(_is_of_images(part) for part in _parts(transform))


def _parts(transform: Any) -> Iterator[Any]:
    """A transform and all its parts."""
    yield transform
    inner = getattr(transform, "transforms", None) or (transform.children() if isinstance(transform, nn.Module) else ())
    for part in inner.values() if isinstance(inner, Mapping) else inner:
        yield from _parts(part)


def _is_of_images(transform: Any) -> bool:
    is_torchvision = isinstance(transform, v2.Transform) or type(transform).__module__.startswith("torchvision.")
    return is_torchvision and not isinstance(transform, (*CONTAINERS, *VALUE_BY_VALUE))
