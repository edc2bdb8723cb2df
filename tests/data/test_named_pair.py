"""A batch that is both a mapping and a pair, after all operations of Lightning, processes and models."""

import pickle
from collections import OrderedDict
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins.precision import HalfPrecision
from lightning.pytorch.utilities.data import extract_batch_size
from lightning_utilities import apply_to_collection

from al_lightning.data.named_pair import NamedPair, named_pair

IMAGES, CLASSES = torch.randn(3, 2), torch.tensor([0, 1, 1])


def batch() -> NamedPair:
    return named_pair("image", "label", {"index": torch.arange(3), "label": CLASSES, "image": IMAGES})


@pytest.mark.parametrize(
    "changed",
    [
        lambda b: b,
        lambda b: pickle.loads(pickle.dumps(b)),
        lambda b: apply_to_collection(b, torch.Tensor, torch.clone),
        lambda b: HalfPrecision("bf16-true").convert_input(b),
        lambda b: type(b)(OrderedDict(b.items())),
    ],
)
def test_it_is_a_pair_and_a_mapping(changed: Any) -> None:
    got = changed(batch())
    x, y = got
    torch.testing.assert_close(x.float(), IMAGES, atol=0.02, rtol=0.02)
    assert y.equal(CLASSES)
    assert got[0] is got["image"] is x
    assert got[1] is got["label"]
    assert (lambda **names: sorted(names))(**got) == ["image", "index", "label"]
    assert sorted({**got}) == sorted(dict(got)) == ["image", "index", "label"]
    assert extract_batch_size(got) == 3
    with pytest.raises(KeyError):
        got["depth"]
