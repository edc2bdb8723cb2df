"""Which files are images, and which folders hold no data, by their names."""

from contextlib import suppress
from functools import cache

from PIL import Image, features

with suppress(ImportError):  # the extra `heif`: pictures of phones
    from pillow_heif import register_heif_opener

    register_heif_opener()

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Formats that every version of Pillow reads."""

HEIF = frozenset({".heic", ".heif", ".hif"})
"""Pictures of phones, which pillow-heif reads."""

# Formats of single pictures, if the installed Pillow reads them.
IF_READ = frozenset(
    HEIF
    | {".apng", ".avif", ".dib", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jpf", ".jpx", ".mpo"}
    | {".pbm", ".pcx", ".pnm", ".psd", ".qoi", ".ras", ".sgi", ".tga", ".xbm", ".xpm"}
)

# Formats of cameras, scanners and drawing programs that Pillow does not read as one unambiguous picture.
NOT_READ = frozenset(
    {".ai", ".arw", ".cr2", ".cr3", ".dcm", ".dng", ".emf", ".eps", ".exr", ".hdr", ".jxl", ".jxr", ".nef", ".nii"}
    | {".orf", ".pfm", ".raf", ".raw", ".rw2", ".svg", ".wmf", ".xcf"}
)

NO_DATA = frozenset(
    {"__macosx", "__pycache__", "@eadir", "#recycle", "#snapshot", "$recycle.bin", "lost+found"}
    | {"system volume information"}
)
"""Folders that systems and programs leave behind."""


@cache
def readable_suffixes() -> frozenset[str]:
    """Suffixes of the files that are read as images here, in lower case."""
    known = Image.registered_extensions()
    found = {suffix for suffix in IF_READ if known.get(suffix) in Image.OPEN or suffix == ".mpo"}
    if not features.check_codec("jpg_2000"):
        found -= {suffix for suffix in found if known.get(suffix) == "JPEG2000"}
    return SUFFIXES | found


def is_image(name: str) -> bool:
    """Whether a file is read as an image."""
    return suffix_of(name) in readable_suffixes()


def should_be_image(name: str) -> bool:
    """Whether the name of a file says that it is an image of a format that is not read."""
    return suffix_of(name) in (IF_READ | NOT_READ) - readable_suffixes()


def suffix_of(name: str) -> str:
    """The suffix in lower case; empty for a file without a suffix."""
    start = name.rfind(".")
    return name[start:].lower() if start > 0 else ""


def is_no_data(name: str) -> bool:
    """Whether a folder is hidden, or left behind by a system or a program."""
    return name.startswith(".") or name.lower() in NO_DATA
