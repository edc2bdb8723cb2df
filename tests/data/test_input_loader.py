"""InputLoader: each epoch has all inputs once, in an order that the seed and the epoch decide."""

from itertools import chain

import pytest
import torch

from al_lightning import Digits
from al_lightning.data.blocks import TensorRows
from al_lightning.data.input_loader import InputLoader


def loader(num: int = 10, batch_size: int = 4, seed: int = 0, rank: int = 0, size: int = 1) -> InputLoader:
    rows = TensorRows(torch.arange(num * 10))
    return InputLoader(rows, torch.arange(0, num * 10, 10), batch_size, seed, rank, size)


def epoch(one: InputLoader, number: int) -> list[list[int]]:
    one.sampler.set_epoch(number)
    return [batch.tolist() for batch in one]


def test_an_epoch_has_each_sample_once() -> None:
    batches = epoch(loader(), 0)
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(chain.from_iterable(batches)) == list(range(0, 100, 10))
    assert len(loader()) == 3


def test_the_order_is_that_of_seed_and_epoch() -> None:
    assert epoch(loader(), 1) == epoch(loader(), 1)
    assert epoch(loader(), 1) != epoch(loader(), 0)
    assert epoch(loader(), 1) != epoch(loader(seed=1), 1)


def test_an_iterator_takes_the_epoch_that_is_set_before_its_first_minibatch() -> None:
    """Lightning makes the iterator of a fit that goes on before it sets the epoch."""
    one = loader()
    batches = iter(one)
    one.set_epoch(2)
    assert [batch.tolist() for batch in batches] == epoch(loader(), 2)


@pytest.mark.parametrize("size", [2, 3])
def test_devices_share_the_minibatches_of_an_epoch(size: int) -> None:
    whole = epoch(loader(num=21), 3)
    shares = [loader(num=21, rank=rank, size=size) for rank in range(size)]
    parts = [epoch(share, 3) for share in shares]
    assert {len(part) for part in parts} == {len(shares[0])} == {len(whole) // size}
    together = [batch for batches in zip(*parts, strict=True) for batch in batches]
    assert together == whole[: len(together)]


def test_all_samples_of_the_data_are_there_labeled_or_not() -> None:
    data = Digits(num_initial=10, batch_size=256)
    data.setup()
    data.set_labeled(torch.arange(5))
    batches = list(data.input_dataloader(seed=0))
    assert sum(map(len, batches)) == len(data.train_targets)
    expected = data.inputs_at(torch.arange(len(data.train_targets))).flatten(1)
    found = torch.cat(batches).flatten(1)
    assert found.sum(0).allclose(expected.sum(0), atol=1e-2)
    assert not found.equal(expected)
