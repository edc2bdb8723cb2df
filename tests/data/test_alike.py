"""All checks of the training part also apply to the pool and the test part."""

import random
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset, TensorDataset

from al_lightning import Arrays, Datasets
from al_lightning.data.alike import check_arrays
from al_lightning.data.datamodule import PoolDataModule
from al_lightning.errors import InputError
from tests.helpers import generator

NUM = 200
CLASSES = torch.arange(NUM) % 4
INPUTS = torch.randn(NUM, 3, 5, generator=generator(1))


def plain(inputs: torch.Tensor = INPUTS, classes: torch.Tensor = CLASSES) -> TensorDataset:
    return TensorDataset(inputs, classes)


class Changed(Dataset):
    """A dataset with items that a function makes of position, input and class."""

    def __init__(self, change) -> None:
        self.change = change

    def __len__(self) -> int:
        return NUM

    def __getitem__(self, index: int):
        return self.change(index, INPUTS[index], int(CLASSES[index]))


OWN_TORCH, OWN_NUMPY, OWN_PYTHON = torch.Generator(), np.random.default_rng(0), random.Random(0)
COINS = {
    "torch": lambda: float(torch.rand(())),
    "numpy": lambda: float(np.random.rand()),
    "python": lambda: random.random(),
    "torch's of its own": lambda: float(torch.rand((), generator=OWN_TORCH)),
    "numpy's of its own": lambda: float(OWN_NUMPY.random()),
    "python's of its own": lambda: OWN_PYTHON.random(),
}


def mirrored(coin, share: float = 0.5) -> Changed:
    return Changed(lambda i, x, y: (x.flip(-1) if coin() < share else x, y))


@pytest.mark.parametrize("coin", COINS)
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_samples_to_score_or_to_test_are_not_augmented(coin: str, share: float) -> None:
    augmented = mirrored(COINS[coin], share)
    with pytest.raises(InputError, match="samples of Changed to be the same each time they are scored, but they are"):
        Datasets(augmented, plain())
    with pytest.raises(InputError, match="the same each time they are scored"):
        Datasets(plain(), plain(), pool=augmented)
    with pytest.raises(InputError, match="the same each time they are tested, .*; give them without that: as test set"):
        Datasets(plain(), augmented)


def test_only_some_samples_may_be_augmented() -> None:
    first_stays = Changed(lambda i, x, y: (x if i == 0 else x + torch.rand(()), y))
    with pytest.raises(InputError, match="the same each time they are scored"):
        Datasets(first_stays, plain())


