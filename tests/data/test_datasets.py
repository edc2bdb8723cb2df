"""Datasets that are read sample by sample: the same samples as from memory, in any process."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from al_lightning.data.datasets import DatasetBlocks, DatasetRows, Datasets, read
from al_lightning.errors import InputError
from tests.helpers import digits, generator


class Noisy(Dataset):
    """Adds noise from all three global generators to a number."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int):
        return torch.tensor([index + 0.5 * float(torch.rand(())) + 0.1 * random.random() + 0.1 * np.random.rand()]), 0


def order(*batches: list[int]):
    return iter([torch.tensor(batch, dtype=torch.int64) for batch in batches])


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("indices", [None, [7, 0, 1399, 7], []])
def test_blocks_are_the_chosen_samples_in_order(num_workers: int, indices: list[int] | None) -> None:
    data = TensorDataset(digits().train_inputs, digits().train_targets)
    chosen = None if indices is None else torch.tensor(indices, dtype=torch.int64)
    blocks = DatasetBlocks(data, chosen, block_size=600, num_workers=num_workers)
    expected = digits().train_inputs if chosen is None else digits().train_inputs[chosen]
    for _ in range(2):
        got = list(blocks)
        assert sum(map(len, got)) == len(blocks) == len(expected)
        assert not got or torch.cat(got).equal(expected)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_augmentations_are_those_of_the_generator_whoever_reads(num_workers: int) -> None:
    data = Noisy()

    def read_with(workers: int, seed: int) -> list[list[float]]:
        rows = DatasetRows(data, data, num_workers=workers)
        return [b.flatten().tolist() for b in rows.batches(order([3, 4], [3], [19, 0, 1]), generator(seed))]

    expected = read_with(0, 1)
    assert read_with(num_workers, 1) == expected
    assert read_with(0, 2) != expected
    assert expected[0][0] != expected[1][0]  # sample 3 again
    assert [[int(value) for value in batch] for batch in expected] == [[3, 4], [3], [19, 0, 1]]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_reading_uses_no_global_generator(num_workers: int) -> None:
    state, python, numpy = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    list(DatasetRows(Noisy(), Noisy(), num_workers=num_workers).batches(order([1, 2]), generator()))
    list(DatasetBlocks(TensorDataset(torch.zeros(4, 1)), num_workers=num_workers))
    assert torch.get_rng_state().equal(state)
    assert random.getstate() == python
    assert (np.random.get_state()[1] == numpy).all()


def test_rows_that_are_taken_are_rows_0_to_m() -> None:
    data = TensorDataset(torch.arange(10.0)[:, None])
    rows = DatasetRows(data, TensorDataset(100 + torch.arange(10.0)[:, None])).take(torch.tensor([7, 2, 5]))
    assert len(rows) == 3
    assert next(rows.batches(order([2, 0]), generator())).flatten().tolist() == [5, 7]
    assert torch.cat(list(rows.blocks())).flatten().tolist() == [107, 102, 105]
    assert torch.cat(list(rows.take(torch.tensor([1])).blocks(torch.tensor([0, 0])))).flatten().tolist() == [102, 102]


def test_an_empty_batch_has_the_shape_of_the_others() -> None:
    assert next(read(TensorDataset(torch.zeros(4, 3, 2)), iter([(torch.arange(0), None)]))).shape == (0, 3, 2)


class Listed(Dataset):
    """Numbers and their classes."""

    def __init__(self, targets: list[int]) -> None:
        self._given = targets

    def __len__(self) -> int:
        return len(self._given)

    def __getitem__(self, index: int):
        return torch.zeros(2), self._given[index]


class Uneven(Dataset):
    def __init__(self, *items: object) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int):
        return self.items[index], 0


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize(
    ("items", "words"),
    [
        ((torch.zeros(2), torch.zeros(3)), r"of one shape, but got \(2,\) and \(3,\)"),
        (("a", "b"), "to be tensors, but got str"),
    ],
)
def test_samples_that_make_no_block_are_refused_in_one_sentence(items: tuple, words: str, num_workers: int) -> None:
    with pytest.raises(InputError, match=words) as error:
        list(DatasetBlocks(Uneven(*items), num_workers=num_workers))
    assert "\n" not in str(error.value)


class Failing(Uneven):
    def __getitem__(self, index: int):
        raise KeyError("gone")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_sample_that_cannot_be_had_is_named(num_workers: int) -> None:
    with pytest.raises(InputError, match="Expected Failing to have sample 1, but got KeyError: 'gone'"):
        list(DatasetBlocks(Failing(1, 2), torch.tensor([1]), num_workers=num_workers))


def test_what_is_augmented_is_not_scored() -> None:
    plain = TensorDataset(torch.arange(20.0)[:, None], torch.zeros(20, dtype=torch.int64))
    with pytest.raises(InputError, match="samples of Noisy to be the same each time they are scored"):
        Datasets(Noisy(), plain)
    rows = Datasets(Noisy(), plain, pool=plain).rows()
    assert torch.cat(list(rows.blocks())).equal(plain.tensors[0])


def test_what_is_no_dataset_is_refused() -> None:
    with pytest.raises(InputError, match="map-style dataset"):
        Datasets(iter([]), TensorDataset(torch.zeros(1), torch.zeros(1)))
    with pytest.raises(InputError, match="as many samples to score as to train on, 2, but got 3"):
        Datasets(Listed([0, 1]), Listed([0]), pool=Listed([0, 1, 1]))


def test_uint8_samples_become_floats() -> None:
    (block,) = DatasetBlocks(TensorDataset(torch.full((2, 3), 7, dtype=torch.uint8)))
    assert block.equal(torch.full((2, 3), 7.0))
