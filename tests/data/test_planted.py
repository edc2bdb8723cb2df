"""PlantedFashionMNIST: the clean images are unchanged, and the planted images are as described."""

import pytest
import torch
from sklearn.datasets import load_digits

from al_lightning.data import FashionMNIST, PlantedFashionMNIST
from al_lightning.data.source import Arrays
from al_lightning.errors import InputError
from al_lightning.report.claims.reasons import FIRST_PLANTED


@pytest.fixture(scope="module")
def planted() -> Arrays:
    return PlantedFashionMNIST(num_ambiguous=500, num_foreign=300).load()


@pytest.fixture(scope="module")
def clean() -> Arrays:
    return FashionMNIST().load()


def test_the_clean_images_come_first_and_the_test_set_is_as_it_was(planted: Arrays, clean: Arrays) -> None:
    assert len(clean.train_inputs) == FIRST_PLANTED
    assert planted.train_inputs.shape == (60_800, 28, 28)
    assert planted.train_targets.shape == (60_800,)
    assert planted.train_inputs[:60_000].equal(clean.train_inputs)
    assert planted.train_targets[:60_000].equal(clean.train_targets)
    assert planted.test_inputs.equal(clean.test_inputs)
    assert planted.test_targets.equal(clean.test_targets)


def test_an_ambiguous_image_is_halfway_between_two_of_different_classes(planted: Arrays, clean: Arrays) -> None:
    sums = 2 * planted.train_inputs[60_000:60_003].double()
    for total, target in zip(sums, planted.train_targets[60_000:60_003], strict=True):
        rest = total - clean.train_inputs.double()  # one of these is the other image
        low, high = float(clean.train_inputs.min()), float(clean.train_inputs.max())
        possible = ((rest.flatten(1).amin(1) > low - 1e-4) & (rest.flatten(1).amax(1) < high + 1e-4)).nonzero()[:, 0]
        gaps = torch.cdist(rest[possible].flatten(1), clean.train_inputs[possible].double().flatten(1))
        first, second = (int(possible[i]) for i in divmod(int(gaps.argmin()), len(possible)))
        assert gaps.min() < 1e-3
        classes = {int(clean.train_targets[first]), int(clean.train_targets[second])}
        assert len(classes) == 2
        assert int(target) in classes


def test_foreign_images_are_digits_in_black_and_white_of_the_clothes(planted: Arrays, clean: Arrays) -> None:
    foreign = planted.train_inputs[60_500:]
    black, white = clean.train_inputs.min(), clean.train_inputs.max()
    assert foreign.min() == black
    assert foreign.max() <= white + 1e-6
    assert (foreign[:, :2] == black).all()
    assert (foreign[:, :, -2:] == black).all()
    small = (foreign[:, 2:-2, 2:-2] - black) / (white - black)
    # the midst of each square of nine is the pixel itself
    torch.testing.assert_close(16 * small[:, 1::3, 1::3], torch.from_numpy(load_digits().images[:300]).float())


def test_labels_of_the_planted_are_of_all_classes(planted: Arrays) -> None:
    for part in (planted.train_targets[60_000:60_500], planted.train_targets[60_500:]):
        assert len(part.unique()) == 10


def test_the_planted_images_are_the_same_in_all_runs(planted: Arrays) -> None:
    torch.manual_seed(7)
    again = PlantedFashionMNIST(num_ambiguous=500, num_foreign=300).load()
    assert again.train_inputs.equal(planted.train_inputs)
    assert again.train_targets.equal(planted.train_targets)


@pytest.mark.parametrize("name", ["num_ambiguous", "num_foreign"])
def test_none_of_a_kind(name: str) -> None:
    data = PlantedFashionMNIST(**{name: 0})
    assert len(data.load().train_targets) == 61_797


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_ambiguous": -1}, "`data.num_ambiguous` to be at least 0, but got -1"),
        ({"num_foreign": 1798}, "`data.num_foreign` to be from 0 to 1797, but got 1798"),
        ({"num_initial": -1}, "`data.num_initial` to be at least 0, but got -1"),
    ],
)
def test_bad_arguments_raise(kwargs: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PlantedFashionMNIST(**kwargs)
