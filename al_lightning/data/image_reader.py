"""Reads the images of a data set: each is decoded once, or not at all if an earlier start of the run decoded it."""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from PIL import Image
from torch import Tensor, frombuffer, uint8

from al_lightning.data.image_cache import Decoded, ImageCache, form_of_pixels, write_cache
from al_lightning.data.images import UNREADABLE, ImageTransform, decode

FILE = "images.bin"
NO_PIXELS = hashlib.sha256().digest()
ROWS = 256  # inputs that become pixels at a time
T = TypeVar("T")
Part = tuple[Sequence[Path], Tensor]
"""Files, and the inputs of their images, float32 of shape ``(N, channels, height, width)``."""


@dataclass
class Found:
    """What a reader found of image files."""

    images: dict[Path, Decoded]
    """The files that can be decoded."""
    is_spoiled: bool = False
    """Whether the cache has pixels that are not as they were written."""


class ImageReader:
    """Decodes images, or takes them from the cache of a run.

    Args:
        transform: Makes the inputs of images. It does not augment.
        image_size: Height and width of the inputs in pixels.
        channels: Channels of the inputs.
        folder: Folder of the cache; ``None`` if there is none. A transform of a subclass has no cache, because its
            pixels may change while the files stay the same.
    """

    def __init__(self, transform: ImageTransform, image_size: int, channels: int, folder: Path | None) -> None:
        self.made: dict[Path, Tensor] = {}
        """Pixels of images, see :meth:`make`."""
        self.found = Found({})
        """Checksums of the images that were made or checked."""
        self._transform = transform
        self._shape = (channels, image_size, image_size)
        self._num_bytes = channels * image_size**2
        self._path = None if folder is None or type(transform) is not ImageTransform else folder / FILE
        self._cache = ImageCache(self._path, form_of_pixels(image_size, channels), self._num_bytes)

    def __enter__(self) -> "ImageReader":
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the cache, and forgets the pixels that nobody has taken."""
        self._cache.close()
        self.made.clear()

    def make(self, path: Path) -> None:
        """Puts the pixels of an image into :attr:`made`. Raises one of the errors of UNREADABLE if that fails."""
        content = path.read_bytes()
        key = self._cache.key_of(content)
        cached = self._cache.pixels(key)
        if cached is not None:
            pixels, is_of_content = frombuffer(cached, dtype=uint8).view(self._shape), True
        else:
            if self._cache.has([key], with_pixels=True):
                self.found.is_spoiled = True
            pixels, is_of_content = _decode(path, content, self._pixels_of)
        self.made[path] = pixels
        if is_of_content:
            self.found.images[path] = Decoded(key, _checksum(pixels))

    def check(self, path: Path) -> None:
        """Decodes an image unless it is known that it can be decoded; see :meth:`make`."""
        content = path.read_bytes()
        key = self._cache.key_of(content)
        if self._cache.has([key], with_pixels=False) or _decode(path, content, decode)[1]:
            self.found.images[path] = Decoded(key, NO_PIXELS)

    def write(self, found: Found, parts: Sequence[Part] | None) -> None:
        """Writes the cache, unless it has all images.

        Args:
            found: The images, as a reader found them.
            parts: The images in memory; ``None`` if they are read from disk. Then the cache has no pixels.

        Raises:
            OSError: If the cache cannot be written.
        """
        if self._path is None:
            return
        self._cache.close()  # Windows replaces no open file
        if parts is None:
            keys = {decoded.key for decoded in found.images.values()}
            if not self._cache.has(keys, with_pixels=False):
                write_cache(self._path, ((Decoded(key, NO_PIXELS), b"") for key in keys), len(keys), 0)
            return
        parts = [part for part in parts if part[1].shape == (len(part[0]), *self._shape)]  # others are of a subclass
        paths = [path for files, _ in parts for path in files if path in found.images]
        keys = {found.images[path].key for path in paths if found.images[path].checksum != NO_PIXELS}
        if found.is_spoiled or not self._cache.has(keys, with_pixels=True):
            write_cache(self._path, self._with_pixels(found, parts), len(keys), self._num_bytes)

    def _pixels_of(self, file: Path | BinaryIO) -> Tensor:
        with Image.open(file) as image:
            return self._transform.pixels(image)

    def _with_pixels(self, found: Found, parts: Sequence[Part]) -> Iterator[tuple[Decoded, bytes]]:
        """The pixels of inputs in memory: to keep them from the start on would take more memory.

        The checksums prove that they are the pixels that were decoded. A subclass may have changed the inputs.
        """
        written: set[bytes] = set()
        for files, inputs in parts:
            for start in range(0, len(files), ROWS):
                pixels = self._transform.bytes_of(inputs[start : start + ROWS])
                for path, row in zip(files[start : start + ROWS], pixels, strict=True):
                    decoded = found.images.get(path)
                    if decoded is not None and decoded.key not in written and decoded.checksum == _checksum(row):
                        written.add(decoded.key)
                        yield decoded, row.numpy().tobytes()


def _decode(path: Path, content: bytes, read: Callable[[Path | BinaryIO], T]) -> tuple[T, bool]:
    """Decodes the content of a file. Returns the result, and whether it is of this content."""
    try:
        return read(io.BytesIO(content)), True
    except UNREADABLE:
        return read(path), False  # the error says the name of the file; without an error, the file has just changed


def _checksum(pixels: Tensor) -> bytes:
    return hashlib.sha256(pixels.numpy().tobytes()).digest()
