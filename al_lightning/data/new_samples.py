"""Samples from outside a data set, brought into the form of its inputs."""

import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from al_lightning.data.image_suffixes import should_be_image
from al_lightning.data.images import UNREADABLE, ImageTransform, find_files, reason_of
from al_lightning.errors import InputError

IMAGES_IN_BLOCK, ROWS_IN_BLOCK = 256, 2048


@dataclass(frozen=True)
class NewBlock:
    """Some samples, and the files among them that cannot be read."""

    names: list[str]
    """Path of each file, or the file and row of each sample."""
    inputs: Tensor
    """Float, shape ``(B, ...)``, as the model of a run gets them."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Files without an input, with the reason."""
    texts: list[str] = field(default_factory=list)
    """The text of each sample, if samples are texts."""


class NewSamples(Protocol):
    """Samples in blocks."""

    @property
    def depends_on_data(self) -> bool:
        """Whether the inputs depend on the data of the run, for example on their mean."""

    def __len__(self) -> int:
        """Number of files or rows, also of those that cannot be read."""

    def __iter__(self) -> Iterator[NewBlock]: ...


class NewImages:
    """Image files, each decoded once, by several threads.

    Args:
        paths: The files.
        transform: Makes the input of an image.
    """

    def __init__(self, paths: Sequence[Path], transform: ImageTransform) -> None:
        self.depends_on_data = False
        self._paths = paths
        self._transform = transform

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[NewBlock]:
        first: Tensor | None = None
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for start in range(0, len(self._paths), IMAGES_IN_BLOCK):
                paths = self._paths[start : start + IMAGES_IN_BLOCK]
                read = dict(zip(map(str, paths), threads.map(self._input_or_reason, paths), strict=True))
                inputs = {name: found for name, found in read.items() if isinstance(found, Tensor)}
                left_out = {name: found for name, found in read.items() if isinstance(found, str)}
                for name, found in inputs.items():
                    first = found if first is None else first
                    if found.shape != first.shape:
                        raise InputError(
                            f"Expected images of one size, {tuple(first.shape[1:])}, but got {name} of "
                            f"{tuple(found.shape[1:])}."
                        )
                yield NewBlock(list(inputs), torch.stack(list(inputs.values())) if inputs else torch.empty(0), left_out)

    def _input_or_reason(self, path: Path) -> Tensor | str:
        try:
            with Image.open(path) as image:
                return self._transform(image)
        except UNREADABLE as error:
            return reason_of(error, path)


class NewRows:
    """Rows of an array.

    Args:
        array: Numbers of shape ``(N, ...)``.
        name: Path of the file that holds the array.
        transform: Makes inputs of a block of rows.
    """

    def __init__(self, array: np.ndarray, name: str, transform: Callable[[np.ndarray], Tensor]) -> None:
        self.depends_on_data = True
        self._array = array
        self._name = name
        self._transform = transform

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[NewBlock]:
        for start in range(0, len(self._array), ROWS_IN_BLOCK):
            rows = self._array[start : start + ROWS_IN_BLOCK]
            names = [f"{self._name}:{start + row}" for row in range(len(rows))]
            yield NewBlock(names, self._transform(rows))


def find_images(path: Path, transform: ImageTransform) -> NewImages:
    """The image of a path, or all images in a folder and its subfolders.

    Raises:
        InputError: If there are none.
    """
    paths = find_files(path).images if path.is_dir() else [path]
    if not paths:
        raise InputError(f"Expected images in {path}, but got none.")
    return NewImages(paths, transform)


def not_read(path: Path) -> list[Path]:
    """Files in a folder that are images by their names, in a format that is not read here."""
    return [other for other in find_files(path).others if should_be_image(other.name)] if path.is_dir() else []


def load_rows(path: Path) -> np.ndarray:
    """Opens a ``.npy`` file, which stays on disk.

    Raises:
        InputError: If the file is missing, or is something else.
    """
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"Expected {path} to be a .npy file, but got: {str(error).rstrip('.')}.") from error
    if not isinstance(loaded, np.ndarray):
        raise InputError(f"Expected {path} to be a .npy file, but got one of several arrays.")
    return loaded


def check_rows(array: np.ndarray, path: Path, like: Tensor | np.ndarray) -> np.ndarray:
    """Raises :class:`InputError` unless an array has rows of the shape of a data set's inputs, of finite numbers."""
    if array.ndim < 1 or array.dtype.kind not in "biuf" or array.shape[1:] != tuple(like.shape[1:]):
        raise InputError(
            f"Expected {path} to hold numbers of shape (N, {', '.join(map(str, like.shape[1:]))}), like the data of "
            f"the run, but got {array.dtype} of shape {array.shape}."
        )
    if array.dtype.kind == "f" and not all(np.isfinite(array[i : i + 1000]).all() for i in range(0, len(array), 1000)):
        raise InputError(f"Expected finite numbers in {path}, but got NaN or infinity.")
    return array
