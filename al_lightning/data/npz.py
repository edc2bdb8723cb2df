"""Archives of arrays in NumPy's form ``.npz``, whose arrays stay on disk until they are read."""

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from al_lightning.errors import InputError

ALIGNMENT = 64
"""Bytes. An array in memory-mapped form begins at a multiple of this."""
LOCAL_HEADER, ZIP64_FIELD, FIELD = 30, 20, 4  # bytes in front of a member of an archive
PADDING = 0xD935  # number of an extra field that only fills up: the same as in Android's archives
ROWS = 4096  # rows that are written in one step


def read_npz(path: Path, option: str) -> dict[str, np.ndarray]:
    """Opens all arrays of an archive.

    Arrays that are not compressed are mapped into memory: their rows are read from disk when they are used.

    Args:
        path: The archive.
        option: The option that names it, for messages.

    Raises:
        InputError: If the file is missing, torn, or no archive of arrays.
    """
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                torn = file.seek(0) == 0 and file.read(2) == b"PK"
                what = "a torn one" if torn else "something else"
                raise InputError(f"Expected `{option}` {path} to be an archive of arrays (.npz), but got {what}.")
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            bad = archive.testzip()
            if bad is not None:
                raise InputError(f"Expected `{option}` {path} to be whole, but {bad} in it is torn.")
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            return {info.filename.removesuffix(".npy"): _member(archive, info, file, path) for info in members}
    except FileNotFoundError:
        raise InputError(f"Expected `{option}` to be a file, but there is no {path}.") from None
    except IsADirectoryError:
        raise InputError(f"Expected `{option}` to be a file, but {path} is a folder.") from None
    except InputError:
        raise  # it is a ValueError, but says all
    except (ValueError, EOFError, NotImplementedError, zipfile.BadZipFile) as error:
        what = str(error).rstrip(".")
        raise InputError(f"Expected `{option}` {path} to be an archive of arrays (.npz), but got: {what}.") from error


def write_npz(file: IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an archive whose arrays can be mapped into memory. ``numpy.load`` reads it as well.

    Args:
        file: The file, open to write.
        arrays: The arrays by name. Large arrays may be on disk.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy")  # of a fixed date, so that equal arrays are equal bytes
            before = archive.start_dir + LOCAL_HEADER + len(info.filename.encode()) + ZIP64_FIELD + FIELD
            num_more = -before % ALIGNMENT
            info.extra = struct.pack("<HH", PADDING, num_more) + bytes(num_more)
            with archive.open(info, "w", force_zip64=True) as member:
                header: dict[str, Any] = npy.header_data_from_array_1_0(np.empty((0, *array.shape[1:]), array.dtype))
                npy.write_array_header_1_0(member, {**header, "shape": array.shape})
                for start in range(0, len(array) if array.ndim else 1, ROWS):
                    rows = array[start : start + ROWS] if array.ndim else array
                    member.write(np.ascontiguousarray(rows).tobytes())


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: IO[bytes], path: Path) -> np.ndarray:
    """One array: mapped into memory, or read if it is compressed or empty."""
    if info.compress_type == zipfile.ZIP_STORED:
        file.seek(info.header_offset)
        name_length, extra_length = struct.unpack("<HH", file.read(LOCAL_HEADER)[26:30])
        file.seek(name_length + extra_length, 1)
        version = npy.read_magic(file)
        if version == (1, 0):
            shape, is_fortran, dtype = npy.read_array_header_1_0(file)
            if 0 not in shape and shape and not dtype.hasobject:
                order: Any = "F" if is_fortran else "C"
                return np.memmap(path, dtype, "r", file.tell(), shape, order)
    with archive.open(info) as member:
        return npy.read_array(member, allow_pickle=False)
