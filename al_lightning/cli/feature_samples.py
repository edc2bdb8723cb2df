"""The samples that features are made of: their files or texts, their checksums and their classes."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from al_lightning.data import Arrays, PoolDataModule
from al_lightning.data.arranged_rows import digest_of
from al_lightning.data.blocks import Blocks
from al_lightning.data.growth import file_digest, relative_name
from al_lightning.data.image_suffixes import readable_suffixes, suffix_of


@dataclass(frozen=True)
class Samples:
    """Training or test samples, without their features."""

    targets: np.ndarray
    """Class indices, int64, shape ``(N,)``, -1 where unknown."""
    files: Sequence[str] = ()
    """Paths relative to the folder of the data; none if the samples are no image files."""
    texts: Sequence[str] = ()
    checksums: Sequence[str] = ()
    """A digest of each file, text or row; none for samples on disk that are neither."""

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.targets)

    def digest(self) -> str:
        """Identifies the samples, their order and their classes."""
        sha256 = hashlib.sha256(self.targets.tobytes())
        for name in (*self.files, *self.checksums):
            sha256.update(name.encode("utf-8", "surrogatepass") + b"\0")
        return sha256.hexdigest()


def samples_of(data: PoolDataModule) -> tuple[Samples, Samples | None, Path | None]:
    """Describes the samples of data.

    Returns:
        The training samples, the test samples if there are any, and the folder of the files if there are files.
    """
    targets, test_targets = _array(data.train_targets), _array(data.test_targets)
    num, is_test = len(targets), len(test_targets) > 0
    paths = [data.file_of(index) for index in range(num)]
    images = [path for path in paths if path is not None and suffix_of(path) in readable_suffixes()]
    if len(images) == num:
        root = _root(data, images)
        test_paths = data.test_files() if len(data.test_files()) == len(test_targets) else []
        train, test = (
            Samples(labels, [relative_name(Path(path), root) for path in files], (), _digests(files))
            for labels, files in ((targets, images), (test_targets, test_paths))
        )
        return train, test if is_test else None, root
    if data.shows_texts:
        texts, test_texts = [data.text_of(index) for index in range(num)], list(data.test_texts())
        train, test = (
            Samples(labels, (), of_part, [digest_of(text) for text in of_part])
            for labels, of_part in ((targets, texts), (test_targets, test_texts))
        )
        return train, test if is_test else None, None
    train, test = (
        Samples(labels, (), (), _rows(data, blocks))
        for labels, blocks in ((targets, data.train_blocks()), (test_targets, data.test_blocks()))
    )
    return train, test if is_test else None, None


def _root(data: PoolDataModule, paths: Sequence[str]) -> Path:
    """The folder of the data, or else the innermost folder with all files."""
    root = getattr(data, "root", None)
    return (
        Path(root) if root is not None else Path(os.path.commonpath([os.path.dirname(path) or "." for path in paths]))
    )


def _digests(paths: Iterable[str]) -> list[str]:
    return [file_digest(Path(path)) for path in paths]


def _rows(data: PoolDataModule, blocks: Blocks) -> list[str]:
    """Digests of inputs in memory. Inputs on disk are read once, for the features."""
    if not isinstance(data.source, Arrays) or len(blocks) == 0:
        return []
    return [hashlib.sha256(row.numpy().tobytes()).hexdigest() for block in blocks for row in block]


def _array(targets: Tensor) -> np.ndarray:
    return targets.numpy().astype(np.int64)
