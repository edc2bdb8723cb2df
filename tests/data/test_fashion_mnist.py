"""FashionMNIST: the folders that are searched, and the messages about wrong files."""

import gzip
import hashlib
import shutil
import struct
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision import datasets

from al_lightning.data import fashion_mnist
from al_lightning.data.fashion_mnist import FILES, FashionMNIST, IdxFile, find, read
from al_lightning.errors import InputError

LABELS = FILES[3]


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of the real files, which scripts/test provides."""
    return find(Path("data"))


@pytest.fixture
def copied(real: Path, tmp_path: Path) -> Path:
    """A folder with copies of the four files."""
    for path in real.glob("*-ubyte.gz"):
        shutil.copy(path, tmp_path)
    return tmp_path


def rewrite(path: Path, content: bytes) -> None:
    with gzip.open(path, "wb") as file:
        file.write(content)


def test_the_real_data_are_read_as_torchvision_reads_them(real: Path, tmp_path: Path) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for file in FILES:
        (raw / file.name).write_bytes(gzip.decompress((real / f"{file.name}.gz").read_bytes()))
    arrays = FashionMNIST(root=str(tmp_path)).load()  # also: unpacked files, in torchvision's folder
    train, test = (datasets.FashionMNIST(str(tmp_path), train=train) for train in (True, False))
    assert torch.equal(arrays.train_targets, train.targets)
    assert torch.equal(arrays.test_targets, test.targets)
    pixels = train.data.float()
    torch.testing.assert_close(arrays.train_inputs, (pixels - pixels.mean()) / pixels.std())
    torch.testing.assert_close(arrays.test_inputs, (test.data.float() - pixels.mean()) / pixels.std())
    for scaling, factor in (("unit", 255), ("raw", 1)):
        scaled = FashionMNIST(root=str(tmp_path), scaling=scaling).load()
        torch.testing.assert_close(scaled.train_inputs, pixels / factor)
        torch.testing.assert_close(scaled.test_inputs, test.data.float() / factor)
    assert arrays.train_inputs.dtype == torch.float32
    assert arrays.train_targets.bincount().tolist() == [6000] * 10


def test_root_comes_before_the_system_folder(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDER", copied)
    assert find(copied / "empty") == copied
    nested = copied / "root" / "FashionMNIST" / "raw"
    nested.mkdir(parents=True)
    shutil.copy(copied / f"{LABELS.name}.gz", nested)
    assert find(copied / "root") == nested


def test_without_any_source_both_ways_to_get_it_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDER", tmp_path / "none")

    def unreachable(*args: object, **kwargs: object) -> None:
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz")

    monkeypatch.setattr(datasets.FashionMNIST, "download", unreachable)
    (tmp_path / "own").mkdir()
    for root in ("data", "some/where", "own"):
        with pytest.raises(InputError, match="data.root.*four files there.*dataset-fashion-mnist"):
            FashionMNIST(root=str(tmp_path / root)).setup()
    assert [path.name for path in tmp_path.rglob("*")] == ["own"]  # nothing else was left behind


def test_a_download_lands_in_root(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDER", tmp_path / "none")

    def fetch(self: datasets.FashionMNIST) -> None:
        Path(self.raw_folder).mkdir(parents=True)
        for file in FILES:
            content = gzip.decompress((copied / f"{file.name}.gz").read_bytes())
            (Path(self.raw_folder) / file.name).write_bytes(content)

    monkeypatch.setattr(datasets.FashionMNIST, "download", fetch)
    root = tmp_path / "root"
    assert find(root) == root / "FashionMNIST" / "raw"
    assert read(find(root), LABELS).shape == (10_000,)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_missing_file_is_named(copied: Path, file: IdxFile) -> None:
    (copied / f"{file.name}.gz").unlink()
    with pytest.raises(InputError, match=f"{file.name}.gz in .* missing"):
        FashionMNIST(root=str(copied)).setup()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_truncated_gzip_file_is_named(copied: Path, file: IdxFile) -> None:
    path = copied / f"{file.name}.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=f"{file.name}.gz to be a whole gzip file"):
        read(copied, file)


@pytest.mark.parametrize("content", [b"", b"not gzip at all"])
def test_a_file_that_is_no_gzip_is_named(copied: Path, content: bytes) -> None:
    (copied / f"{LABELS.name}.gz").write_bytes(content)
    with pytest.raises(InputError, match=LABELS.name):
        read(copied, LABELS)


def test_swapped_files_are_named(copied: Path) -> None:
    for a, b, message in [(0, 2, "shape .60000, 28, 28., but got .10000, 28, 28."), (2, 3, "start with bytes")]:
        shutil.copy(copied / f"{FILES[b].name}.gz", copied / "swapped.gz")
        first = IdxFile("swapped", FILES[a].shape, FILES[a].sha256)
        with pytest.raises(InputError, match=f"swapped.gz to .*{message}"):
            read(copied, first)


def test_a_truncated_unpacked_file_is_named(copied: Path) -> None:
    content = gzip.decompress((copied / f"{LABELS.name}.gz").read_bytes())
    (copied / f"{LABELS.name}.gz").unlink()
    (copied / LABELS.name).write_bytes(content[:-1])
    with pytest.raises(InputError, match="to hold 10000 values, but got 9999"):
        read(copied, LABELS)
    (copied / LABELS.name).write_bytes(content[:6])
    with pytest.raises(InputError, match=LABELS.name):
        read(copied, LABELS)


def test_one_changed_byte_is_noticed(copied: Path) -> None:
    path = copied / f"{LABELS.name}.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[5000] = (content[5000] + 1) % 10
    rewrite(path, bytes(content))
    with pytest.raises(InputError, match="SHA-256"):
        read(copied, LABELS)


def test_read_returns_the_values_in_order(tmp_path: Path) -> None:
    values = torch.arange(24, dtype=torch.uint8).view(2, 3, 4)
    content = struct.pack(">4B3I", 0, 0, 8, 3, 2, 3, 4) + bytes(range(24))
    (tmp_path / "x").write_bytes(content)
    got: Tensor = read(tmp_path, IdxFile("x", (2, 3, 4), hashlib.sha256(content).hexdigest()))
    assert torch.equal(got, values)


def test_an_unknown_scaling_raises() -> None:
    with pytest.raises(InputError, match="`data.scaling` to be standard or unit or raw, but got minmax"):
        FashionMNIST(scaling="minmax")
