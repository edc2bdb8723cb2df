"""A file of features: rows that a network made of images or texts, with their files, classes and checksums.

The file is an uncompressed ``.npz`` archive, so ``numpy.load`` reads it, too. Its arrays are:

- ``features``: float32 or float16, shape ``(N, D)``.
- ``targets``: int64, shape ``(N,)``: class indices, -1 where unknown.
- ``files``: text, shape ``(N,)``: paths relative to the folder of the data.
- ``texts``: all texts in UTF-8, one after the other, uint8.
- ``text_ends``: int64, shape ``(N,)``: where each text ends, in bytes.
- ``checksums``: ASCII, shape ``(N,)``: a digest of each file, text or row.
- ``test_features``, ``test_targets`` and so on: the same for the test set, if the data have one of their own.
- ``classes``: text, shape ``(C,)``: names of the classes.
- ``made_with``: text: JSON that says what made the rows.

An array that does not apply is absent, for example ``files`` without files.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from al_lightning.data.npz import read_npz, write_npz
from al_lightning.errors import InputError

FORMAT, VERSION = "al-lightning features", 1
TEST = "test_"  # in front of the names of the test set's arrays


@dataclass(frozen=True)
class Part:
    """The training or the test samples of a file of features."""

    features: np.ndarray
    """float32 or float16, shape ``(N, D)``. It may be on disk."""
    targets: np.ndarray
    """Class indices, int64, shape ``(N,)``, -1 where unknown."""
    files: Sequence[str] = ()
    """Path of each sample's file, relative to the folder of the data; none if the samples have no files."""
    texts: Sequence[str] = ()
    """Text of each sample; none if the samples are no texts."""
    checksums: Sequence[str] = ()
    """A digest of each sample's file, text or row."""

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.features)


@dataclass(frozen=True)
class FeaturesFile:
    """The content of a file of features."""

    train: Part
    test: Part | None = None
    """The test samples, if the data have a test set of their own."""
    classes: tuple[str, ...] = ()
    """Names of the classes in the order of their indices; none if they have only numbers."""
    made_with: Mapping[str, Any] = field(default_factory=dict)
    """What made the rows, in plain values: ``data``, ``root``, ``model``, ``weights``, ``precision`` and others."""


def read_features(path: Path, option: str = "data.path") -> FeaturesFile:
    """Opens a file of features. The rows stay on disk until they are used.

    Args:
        path: The file.
        option: The option that names it, for messages.

    Raises:
        InputError: If the file is missing, torn, or another kind of file.
    """
    arrays = read_npz(path, option)
    if "made_with" not in arrays or "features" not in arrays:
        held = ", ".join(arrays) or "nothing"
        raise InputError(
            f"Expected `{option}` {path} to be a file of `al-lightning features`, but it holds {held}; arrays of your "
            "own are read by `--data NumpyFiles`."
        )
    made_with = _made_with(arrays, path, option)
    train = _part(arrays, "", path, option)
    test = _part(arrays, TEST, path, option) if f"{TEST}features" in arrays else None
    if test is not None and test.features.shape[1] != train.features.shape[1]:
        raise _bad(path, option, f"test_features of width {test.features.shape[1]}, not {train.features.shape[1]}")
    classes = tuple(str(name) for name in arrays["classes"]) if "classes" in arrays else ()
    highest = max((int(part.targets.max()) for part in (train, test) if part is not None and len(part)), default=-1)
    if classes and highest >= len(classes):
        raise _bad(path, option, f"a target of {highest} with {len(classes)} classes")
    return FeaturesFile(train, test, classes, made_with)


