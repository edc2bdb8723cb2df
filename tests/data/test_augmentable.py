"""Tokens and tables are not augmented as images: such a run is refused before its first fit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import transforms as v1
from torchvision.transforms import v2

from al_lightning import Consistency, InputError, MixMatch, RandomShift
from al_lightning.data.augmentable import check_augmentable
from al_lightning.data.augmentations import augment_all
from tests.test_loop import run

TOKENS = torch.randint(1000, (4, 12))
FLIP = v2.RandomHorizontalFlip(p=1.0)


@pytest.mark.parametrize("transform", [RandomShift(), FLIP, v2.Compose([v2.RandomApply([FLIP])]), v1.RandomCrop(3)])
@pytest.mark.parametrize(
    ("inputs", "got"),
    [
        (TOKENS, r"integers, torch.int64 of shape \(12,\), as token ids are"),
        (TOKENS.int().view(4, 3, 4), r"integers, torch.int32"),
        (torch.randn(4, 12), r"inputs of shape \(12,\)"),
        (torch.randn(4, 12, 1), r"inputs of shape \(12, 1\)"),
        ({"input_ids": TOKENS, "attention_mask": TOKENS}, r"several tensors, of shapes input_ids: \(12,\)"),
        ((torch.randn(4, 8, 8), torch.randn(4, 8, 8)), "several tensors"),
    ],
)
def test_what_is_no_image_is_refused(transform: nn.Module, inputs: Any, got: str) -> None:
    with pytest.raises(InputError, match=rf"floats of shape \(..., H, W\), for the augmentation .*but got {got}"):
        check_augmentable(transform, inputs)


class Noise(nn.Module):
    """A user's augmentation."""

    def forward(self, inputs: Any) -> Any:
        return inputs | {"ids": inputs["ids"].flip(1)} if isinstance(inputs, dict) else inputs + 1


def test_what_may_be_changed_is_changed() -> None:
    assert augment_all(Noise(), TOKENS, 0).equal(TOKENS + 1)
    assert augment_all(Noise(), {"ids": TOKENS}, 0)["ids"].equal(TOKENS.flip(1))
    table, images = torch.randn(4, 12), torch.randn(4, 3, 8, 8)
    assert not augment_all(v2.GaussianNoise(), table, 0).equal(table)
    assert augment_all(FLIP, images, 0).equal(images.flip(-1))
    index = torch.arange(4)
    changed = augment_all(FLIP, {"image": images, "index": index}, 0)
    assert changed["image"].equal(images.flip(-1))
    assert changed["index"].equal(index)


@pytest.mark.parametrize("case", ["consistency", "mixmatch"])
def test_a_table_is_refused_before_the_first_fit(tmp_path: Path, case: str) -> None:
    """The digits of the tests are rows of 64 values."""
    model = MixMatch(input_dim=64) if case == "mixmatch" else None
    with pytest.raises(InputError, match=r"for the augmentation RandomShift, but got inputs of shape \(64,\)"):
        run(tmp_path / "run", Consistency() if case == "consistency" else None, model=model)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("inputs", [TOKENS, {"ids": TOKENS}])
def test_mixmatch_takes_floats_alone(inputs: Any) -> None:
    with pytest.raises(InputError, match="inputs of MixMatch to be one tensor of floats"):
        MixMatch().check_inputs(inputs)


def test_mixmatch_takes_images() -> None:
    images: Tensor = torch.randn(1, 28, 28)
    MixMatch().check_inputs(images)
