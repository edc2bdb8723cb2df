"""Test sets drawn from the training set."""

import pytest
import torch
from hypothesis import given, strategies as st

from al_lightning.data.splits import draw_test_set
from al_lightning.errors import InputError


@given(st.lists(st.integers(-1, 3), max_size=60), st.floats(0, 0.99), st.integers(0, 5))
def test_known_samples_are_split_and_unknown_ones_stay(targets: list[int], fraction: float, seed: int) -> None:
    train, test = draw_test_set(torch.tensor(targets, dtype=torch.int64), fraction, seed)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(targets)))
    assert all(targets[i] >= 0 for i in test.tolist())
    assert len(test) == round(fraction * sum(target >= 0 for target in targets))
    assert train.equal(train.sort().values)
    assert test.equal(test.sort().values)


def test_another_seed_is_another_draw() -> None:
    targets = torch.zeros(100, dtype=torch.int64)
    draws = [draw_test_set(targets, 0.3, seed)[1].tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("fraction", [-0.1, 1.0])
def test_a_share_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(InputError, match=r"`data.test_fraction` to be in \[0, 1\)"):
        draw_test_set(torch.zeros(3, dtype=torch.int64), fraction)
