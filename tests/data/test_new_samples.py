"""Samples from outside a data set have the form of its inputs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from al_lightning import FashionMNIST, InputError, NumpyFiles
from al_lightning.data.datamodule import PoolDataModule
from al_lightning.data.image_suffixes import HEIF, is_image
from al_lightning.data.images import ImageTransform
from al_lightning.data.new_samples import ROWS_IN_BLOCK, NewSamples, find_images
from al_lightning.data.source import Arrays


def inputs_of(samples: NewSamples) -> torch.Tensor:
    return torch.cat([block.inputs for block in samples])


@pytest.mark.parametrize("standardize", [True, False])
def test_rows_of_the_data_set_are_the_same_inputs_again(tmp_path: Path, standardize: bool) -> None:
    x = np.random.default_rng(0).normal(1e6, 1, (ROWS_IN_BLOCK + 50, 3))
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(len(x)) % 2)
    np.save(tmp_path / "x.npy", x)
    data = NumpyFiles(str(tmp_path / "data.npz"), test_fraction=0, standardize=standardize)
    for name in ("x.npy", "data.npz"):
        samples = data.new_samples(tmp_path / name)
        assert len(samples) == len(x)
        assert torch.equal(inputs_of(samples), data.inputs_at(torch.arange(len(x))))
        names = [name for block in samples for name in block.names]
        assert names[0] == f"{tmp_path / name}:0"
        assert names[-1] == f"{tmp_path / name}:{len(x) - 1}"


@pytest.mark.parametrize("scaling", ["standard", "unit", "raw"])
def test_fashion_mnist_scales_new_images_as_its_own(tmp_path: Path, scaling: str) -> None:
    data = FashionMNIST(scaling=scaling)
    own = data.inputs_at(torch.arange(5))
    raw = FashionMNIST(scaling="raw").inputs_at(torch.arange(5))
    np.save(tmp_path / "x.npy", raw.numpy().astype(np.uint8))
    torch.testing.assert_close(inputs_of(data.new_samples(tmp_path / "x.npy")), own)


def test_data_of_ones_own_say_that_they_read_no_other_samples(tmp_path: Path) -> None:
    class Own(PoolDataModule):
        def load(self) -> Arrays:
            return Arrays(torch.zeros(2, 1), torch.tensor([0, 1]), torch.zeros(0, 1), torch.zeros(0, dtype=torch.int64))

    with pytest.raises(InputError, match="but Own has no method `new_samples`"):
        Own().new_samples(tmp_path)


def test_images_of_several_sizes_are_refused_where_images_keep_their_size(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    Image.new("L", (8, 9)).save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"of one size, \(8, 8\), but got .*b.png of \(9, 8\)"):
        inputs_of(find_images(tmp_path, ImageTransform(None, 1)))


@pytest.mark.parametrize("suffix", [*sorted(HEIF), ".avif"])
def test_pictures_of_phones_are_read(tmp_path: Path, suffix: str) -> None:
    pixels = np.full((16, 16, 3), (200, 30, 90), np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}", quality=100)
    assert is_image(f"a{suffix.upper()}")
    found = inputs_of(find_images(tmp_path, ImageTransform(16)))
    torch.testing.assert_close(found, ImageTransform(16)(Image.fromarray(pixels))[None], atol=0.05, rtol=0)
