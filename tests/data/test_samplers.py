"""Samplers of a user's loaders: samples that they leave out are left out, and ignored samplers are named."""

import warnings

import lightning.pytorch as L
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from al_lightning import DataModuleAdapter
from al_lightning.data.samplers import batch_size_of, chosen_indices
from al_lightning.errors import InputError

NUM = 40
DATA = TensorDataset(torch.arange(NUM).float()[:, None], torch.arange(NUM) % 4)
PART = [7, 3, 30, 11]


class Own(Sampler):
    def __init__(self, indices: list[int], shuffled: bool = False) -> None:
        self.indices, self.shuffled = indices, shuffled

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self):
        order = torch.randperm(len(self)).tolist() if self.shuffled else range(len(self))
        return (self.indices[i] for i in order)


class Endless(Own):
    def __len__(self) -> int:
        raise TypeError

    def __iter__(self):
        while True:
            yield from self.indices


def ask(**arguments) -> list[int] | None:
    return chosen_indices(DataLoader(DATA, **arguments), "it")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, None),
        ({"shuffle": True, "batch_size": 3, "drop_last": True}, None),
        ({"batch_size": None}, None),
        ({"sampler": RandomSampler(DATA, num_samples=5)}, None),
        ({"sampler": DistributedSampler(DATA, 2, 0)}, None),
        ({"sampler": SubsetRandomSampler(PART)}, PART),
        ({"sampler": SubsetRandomSampler(torch.tensor(PART))}, PART),
        ({"sampler": Own(PART)}, sorted(PART)),
        ({"sampler": Own(PART, shuffled=True)}, sorted(PART)),
        ({"sampler": Own(list(range(NUM)), shuffled=True)}, None),
        ({"sampler": SequentialSampler(range(3))}, [0, 1, 2]),
        ({"sampler": PART}, sorted(PART)),
        ({"batch_sampler": BatchSampler(SubsetRandomSampler(PART), 3, False)}, PART),
        ({"batch_sampler": BatchSampler(SequentialSampler(DATA), 3, True)}, None),
        ({"batch_sampler": [[5, 2], [9]]}, [2, 5, 9]),
    ],
)
def test_samplers_choose_what_they_give(arguments: dict, expected: list[int] | None) -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ask(**arguments) == expected
    assert torch.get_rng_state().equal(state)


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (WeightedRandomSampler(torch.ones(NUM), NUM), None),
        (WeightedRandomSampler([1.0] * 38 + [0.0, 0.0], NUM), list(range(38))),
        (Endless(PART), None),
        (Own([1, 1, 2]), [1, 2]),
        (RandomSampler(range(20), num_samples=5), None),
    ],
)
def test_samplers_that_are_not_used_are_named(sampler: Sampler, expected: list[int] | None) -> None:
    with pytest.warns(UserWarning, match=f"sampler {type(sampler).__name__} of it is not used: each sample is in the"):
        assert ask(sampler=sampler) == expected


def test_samplers_of_other_data_are_refused() -> None:
    with pytest.raises(InputError, match="SubsetRandomSampler of it to give distinct indices from 0 to 39, but got 40"):
        ask(sampler=SubsetRandomSampler([0, 40]))
    with pytest.raises(InputError, match="distinct indices from 0 to 39, but got some of them twice"):
        ask(sampler=SubsetRandomSampler([0, 0]))


def test_batch_sizes() -> None:
    assert batch_size_of(DataLoader(DATA, 7)) == 7
    assert batch_size_of(DataLoader(DATA, batch_sampler=BatchSampler(SequentialSampler(DATA), 3, True))) == 3
    assert batch_size_of(DataLoader(DATA, batch_size=None)) is None


class Split(L.LightningDataModule):
    """The common way to split one dataset: by samplers."""

    def train_dataloader(self):
        return DataLoader(TensorDataset(-DATA.tensors[0], DATA.tensors[1]), sampler=SubsetRandomSampler(PART))

    def pool_dataloader(self):
        return DataLoader(DATA)

    def test_dataloader(self):
        return DataLoader(DATA, sampler=SubsetRandomSampler([0, 1]))


class WithSampler(Split):
    def pool_dataloader(self):
        return DataLoader(DATA, sampler=SubsetRandomSampler(PART))


@pytest.mark.filterwarnings("ignore:.*differ though")
@pytest.mark.parametrize("theirs", [Split(), WithSampler()])
def test_a_split_by_samplers_is_kept(theirs: Split) -> None:
    data = DataModuleAdapter(theirs)
    assert data.train_targets.tolist() == [i % 4 for i in PART]
    assert torch.cat(list(data.pool_blocks())).flatten().tolist() == PART
    assert torch.cat(list(data.test_blocks())).flatten().tolist() == [0, 1]
    assert data.test_targets.tolist() == [0, 1]