def write_features(path: str | Path, content: FeaturesFile) -> None:
    """Writes a file of features, completely or not at all. An old file of this name is replaced.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> rows = np.eye(3, dtype=np.float32)
        >>> with TemporaryDirectory() as folder:
        ...     write_features(Path(folder, "rows.npz"), FeaturesFile(Part(rows, np.array([0, 1, -1]))))
        ...     read_features(Path(folder, "rows.npz")).train.targets.tolist()
        [0, 1, -1]

    Raises:
        InputError: If the features are not finite, or the parts do not go together.
        OSError: If the disk is full, or the folder cannot be written.
    """
    arrays = _arrays(content.train, "")
    if content.test is not None:
        arrays |= _arrays(content.test, TEST)
    if content.classes:
        arrays["classes"] = np.array(content.classes)
    said = {"format": FORMAT, "version": VERSION, **content.made_with}
    arrays["made_with"] = np.array(json.dumps(said, ensure_ascii=False))
    path = Path(path)
    new = path.with_name(f"{path.name}.new")
    try:
        with new.open("wb") as file:
            write_npz(file, arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def check_finite(rows: np.ndarray, names: Sequence[str] = ()) -> None:
    """Raises :class:`InputError` if a row has NaN or infinity, with the name of its sample."""
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        name = names[row] if row < len(names) else f"row {row}"
        hint = "; float16 holds numbers up to 65504, `--dtype float32` larger ones" if rows.dtype == np.float16 else ""
        raise InputError(f"Expected finite features, but those of {name} have NaN or infinity{hint}.")


def _arrays(part: Part, prefix: str) -> dict[str, np.ndarray]:
    features = part.features
    if features.ndim != 2 or features.dtype not in (np.float16, np.float32):
        raise InputError(
            f"Expected features of shape (N, D), float32 or float16, but got {features.dtype} of shape "
            f"{features.shape}."
        )
    for name in ("targets", "files", "texts", "checksums"):
        values = getattr(part, name)
        if len(values) != len(part) and (name == "targets" or len(values)):
            raise InputError(f"Expected as many {name} as features, {len(part)}, but got {len(values)}.")
    for start in range(0, len(part), 4096):
        rows = slice(start, start + 4096)
        check_finite(features[rows], part.files[rows] or [f"row {start + i}" for i in range(len(features[rows]))])
    arrays = {"features": features, "targets": np.asarray(part.targets, np.int64)}
    if part.files:
        arrays["files"] = np.array(part.files, dtype=np.str_)
    if part.texts:
        encoded = [text.encode("utf-8", "surrogatepass") for text in part.texts]
        arrays["texts"] = np.frombuffer(b"".join(encoded), np.uint8)
        arrays["text_ends"] = np.cumsum([len(text) for text in encoded], dtype=np.int64)
    if part.checksums:
        arrays["checksums"] = np.array([checksum.encode("ascii") for checksum in part.checksums])
    return {prefix + name: array for name, array in arrays.items()}


def _part(arrays: Mapping[str, np.ndarray], prefix: str, path: Path, option: str) -> Part:
    features, targets = arrays[f"{prefix}features"], arrays.get(f"{prefix}targets")
    if features.ndim != 2 or features.dtype not in (np.float16, np.float32):
        raise _bad(path, option, f"{prefix}features of {features.dtype} and shape {features.shape}")
    if targets is None or targets.dtype.kind != "i" or targets.shape != features.shape[:1]:
        raise _bad(path, option, f"{prefix}targets that do not go with {len(features)} features")
    if len(targets) and int(targets.min()) < -1:
        raise _bad(path, option, f"a target of {int(targets.min())}")
    texts: list[str] = []
    if f"{prefix}texts" in arrays:
        whole, ends = arrays[f"{prefix}texts"].tobytes(), arrays[f"{prefix}text_ends"].tolist()
        pairs = zip([0, *ends], ends, strict=False)
        texts = [whole[start:stop].decode("utf-8", "surrogatepass") for start, stop in pairs]
    part = Part(
        features,
        np.asarray(targets, np.int64),
        [str(file) for file in arrays.get(f"{prefix}files", ())],
        texts,
        [bytes(checksum).decode("ascii") for checksum in arrays.get(f"{prefix}checksums", ())],
    )
    for name in ("files", "texts", "checksums"):
        if len(getattr(part, name)) not in (0, len(part)):
            raise _bad(path, option, f"{prefix}{name} that do not go with {len(part)} features")
    return part


def _made_with(arrays: Mapping[str, np.ndarray], path: Path, option: str) -> dict[str, Any]:
    try:
        said = json.loads(str(arrays["made_with"]))
    except ValueError:
        said = None
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise _bad(path, option, "something else in `made_with`")
    if said.get("version") != VERSION:
        raise _bad(path, option, f"version {said.get('version')} of the format, not {VERSION}")
    return said


def _bad(path: Path, option: str, what: str) -> InputError:
    return InputError(f"Expected `{option}` {path} to be a file of `al-lightning features`, but got {what}.")
