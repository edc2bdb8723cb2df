"""Random changes of images that keep the class, as torchvision transforms of whole batches."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from al_lightning.data.augmentable import check_augmentable, is_image, is_of_images
from al_lightning.data.inputs import Inputs, map_tensors, tensors_of
from al_lightning.errors import InputError

CPU = torch.device("cpu")


class RandomShift(v2.Transform):
    """Shifts images by a few pixels along each axis, and may mirror them.

    A call changes all images of a batch in the same way, like any transform of torchvision. :meth:`each` changes each
    image in a different way. A shift fills the uncovered edge with the reflected image (as in MixMatch), so that it
    needs no background colour.

    Args:
        max_shift: Largest shift in pixels; each one from ``-max_shift`` to ``max_shift`` is equally likely. For a
            perceptron on images of 28 x 28, 2 is already large.
        mirror: Probability that an image is mirrored left to right, in [0, 1]. Use 0 for images of shoes that all point
            to the left.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(self, max_shift: int = 1, mirror: float = 0.0) -> None:
        super().__init__()
        if max_shift < 0:
            raise InputError(f"Expected `max_shift` of RandomShift to be at least 0, but got {max_shift}.")
        if not 0 <= mirror <= 1:
            raise InputError(f"Expected `mirror` of RandomShift to be in [0, 1], but got {mirror}.")
        self.max_shift = max_shift
        self.mirror = mirror

    def draw(self) -> tuple[int, int, bool]:
        """Draws a change from torch's global generator: pixels down, pixels right, and whether to mirror."""
        down, right = (self.max_shift - torch.randint(2 * self.max_shift + 1, (2,))).tolist()
        return down, right, bool(torch.rand(()) < self.mirror)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draws once for all images of a batch, see :meth:`draw`."""
        return dict(zip(("down", "right", "mirrored"), self.draw(), strict=True))

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:
        """Changes all images ``(..., H, W)`` in the same way."""
        self._check(inpt)
        shifted = _moved(_moved(inpt, -params["down"], -2), -params["right"], -1)
        return F.horizontal_flip(shifted) if params["mirrored"] else shifted

    def each(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Changes each of the images ``(B, ..., H, W)`` in a different way.

        Args:
            images: A batch.
            generator: CPU generator to draw from.
        """
        self._check(images)
        corners, mirrored = self.draw_each(len(images), generator)
        # torch's own padding, which takes three dimensions, without torchvision's wrapper around it
        padded = pad(images.flatten(0, -3), [self.max_shift] * 4, mode="reflect")
        padded = padded.view(*images.shape[:-2], *padded.shape[-2:])  # (B, ..., H + 2s, W + 2s)
        tops, lefts = corners
        begins = torch.arange(len(images)) * padded.stride(0) + tops * padded.stride(-2) + lefts * padded.stride(-1)
        changed = windows(padded, self.max_shift).index_select(0, begins.to(images.device))
        return changed if mirrored is None else mirror_some(changed, mirrored)

    def draw_each(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Draws a change of each image.

        Returns:
            The first row and column of each image in the padded image, int64, shape ``(2, B)``. And whether it is
            mirrored, bool, shape ``(B,)``; ``None`` if no image is.
        """
        corners = torch.randint(2 * self.max_shift + 1, (2, batch_size), generator=generator)
        if self.mirror == 0:
            return corners, None
        return corners, torch.rand(batch_size, generator=generator) < self.mirror

    def _check(self, images: Tensor) -> None:
        if images.dim() < 3 or min(images.shape[-2:]) <= self.max_shift:
            raise InputError(
                f"Expected images of shape (B, ..., H, W), larger than `max_shift` of RandomShift, "
                f"{self.max_shift}, but got {tuple(images.shape)}."
            )


def windows(padded: Tensor, max_shift: int) -> Tensor:
    """Views of all windows that are as large as an image, one for each starting pixel of a batch of padded images.

    Taking a window copies whole rows instead of single pixels.
    """
    shape = (*padded.shape[1:-2], *(size - 2 * max_shift for size in padded.shape[-2:]))
    strides = padded.stride()[1:]
    reach = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    return padded.as_strided((padded.numel() - reach, *shape), (1, *strides))


def mirror_some(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirrors the images ``(B, ..., H, W)`` that a mask ``(B,)`` chooses."""
    chosen = mirrored.view(-1, *[1] * (images.dim() - 1)).to(images.device)
    return torch.where(chosen, images.flip(-1), images)


def _moved(images: Tensor, shift: int, dim: int) -> Tensor:
    """Shifts images along an axis and reflects them at the edge.

    The result is the same as a crop of padded images, but it takes one copy.
    """
    size = images.shape[dim]
    if shift == 0:
        return images
    if shift > 0:
        return torch.cat(
            [images.narrow(dim, shift, size - shift), images.narrow(dim, size - 1 - shift, shift).flip(dim)], dim
        )
    return torch.cat([images.narrow(dim, 1, -shift).flip(dim), images.narrow(dim, 0, size + shift)], dim)


@contextmanager
def _seeded(seed: int, device: torch.device = CPU) -> Iterator[None]:
    """Seeds the global generators of the CPU and of the images' GPU, and puts both back afterwards."""
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed also seeds all GPUs and takes fifty times as long
        for gpu in gpus:
            torch.cuda.default_generators[gpu.index].manual_seed(seed)
        yield


def augment_all(transform: nn.Module, inputs: Inputs, seed: int) -> Any:
    """Changes all images of a batch in the same way. The seed alone decides how.

    Args:
        transform: A transform of torchvision's ``transforms.v2``. It draws once for a whole batch, except noise that it
            draws for each pixel.
        inputs: Images ``(B, H, W)`` or ``(B, C, H, W)``; or a mapping or a tuple with one tensor of images.
        seed: Two batches with the same seed are changed in the same way.

    Returns:
        A batch of the same shape.

    Raises:
        InputError: If the transform changes the shape, or the inputs are not images.
    """
    check_augmentable(transform, inputs)
    with _seeded(seed, tensors_of(inputs)[0].device):
        if isinstance(inputs, Tensor):
            return _apply(transform, inputs)
        if is_of_images(transform):
            return map_tensors(lambda part: _apply(transform, part) if is_image(part) else part, inputs)
        return transform(inputs)


def first_alike(transform: nn.Module, seeds: list[int]) -> list[int]:
    """Maps each seed to the first seed that makes :func:`augment_all` change images in the same way.

    Args:
        transform: :class:`RandomShift`. For any other transform the seeds are returned unchanged.
        seeds: One seed for each augmentation.

    Example:
        >>> len(set(first_alike(RandomShift(max_shift=1), list(range(100)))))
        9
    """
    if type(transform) is not RandomShift:  # a subclass may draw more numbers
        return seeds
    first: dict[Hashable, int] = {}
    alike = []
    for seed in seeds:
        with _seeded(seed):
            alike.append(first.setdefault(transform.draw(), seed))
    return alike


def augment_each(transform: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
    """Changes each image of a batch in a different way.

    Args:
        transform: :class:`RandomShift`, or any transform of ``transforms.v2``, which is called once for each image.
        images: Shape ``(B, H, W)`` or ``(B, C, H, W)``.
        generator: CPU generator to draw from.

    Returns:
        A batch of the same shape.

    Raises:
        InputError: If the transform changes the shape.
    """
    if not len(images):
        return images
    check_augmentable(transform, images)
    if type(transform) is RandomShift:
        return transform.each(images, generator)
    with _seeded(int(torch.randint(2**62, (), generator=generator)), images.device):
        return torch.cat([_apply(transform, image[None]) for image in images])


def _apply(transform: nn.Module, images: Tensor) -> Tensor:
    """Applies a transform to images with a channel axis.

    Without this axis, torchvision would take the batch for the channels.
    """
    changed = transform(images.unsqueeze(1)).squeeze(1) if images.dim() == 3 else transform(images)
    if changed.shape != images.shape:
        raise InputError(
            f"Expected an augmentation that keeps the shape {tuple(images.shape[1:])} of images, but "
            f"{type(transform).__name__} made it {tuple(changed.shape[1:])}."
        )
    return changed
