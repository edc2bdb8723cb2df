"""Sketches of inputs: other values differ, but not the last digits of another machine."""

import json

import pytest
import torch
from torch import Tensor

from al_lightning.run_folder.fingerprint.sketch import sketch
from al_lightning.run_folder.fingerprint.sketched import differs


def inputs(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def change(before: Tensor, after: Tensor, is_decoded: bool = False) -> str | None:
    """The message about two data sets; the first is read back from JSON, as from a run folder."""
    was = json.loads(json.dumps(sketch(before.split(100), len(before), is_decoded)))
    return differs(was, sketch(after.split(7), len(after), is_decoded))


@pytest.mark.parametrize("shape", [(3, 2), (50, 8), (1400, 1, 8, 8), (5000, 3), (40, 3, 32, 32)])
@pytest.mark.parametrize("is_decoded", [False, True])
def test_one_other_value_is_seen(shape: tuple[int, ...], is_decoded: bool) -> None:
    before = inputs(*shape)
    assert change(before, before.clone(), is_decoded) is None
    after = before.clone()
    after.view(-1)[after.numel() // 2] += 0.5
    assert change(before, after, is_decoded) == "the values changed"


def test_rows_and_columns_that_are_exchanged_are_seen() -> None:
    before = inputs(300, 6)
    order = torch.arange(300)
    order[[7, 8]] = torch.tensor([8, 7])
    assert change(before, before[order]) == "the values changed"
    assert change(before, before[:, [0, 1, 2, 3, 5, 4]]) == "the values changed"


@pytest.mark.parametrize("factor", [100.0, 2.0, 0.5, 1.001])
@pytest.mark.parametrize("shape", [(300, 6), (30, 1, 8, 8)])
def test_another_scale_is_seen(factor: float, shape: tuple[int, ...]) -> None:
    assert change(inputs(*shape), inputs(*shape) * factor) == "the values changed"


@pytest.mark.parametrize("shape", [(300, 6), (2000, 300), (300, 1, 8, 8)])
def test_last_digits_are_no_difference(shape: tuple[int, ...]) -> None:
    before = inputs(*shape) + 3
    noise = 1 + 2e-7 * inputs(*shape, seed=1)
    assert not before.equal(before * noise)
    assert change(before, before * noise) is None
    mean, std = before.double().mean(), before.double().std()
    assert change((before - mean.float()) / std.float(), ((before.double() - mean) / std).float()) is None


def test_a_column_of_large_numbers_hides_no_other() -> None:
    before = inputs(400, 3)
    before[:, 0] = 1.7e9 + 1e6 * before[:, 0]
    after = before.clone()
    after[:, 2] = inputs(400, seed=5)
    assert change(before, after) == "the values changed"
    one = before.clone()
    one[200, 2] += 0.5
    assert change(before, one) == "the values changed"


def test_whole_numbers_are_told_apart_exactly() -> None:
    before = torch.randint(0, 50_000, (500, 20), generator=torch.Generator().manual_seed(0))
    assert change(before, before.clone()) is None
    after = before.clone()
    after[333, 3] += 1
    assert change(before, after) == "the values changed"
    assert change(before, before[torch.randperm(500, generator=torch.Generator().manual_seed(1))]) is not None
    assert change(before.int(), before) is None  # the same numbers, in more bits
    assert change(before, before.float()) == "the values were whole numbers and are real numbers"


def test_the_shape_is_named() -> None:
    assert change(inputs(9, 4), inputs(8, 4)) == "the shape was (9, 4) and is (8, 4)"
    assert change(inputs(9, 4), inputs(9, 2, 2)) == "the shape was (9, 4) and is (9, 2, 2)"


def test_grey_values_of_another_decoder_are_no_difference_and_other_images_are() -> None:
    images = torch.randint(0, 256, (40, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    other = (images + torch.randint(-1, 2, images.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 255)

    def standardised(grey: Tensor) -> Tensor:
        return (grey / 255 - 0.45) / 0.225

    was = sketch([standardised(images)], 40, is_decoded=True)
    assert differs(was, sketch([standardised(other)], 40, is_decoded=True)) == "the values changed"
    was[0]["decoder"] = "of another machine"
    assert differs(was, sketch([standardised(other)], 40, is_decoded=True)) is None
    one = images.clone()
    one[17] = images[18]
    assert differs(was, sketch([standardised(one)], 40, is_decoded=True)) == "the values changed"


def test_each_tensor_of_a_sample_counts() -> None:
    ids = torch.arange(60).view(20, 3)
    blocks = [{"ids": ids, "mask": torch.ones(20, 3, dtype=torch.int64)}]
    was = sketch(blocks, 20, is_decoded=True)
    assert len(was) == 2
    assert differs(was, sketch([{"ids": ids, "mask": torch.ones(20, 3).long()}], 20, True)) is None
    masked = torch.ones(20, 3).long()
    masked[0, 2] = 0
    assert differs(was, sketch([{"ids": ids, "mask": masked}], 20, True)) == "the values changed"
    assert differs(was, sketch([ids], 20, True)) == "there were 2 tensors in a sample and are 1"


def test_a_large_data_set_is_taken_in_part_and_briefly() -> None:
    many = torch.zeros(20_000, 1000)
    found = sketch(many.split(2048), len(many), is_decoded=False)
    assert found[0]["shape"] == [20_000, 1000]
    assert len(json.dumps(found)) < 4000


def test_what_is_no_number_is_equal_to_itself() -> None:
    odd = torch.tensor([[float("nan"), 1.0], [float("inf"), 2.0]])
    assert change(odd, odd.clone()) is None
