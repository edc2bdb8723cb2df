"""FallingLoss on losses that follow a known formula."""

import math
from collections.abc import Callable

import pytest
import torch

from al_lightning.fitting.falling_loss import FallingLoss


def settles_at(loss: Callable[[int], float], every: int = 20, until: int = 40_000) -> int | None:
    """The first update at which a loss has settled, if it is noted at equal intervals."""
    course = FallingLoss(done=0.001)
    for updates in range(every, until, every):
        course.add(updates, loss(updates))
        if course.has_settled():
            return updates
    return None


@pytest.mark.parametrize("every", [1, 20, 100])
def test_a_constant_loss_has_settled_after_two_windows(every: int) -> None:
    assert settles_at(lambda t: 0.7, every) == 1000


def test_a_rising_loss_has_settled() -> None:
    assert settles_at(lambda t: 0.1 + 1e-4 * t) == 1000


def test_the_loss_of_separable_labels_falls_until_it_is_small() -> None:
    assert settles_at(lambda t: 2 / t) == 2000  # 2 / 2000 is 0.001
    assert settles_at(lambda t: 100 / t) is None  # 0.001 only after 100,000 updates


def test_a_loss_that_falls_to_a_floor_settles_when_the_rest_is_small() -> None:
    updates = settles_at(lambda t: 0.5 + 2 * math.exp(-t / 1000))
    assert updates is not None
    # e**-3.5 of 2 is more than a tenth of the floor, e**-9 is less than a thousandth of it
    assert 3500 < updates < 9000
    assert 0.5 + 2 * math.exp(-updates / 1000) < 0.5 * 1.01


def test_noise_neither_ends_a_fall_nor_goes_on_for_ever() -> None:
    noise = torch.randn(3000, generator=torch.Generator().manual_seed(0)).tolist()
    assert settles_at(lambda t: 100 / t * math.exp(0.2 * noise[t // 20])) is None
    flat = settles_at(lambda t: 0.7 * math.exp(0.2 * noise[t // 20]))
    assert flat is not None
    assert flat <= 3000


def test_long_epochs_need_as_many_checks_as_two_windows_have() -> None:
    """After 5,600 updates the windows, of 1,400, end with the checks at 4,800 and 5,600, and 3,200 and 4,000."""
    assert settles_at(lambda t: 0.7, every=800) == 5600


def test_nothing_noted_is_nothing_settled() -> None:
    assert not FallingLoss(done=0.001).has_settled()
