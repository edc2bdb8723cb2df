"""Fashion-MNIST (Xiao et al., 2017), found on disk or downloaded, and checked before use."""

import gzip
import hashlib
import socket
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple, get_args
from urllib.error import URLError

import numpy as np
import torch
from torch import Tensor

from al_lightning.data.datamodule import PoolDataModule
from al_lightning.data.new_samples import NewRows, check_rows, load_rows
from al_lightning.data.source import Arrays
from al_lightning.errors import InputError
from al_lightning.paths import expanded

SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package ``dataset-fashion-mnist`` puts the files."""

Scaling = Literal["standard", "unit", "raw"]

DOWNLOAD_TIMEOUT = 30.0
"""A download fails after this many seconds without an answer."""


class IdxFile(NamedTuple):
    """One of the four files, with the properties that its unpacked bytes must have."""

    name: str
    shape: tuple[int, ...]
    sha256: str


FILES = (
    IdxFile(
        "train-images-idx3-ubyte",
        (60_000, 28, 28),
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    IdxFile(
        "train-labels-idx1-ubyte",
        (60_000,),
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    IdxFile(
        "t10k-images-idx3-ubyte",
        (10_000, 28, 28),
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    IdxFile(
        "t10k-labels-idx1-ubyte",
        (10_000,),
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)


class FashionMNIST(PoolDataModule):
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28 x 28 grey values, 10 classes.

    The four files are searched in ``root``, then in the folder of Debian's package ``dataset-fashion-mnist``. Otherwise
    torchvision downloads them to ``root``. Images are held in memory as float32.

    Args:
        root: Folder of the data set. The four files, packed or not, lie in this folder or in its ``FashionMNIST/raw``.
        num_initial: Number of samples labeled before the first round.
        initial: How the initial set is chosen, see :class:`~al_lightning.data.PoolDataModule`.
        batch_size: Samples in a minibatch of training.
        scaling: How grey values are scaled. ``standard`` subtracts the mean of the training images and divides by their
            standard deviation. ``unit`` is from 0 to 1, and ``raw`` from 0 to 255.
        initial_features: See :class:`~al_lightning.data.PoolDataModule`.

    Raises:
        InputError: If the files cannot be found or downloaded, or if a file has the wrong content. The message names
            the file.
    """

    class_names = (
        "T-shirt",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )

    def __init__(
        self,
        root: str = "data",
        num_initial: int = 500,
        initial: str = "random",
        batch_size: int = 64,
        scaling: Scaling = "standard",
        initial_features: str = "inputs",
    ) -> None:
        super().__init__(num_initial, initial, batch_size, initial_features=initial_features)
        if scaling not in get_args(Scaling):
            raise InputError(f"Expected `data.scaling` to be {' or '.join(get_args(Scaling))}, but got {scaling}.")
        self.root = expanded(root)
        self.scaling = scaling

    def load(self) -> Arrays:
        folder = find(Path(self.root))
        train_images, train_labels, test_images, test_labels = (read(folder, file) for file in FILES)
        train_inputs, test_inputs = train_images.float(), test_images.float()
        if self.scaling == "standard":
            self._std, self._mean = torch.std_mean(train_inputs)
        for inputs in (train_inputs, test_inputs):
            self._scale(inputs)
        return Arrays(train_inputs, train_labels.long(), test_inputs, test_labels.long())

    def new_samples(self, path: Path) -> NewRows:
        """Images in a ``.npy`` file: grey values from 0 to 255, shape ``(N, 28, 28)``."""
        self.setup()
        images = check_rows(load_rows(path), path, torch.empty(0, 28, 28))
        return NewRows(images, str(path), lambda rows: self._scale(torch.from_numpy(np.array(rows, np.float32))))

    def _scale(self, inputs: Tensor) -> Tensor:
        """Scales grey values from 0 to 255, in place."""
        if self.scaling == "standard":
            inputs.sub_(self._mean).div_(self._std)
        elif self.scaling == "unit":
            inputs.div_(255)
        return inputs


def find(root: Path) -> Path:
    """Returns the folder that holds the four files; downloads them to ``root`` if they are missing."""
    for folder in (root, root / "FashionMNIST" / "raw", SYSTEM_FOLDER):
        if any(_path(folder, file) for file in FILES):
            return folder
    return download(root)


def download(root: Path) -> Path:
    """Downloads the four files with torchvision, which checks them against its checksums."""
    from torchvision import datasets  # slow to import, and only needed once

    raw = root / "FashionMNIST" / "raw"
    missing = [path for path in (raw.parent, root, *root.parents) if not path.exists()]  # innermost folder first
    try:
        raw.parent.mkdir(parents=True, exist_ok=True)
        # The folder gets its name when the download is complete, so that a partial download is never used as data.
        with _socket_timeout(DOWNLOAD_TIMEOUT), TemporaryDirectory(dir=raw.parent) as folder:
            datasets.FashionMNIST(folder, download=True)
            (Path(folder) / "FashionMNIST" / "raw").rename(raw)
    except (RuntimeError, URLError, OSError) as error:
        for path in missing:
            with suppress(OSError):  # the folder does not exist, or is no longer empty
                path.rmdir()
        raise InputError(
            f"Expected Fashion-MNIST in `data.root` = {root}, but it is not there and could not be downloaded: put the "
            f"four files there, or install Debian's package dataset-fashion-mnist with apt-get."
        ) from error
    return raw


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _path(folder: Path, file: IdxFile) -> Path | None:
    """The file in a folder, packed or not; ``None`` if it is not there."""
    paths = (folder / f"{file.name}.gz", folder / file.name)
    return next((path for path in paths if path.is_file()), None)


def read(folder: Path, file: IdxFile) -> Tensor:
    """Reads one idx file into a uint8 tensor, after a check that it is the right file.

    Args:
        folder: Where the file lies, gzipped or not.
        file: The properties that it must have.

    Raises:
        InputError: If the file is missing, truncated, or a different file. The message says which.
    """
    path = _path(folder, file)
    if path is None:
        raise InputError(f"Expected the Fashion-MNIST file {file.name}.gz in {folder}, but it is missing.")
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"Expected {path} to be a whole gzip file, but got: {error}.") from error

    # An idx file begins with 0, 0, 8 (unsigned bytes) and the number of dimensions. The size of each dimension follows
    # as big-endian uint32.
    header = struct.pack(f">4B{len(file.shape)}I", 0, 0, 8, len(file.shape), *file.shape)
    if content[:4] != header[:4]:
        raise InputError(f"Expected {path} to start with bytes {header[:4].hex()}, but got {content[:4].hex()}.")
    if content[: len(header)] != header:
        dims = struct.unpack(f">{len(file.shape)}I", content[4 : len(header)].ljust(len(header) - 4, b"\0"))
        raise InputError(f"Expected {path} to be of shape {file.shape}, but got {dims}.")
    num_bytes = torch.Size(file.shape).numel()
    if len(content) - len(header) != num_bytes:
        raise InputError(f"Expected {path} to hold {num_bytes} values, but got {len(content) - len(header)}.")
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != file.sha256:
        raise InputError(f"Expected {path} to have SHA-256 {file.sha256[:12]}..., but got {sha256[:12]}...")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=len(header)).view(file.shape)
