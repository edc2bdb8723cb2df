"""Datasets of torchvision by name, with the one that needs no download."""

import gzip
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from al_lightning.data import Arrays, Datasets, FashionMNIST, Torchvision
from al_lightning.data.fashion_mnist import FILES, find
from al_lightning.errors import InputError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fashion-MNIST as torchvision keeps it."""
    folder = tmp_path_factory.mktemp("data")
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    source = find(Path("data"))
    for file in FILES:
        packed = source / f"{file.name}.gz"
        if packed.is_file():
            with gzip.open(packed) as content, (raw / file.name).open("wb") as unpacked:
                shutil.copyfileobj(content, unpacked)
        else:
            shutil.copy(source / file.name, raw / file.name)
    return folder


def test_it_is_the_data_set(root: Path) -> None:
    data, expected = Torchvision("FashionMNIST", str(root), channels=1), FashionMNIST()
    assert isinstance(data.source, Arrays)
    assert data.train_targets.equal(expected.train_targets)
    assert data.test_targets.equal(expected.test_targets)
    assert data.class_names is not None
    assert data.class_names[9] == "Ankle boot"
    assert data.sample_inputs().shape == (1, 1, 28, 28)
    ours, theirs = data.source.test_inputs[:50].flatten(), expected.source.test_inputs[:50].flatten()
    slope = (ours[0] - ours.max()) / (theirs[0] - theirs.max())  # both are standardised, each in its way
    torch.testing.assert_close(ours - ours[0], (theirs - theirs[0]) * slope, atol=1e-4, rtol=1e-4)


class Invert(nn.Module):
    def forward(self, image):
        return 255 - image


def test_augmented_images_are_read_one_by_one(root: Path) -> None:
    data = Torchvision("FashionMNIST", str(root), image_size=14, train_transform=Invert(), num_workers=0)
    assert isinstance(data.source, Datasets)
    assert data.sample_inputs(2).shape == (2, 3, 14, 14)
    data.set_labeled(torch.tensor([3]))
    ((image, target),) = data.train_dataloader()
    assert target.item() == FashionMNIST().train_targets[3]
    scored = data.inputs_at(torch.tensor([3]))
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(image * std + mean + scored * std + mean, torch.ones_like(image), atol=0.02, rtol=0)


def test_what_is_not_there_and_cannot_be_downloaded_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=rf"Expected EuroSAT in `data.root` = {tmp_path}, but it is not there"
    ) as error:
        # a class that does not download unless it is told to
        Torchvision("EuroSAT", str(tmp_path), options={"download": False}).setup()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("CIFAR11", {}, "such as CIFAR10, but got `CIFAR11`"),
        ("VisionDatasets", {}, "but got `VisionDatasets`"),
        ("FashionMNIST", {"options": {"splits": "letters"}}, "to be arguments of FashionMNIST, but got `splits`"),
        ("FashionMNIST", {"image_size": 0}, "`data.image_size` to be at least 1"),
        ("FashionMNIST", {"num_workers": -1}, "`data.num_workers`"),
    ],
)
def test_names_and_options_that_are_none_are_refused(root: Path, name: str, arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Torchvision(name, str(root), **arguments).setup()