@pytest.mark.parametrize("coin", ["torch", "numpy", "python"])
def test_samples_to_train_on_may_be_augmented(coin: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = Datasets(mirrored(COINS[coin]), plain(), pool=plain())
    assert data.train_targets.equal(CLASSES)


def test_a_generator_that_is_not_saved_is_named() -> None:
    with pytest.warns(UserWarning, match="Changed draws its augmentations from a generator of its own"):
        Datasets(mirrored(COINS["numpy's of its own"]), plain(), pool=plain())


def test_the_pool_has_the_samples_of_the_training_set() -> None:
    augmented = mirrored(COINS["torch"])
    turned = list(range(NUM))[::-1]
    with pytest.raises(InputError, match="in the same order, but sample 0 has class 0 in Changed and 3 in Subset"):
        Datasets(augmented, plain(), pool=Subset(plain(), turned))
    one_class = TensorDataset(INPUTS, torch.zeros(NUM, dtype=torch.int64))
    with pytest.raises(InputError, match=f"but sample 0 of TensorDataset is sample {NUM - 1} of Subset"):
        Datasets(one_class, plain(), pool=Subset(one_class, turned))
    with pytest.raises(InputError, match="as many samples to score as to train on, 200, but got 199"):
        Datasets(augmented, plain(), pool=Subset(plain(), range(NUM - 1)))


def test_a_pool_that_differs_without_chance_is_named() -> None:
    with pytest.warns(UserWarning, match="differ though neither is augmented at random"):
        Datasets(plain(), plain(), pool=plain(INPUTS + 1))


@pytest.mark.parametrize("role", ["train", "pool", "test"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_inputs_that_are_not_finite_are_refused(role: str, value: float) -> None:
    bad = INPUTS.clone()
    bad[NUM - 1, 2, 4] = value
    parts = {"train": plain(), "pool": plain(), "test": plain()} | {role: plain(bad)}
    with pytest.raises(InputError, match="finite inputs in TensorDataset, but sample 199 has NaN or infinity"):
        Datasets(**parts)


@pytest.mark.parametrize("role", ["pool", "test"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x[:, :2], r"shape \(3, 5\), but got shape \(2, 5\)"),
        (lambda x: x.flatten(1), r"shape \(3, 5\), but got shape \(15,\)"),
        (lambda x: x.double(), "float32 numbers, but got float64 numbers"),
        (lambda x: (255 * x.sigmoid()).to(torch.uint8), "float32 numbers, but got uint8 numbers"),
        (lambda x: x.long(), "float32 numbers, but got int64 numbers"),
    ],
)
def test_parts_have_inputs_of_one_kind(role: str, change, words: str) -> None:
    parts = {"train": plain(), "pool": plain(), "test": plain()} | {role: plain(change(INPUTS))}
    with pytest.raises(InputError, match=f"inputs of the {role} part, TensorDataset, to be .*{words}"):
        Datasets(**parts)


@pytest.mark.parametrize("role", ["pool", "test"])
def test_parts_that_are_not_normalised_alike_are_named(role: str) -> None:
    parts = {"train": mirrored(COINS["torch"]), "pool": plain(), "test": plain()} | {role: plain(255 * INPUTS)}
    with pytest.warns(UserWarning, match="are of another size than those of .* Are both normalised alike"):
        Datasets(**parts)


class InMemory(PoolDataModule):
    def __init__(self, **changes) -> None:
        super().__init__()
        self.changes = changes

    no_settings = ("changes",)

    def load(self) -> Arrays:
        return Arrays(INPUTS, CLASSES, INPUTS[:50], CLASSES[:50])._replace(**self.changes)


NAN = INPUTS.clone()
NAN[170, 0, 0] = float("nan")


def test_large_finite_inputs_are_no_infinity() -> None:
    large = torch.full((9, 4), torch.finfo(torch.float32).max)  # their sum is infinite
    check_arrays(large, torch.zeros(9), large, torch.zeros(9), "InMemory")
    large[7, 3] = -torch.inf
    with pytest.raises(InputError, match="but row 7 has NaN or infinity"):
        check_arrays(large, torch.zeros(9), large, torch.zeros(9), "InMemory")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_targets": CLASSES[1:]}, "as many `train_targets` as `train_inputs` of InMemory, 200, but got 199"),
        ({"test_targets": CLASSES}, "as many `test_targets` as `test_inputs` of InMemory, 50, but got 200"),
        ({"train_inputs": INPUTS.numpy()}, "`train_inputs` of InMemory to be a tensor, but got ndarray"),
        ({"test_inputs": INPUTS[:50, :2]}, r"float32 of shape \('N', 3, 5\), but got float32 of shape \('N', 2, 5\)"),
        ({"test_inputs": INPUTS[:50].double()}, "but got float64 of shape"),
        ({"train_inputs": NAN}, "finite numbers in `train_inputs` of InMemory, but row 170 has NaN"),
        ({"test_inputs": NAN[150:]}, "finite numbers in `test_inputs` of InMemory, but row 20 has NaN"),
        ({"train_targets": CLASSES + 0.5}, "one integer for each sample, but got 0.5"),
        ({"test_targets": CLASSES[:50] - 1}, "classes of all 50 test samples, but 13 have none"),
    ],
)
def test_arrays_of_ones_own_are_checked_whole(changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        InMemory(**changes).setup()


def test_arrays_that_go_together_are_not_touched() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        InMemory().setup()
        InMemory(test_inputs=torch.empty(0), test_targets=torch.empty(0, dtype=torch.int64)).setup()
        check_arrays(INPUTS.long(), CLASSES, INPUTS.long(), CLASSES, "data")


def test_classes_that_are_only_tested_are_named() -> None:
    some = CLASSES.clone()
    some[some == 2] = 0
    with pytest.warns(UserWarning, match="InMemory has test samples but no training samples of these classes: 2."):
        InMemory(train_targets=some).setup()
    some[0] = -1  # it may be of class 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        InMemory(train_targets=some).setup()
