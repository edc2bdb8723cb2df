"""Reads image files, and finds the files that cannot be read."""

import os
import struct
import warnings
from collections.abc import Callable, Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, NoReturn

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.data import Dataset

from al_lightning.data.image_suffixes import is_image, is_no_data
from al_lightning.errors import InputError

# Errors that Pillow raises for broken files and for the metadata of cameras.
UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, struct.error, Image.DecompressionBombError)
MOST_NAMED = 5  # at most so many files are named in a message
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet; pretrained networks expect them


class ImageTransform:
    """Turns an image into a tensor of a fixed size and standardises it.

    The shorter side is resized and the centre is cut out. Values are standardised with the mean and the standard
    deviation of ImageNet; grey images use the averages over the colours.

    Args:
        image_size: Height and width of the result in pixels; ``None`` keeps the original size.
        channels: 3 for colour, 1 for grey.
        train_transform: Random augmentations: a transform of ``torchvision.transforms.v2`` that is applied first, to
            the uint8 image of shape ``(channels, height, width)``.
    """

    def __init__(
        self, image_size: int | None, channels: Literal[1, 3] = 3, train_transform: nn.Module | None = None
    ) -> None:
        self._image_size = image_size
        self._mode = "RGB" if channels == 3 else "L"
        self._train_transform = train_transform
        mean, std = (MEAN, STD) if channels == 3 else ((sum(MEAN) / 3,), (sum(STD) / 3,))
        self._mean, self._std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]

    def __call__(self, image: Image.Image) -> Tensor:
        """Returns float32 of shape ``(channels, height, width)``."""
        return self.standardized(self.pixels(image))

    def pixels(self, image: Image.Image) -> Tensor:
        """Returns the values before they are standardised: uint8 of shape ``(channels, height, width)``.

        A ``train_transform`` may return another type.
        """
        from torchvision.transforms.v2 import functional as F  # slow to import

        values = F.pil_to_tensor(as_bytes(image, self._mode))
        if self._train_transform is not None:
            values = self._train_transform(values)
        if self._image_size is not None:
            values = F.resize(values, [self._image_size], antialias=True)
            values = F.center_crop(values, [self._image_size, self._image_size])
        return values

    def standardized(self, values: Tensor) -> Tensor:
        """Standardises pixels of shape ``(..., channels, height, width)``."""
        return values.float().div_(255).sub_(self._mean).div_(self._std)

    def bytes_of(self, inputs: Tensor) -> Tensor:
        """The uint8 pixels that :meth:`standardized` turns into these inputs, if there are such pixels."""
        return inputs.mul(self._std).add_(self._mean).mul_(255).round_().clamp_(0, 255).to(torch.uint8)


def as_bytes(image: Image.Image, mode: str) -> Image.Image:
    """Turns an image upright and converts it to ``RGB`` or ``L``, of 8 bits; transparent parts become white.

    Raises:
        ValueError: If the values of the image have no known range.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):  # a PNG has at most 16 bits
        image = Image.fromarray((np.asarray(image).astype(np.float64) / 257).round().astype(np.uint8))
    elif image.mode in ("I", "F"):  # Pillow would clip values above 255
        raise ValueError(f"its pixels are of mode {image.mode}, whose range is not known")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


class ImageFiles(Dataset):
    """Images by path, as a map-style dataset of tensors.

    Args:
        paths: The files.
        transform: Makes a tensor of an image.
        made: Pixels that were made before, by path, see :meth:`ImageTransform.pixels`. Each is used once, and is then
            forgotten.
    """

    def __init__(
        self, paths: Sequence[Path], transform: ImageTransform, made: dict[Path, Tensor] | None = None
    ) -> None:
        self._paths = paths
        self._transform = transform
        self._made = {} if made is None else made

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Tensor:
        path = self._paths[index]
        if path in self._made:
            return self._transform.standardized(self._made.pop(path))
        try:
            with Image.open(path) as image:
                return self._transform(image)
        except UNREADABLE as error:
            raise InputError(
                f"Expected {path} to be an image, but it cannot be read: {reason_of(error, path)}"
            ) from error


@dataclass
class FoundFiles:
    """The files in a folder and its subfolders; hidden files do not count."""

    images: list[Path] = field(default_factory=list)
    """Files that are images by their name, sorted."""
    others: list[Path] = field(default_factory=list)


def find_files(folder: Path, skipped: Container[Path] = ()) -> FoundFiles:
    """Finds all files in a folder and its subfolders, except in hidden folders and folders that systems leave behind.

    Args:
        folder: The folder to search.
        skipped: Subfolders that are not searched.

    Raises:
        InputError: If a link leads to a folder that is searched anyway: its images would count twice.
        OSError: If a folder may not be read.
    """
    found = FoundFiles()
    seen: dict[str, str] = {}
    for parent, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            raise InputError(f"Expected each folder in {folder} once, but {parent} is a link to {seen[real]}.")
        seen[real] = parent
        folders[:] = [name for name in folders if not is_no_data(name) and Path(parent, name) not in skipped]
        for name in names:
            if not name.startswith("."):
                (found.images if is_image(name) else found.others).append(Path(parent, name))
    found.images.sort()
    return found


def _raise(error: OSError) -> NoReturn:
    raise error  # otherwise a class would be missing silently


def image_files(folder: Path) -> list[Path]:
    """The images of :func:`find_files`."""
    return find_files(folder).images


def decode(file: Path | BinaryIO) -> None:
    """Decodes an image, and raises one of the errors of :data:`UNREADABLE` if that fails."""
    with Image.open(file) as image:
        as_bytes(image, "RGB")  # `verify` accepts a truncated JPEG


def readable(paths: Sequence[Path], refuse: bool = False, look: Callable[[Path], object] = decode) -> list[Path]:
    """Leaves out images that cannot be read, with a warning that names them.

    Args:
        paths: The files.
        refuse: Whether to refuse them instead.
        look: Reads an image; see :func:`decode`.

    Raises:
        InputError: If ``refuse`` is true and there are any.
    """
    bad = unreadable(paths, look)
    if not bad:
        return list(paths)
    named = [f"{path} ({reason.rstrip('.')})" for path, reason in bad.items()]
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    listed = (", ".join(named[:MOST_NAMED]) + more).encode(errors="backslashreplace").decode()
    if refuse:
        raise InputError(
            f"Expected images that can be read, but got {len(bad)} that cannot: {listed}; "
            "`data.corrupt` skip leaves them out."
        )
    warnings.warn(f"Left out {len(bad)} image{'s' * (len(bad) != 1)} that cannot be read: {listed}.", stacklevel=2)
    return [path for path in paths if path not in bad]


def unreadable(paths: Sequence[Path], look: Callable[[Path], object] = decode) -> dict[Path, str]:
    """Looks at images. Returns the images that cannot be read, with the reason."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        reasons = threads.map(partial(_why_unreadable, look=look), paths)
        return {path: reason for path, reason in zip(paths, reasons, strict=True) if reason is not None}


def is_image_inside(path: Path) -> bool:
    """Whether the content of a file is an image, whatever its name is."""
    try:
        with Image.open(path):
            return True
    except UNREADABLE:
        return False


def _why_unreadable(path: Path, look: Callable[[Path], object]) -> str | None:
    if not path.is_file():
        return "it is no file"
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    try:
        look(path)
    except UNREADABLE as error:
        return reason_of(error, path)
    return None


def reason_of(error: Exception, path: Path) -> str:
    """Says why an image cannot be read, in words without its path."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return text.replace(f" {str(path)!r}", "").rstrip(".") + "."
