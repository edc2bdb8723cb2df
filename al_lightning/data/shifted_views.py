"""ShiftedViews: RandomShift of the same two batches several times, in memory that is used again."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from al_lightning.data.augmentations import RandomShift, mirror_some, windows

reflection_pad = torch.ops.aten.reflection_pad2d.out


class Shifts(NamedTuple):
    """The changes of the images of a minibatch."""

    begins: Tensor
    """Where the window of each view begins, int64, shape ``(B + KU,)``."""
    mirrored: Tensor | None
    """Which views are mirrored, bool, shape ``(B + KU,)``; ``None`` if no view is."""


class ShiftedViews:
    """Makes one view of each labeled image, and K views of each unlabeled image.

    The views, and the numbers that are drawn, are those of K calls ``shift.each(unlabeled, generator)`` and then
    ``shift.each(inputs, generator)``. Each image is padded only once.

    Args:
        shift: Draws the changes.
        num_labeled: Number of labeled images, B.
        num_unlabeled: Number of unlabeled images, U; may be 0.
        shape: Shape of an image, ``(..., H, W)``.
        num_views: Number of views of an unlabeled image, K.
    """

    def __init__(
        self, shift: RandomShift, num_labeled: int, num_unlabeled: int, shape: tuple[int, ...], num_views: int
    ) -> None:
        self._shift = shift
        self._sizes = [*[num_unlabeled] * num_views, num_labeled]  # in the order of the draws
        margin = 2 * shift.max_shift
        padded = torch.empty(num_labeled + num_unlabeled, *shape[:-2], shape[-2] + margin, shape[-1] + margin)
        self._parts = padded[:num_labeled].flatten(0, -3), padded[num_labeled:].flatten(0, -3)
        self._edges = [shift.max_shift] * 4
        self._windows = windows(padded, shift.max_shift)
        images = torch.arange(len(padded)).split([num_labeled, num_unlabeled])
        self._begins = torch.cat([images[0], *[images[1]] * num_views]) * padded.stride(0)
        self._row = padded.stride(-2)
        # where the numbers of each view are among all numbers of a minibatch
        columns = torch.arange(2 * len(self._begins)).split([2 * size for size in self._sizes])
        self._tops, self._lefts = _labeled_first([part.view(2, -1) for part in columns])
        self._views = torch.empty(len(self._begins), *shape)
        self.rows = self._views.view(-1, math.prod(shape))
        """The views that were made last, flattened, shape ``(B + KU, F)``: first those of the labeled images."""

    def draw(self, generator: torch.Generator, num_minibatches: int = 1) -> list[Shifts]:
        """Draws the changes of minibatches, one after another."""
        mirrored: list[Tensor] | list[None] = [None] * num_minibatches
        if self._shift.mirror == 0:
            corners = torch.randint(
                2 * self._shift.max_shift + 1, (num_minibatches, 2 * len(self._begins)), generator=generator
            )
        else:
            draws = [
                [self._shift.draw_each(size, generator) for size in self._sizes if size] for _ in range(num_minibatches)
            ]
            corners = torch.stack([torch.cat([corners.flatten() for corners, _ in parts]) for parts in draws])
            mirrored = [_labeled_first([chosen for _, chosen in parts if chosen is not None]) for parts in draws]
        begins = self._begins + corners[:, self._tops] * self._row + corners[:, self._lefts]
        return [Shifts(*one) for one in zip(begins.unbind(), mirrored, strict=True)]

    def make(self, inputs: Tensor, unlabeled: Tensor, shifts: Shifts) -> Tensor:
        """Returns :attr:`rows` with new views of the images ``(B, ..., H, W)`` and ``(U, ..., H, W)``."""
        for images, padded in zip((inputs, unlabeled), self._parts, strict=True):
            if len(images):
                reflection_pad(images.flatten(0, -3), self._edges, out=padded)
        torch.index_select(self._windows, 0, shifts.begins, out=self._views)
        if shifts.mirrored is not None:
            self._views.copy_(mirror_some(self._views, shifts.mirrored))
        return self.rows


def _labeled_first(parts: list[Tensor]) -> Tensor:
    """Joins what was drawn for the unlabeled images, and last for the labeled images."""
    return torch.cat([parts[-1], *parts[:-1]], dim=-1)
