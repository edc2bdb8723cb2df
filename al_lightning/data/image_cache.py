"""Decoded images in a file of the run folder, so that a run that goes on decodes no image.

The cache lies in the folder of the run. A folder of photos may be read-only, or shared with others. A folder of the
user's own, such as ``~/.cache``, would grow without an owner that deletes it.

A cached image is found by the SHA-256 of the whole image file, not by its name, size or time: these may stay the same
when the content changes. To read and hash a file takes a small part of the time of decoding it. All else that decides
on the pixels is a part of this checksum, see :func:`form_of_pixels`. So a cached image has the bits of a decoded one.

Nothing in the run depends on the cache. The cache may be deleted at any time. Images that are missing or broken in it
are decoded again::

    header    the text :data:`MAGIC`, the number of images N, the bytes of an image P: int64, little-endian
    pixels    N times P bytes
    table     N times 64 bytes: the key of the image, and the SHA-256 of its pixels

With P = 0, the table says only which files can be decoded.
"""

import hashlib
import inspect
import json
import os
import platform
import shutil
import struct
import threading
from collections.abc import Callable, Iterable
from errno import ENOSPC
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image, ImageFile, __version__ as pillow_version, features

from al_lightning.data.images import ImageTransform, as_bytes
from al_lightning.version import __version__

MAGIC = b"al-lightning decoded images 1\n"
HEADER = struct.Struct(f"<{len(MAGIC)}sqq")
DIGEST = 32  # bytes of a SHA-256
DECODERS = ("libjpeg_turbo", "jpg", "jpg_2000", "webp", "avif", "libtiff")
"""Libraries that Pillow may take from the system, and whose versions may decode to other pixels."""
TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Backups may leave out this folder: see https://bford.info/cachedir/\n"


class Decoded(NamedTuple):
    """The checksums of an image that can be decoded."""

    key: bytes
    """SHA-256 of the file and of all else that decides on the pixels."""
    checksum: bytes
    """SHA-256 of the pixels; of nothing if the image was only checked."""


def form_of_pixels(image_size: int | None, channels: int) -> str:
    """Text of all that decides on the pixels of an image besides its file.

    Args:
        image_size: Height and width in pixels; ``None`` for the original size.
        channels: 3 for colour, 1 for grey.
    """
    known = {*features.modules, *features.codecs, *features.features}
    form = {
        "image_size": image_size,
        "channels": channels,
        "al_lightning": [__version__, *(_code_of(part) for part in (as_bytes, ImageTransform))],
        "pillow": pillow_version,
        "decoders": {name: features.version(name) for name in DECODERS if name in known},
        "pillow-heif": _version_of("pillow-heif"),
        "load_truncated": ImageFile.LOAD_TRUNCATED_IMAGES,
        "max_pixels": Image.MAX_IMAGE_PIXELS,
        "torchvision": _version_of("torchvision"),
        "torch": str(torch.__version__),
        "machine": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),  # torch resizes by them
    }
    return json.dumps(form)


def _code_of(part: Callable[..., object]) -> str:
    try:
        return inspect.getsource(part)
    except OSError:  # installed without sources: the version has to do
        return ""


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


class ImageCache:
    """The images in a cache file. Several threads may read them.

    Args:
        path: The file; ``None`` for an empty cache. A file that is missing, broken or foreign is an empty cache, too.
        form: See :func:`form_of_pixels`.
        num_bytes: Bytes of the pixels of an image.
    """

    def __init__(self, path: Path | None, form: str, num_bytes: int) -> None:
        self._form = hashlib.sha256(f"{form}\n".encode())
        self._num_bytes = num_bytes
        self._has_pixels = False
        self._rows: dict[bytes, tuple[int, bytes]] = {}
        self._lock = threading.Lock()
        self._file = None
        try:
            self._file = path.open("rb") if path is not None and path.is_file() else None  # a pipe would wait
            self._read_table()
        except OSError:
            self._rows = {}

    def key_of(self, content: bytes) -> bytes:
        """The key of an image by the content of its file."""
        digest = self._form.copy()
        digest.update(content)
        return digest.digest()

    def pixels(self, key: bytes) -> bytearray | None:
        """The pixels of an image; ``None`` if they are not there, or not as they were written."""
        if not self._has_pixels or key not in self._rows or self._file is None:
            return None
        row, checksum = self._rows[key]
        try:
            with self._lock:
                self._file.seek(HEADER.size + row * self._num_bytes)
                content = bytearray(self._file.read(self._num_bytes))
        except OSError:
            return None
        return content if hashlib.sha256(content).digest() == checksum else None

    def has(self, keys: Iterable[bytes], with_pixels: bool) -> bool:
        """Whether images are known to be readable, and whether their pixels are there."""
        return (self._has_pixels or not with_pixels) and all(key in self._rows for key in keys)

    def close(self) -> None:
        """Closes the file. The keys stay known."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read_table(self) -> None:
        if self._file is None:
            return
        header = self._file.read(HEADER.size)
        if len(header) < HEADER.size:
            return
        magic, num, num_bytes = HEADER.unpack(header)
        size = os.fstat(self._file.fileno()).st_size
        is_whole = num >= 0 and size == HEADER.size + num * (num_bytes + 2 * DIGEST)
        if magic != MAGIC or num_bytes not in (0, self._num_bytes) or not is_whole:
            return
        self._file.seek(HEADER.size + num * num_bytes)
        table = self._file.read()
        parts = [table[start : start + DIGEST] for start in range(0, len(table), DIGEST)]
        self._rows = {
            key: (row, checksum) for row, (key, checksum) in enumerate(zip(parts[::2], parts[1::2], strict=True))
        }
        self._has_pixels = num_bytes > 0


def write_cache(path: Path, images: Iterable[tuple[Decoded, bytes]], num_images: int, num_bytes: int) -> None:
    """Writes a cache file under a temporary name, and renames it.

    The file is not synced. After a power cut, pixels that disagree with their checksums are decoded again.

    Args:
        path: The file. Its folder is made.
        images: Images with their pixels; without pixels if ``num_bytes`` is 0.
        num_images: Number of images, or more.
        num_bytes: Bytes of the pixels of an image.

    Raises:
        OSError: If the folder cannot be written, or the disk has not twice the space. The rest is for the run.
    """
    folder = path.parent
    folder.mkdir(exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)  # of a process that was killed
    if shutil.disk_usage(folder).free < 2 * num_images * (num_bytes + 2 * DIGEST):
        raise OSError(ENOSPC, os.strerror(ENOSPC))
    (folder / "CACHEDIR.TAG").write_text(TAG)
    (folder / ".gitignore").write_text("*\n")
    try:
        with new.open("wb") as file:
            file.write(HEADER.pack(MAGIC, 0, num_bytes))
            table = []
            for decoded, pixels in images:
                file.write(pixels)
                table.append(decoded.key + decoded.checksum)
            file.write(b"".join(table))
            file.seek(0)
            file.write(HEADER.pack(MAGIC, len(table), num_bytes))
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
