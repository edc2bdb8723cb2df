"""Equal on paper is equal."""

import numpy as np
from hypothesis import given, strategies as st

from al_lightning.report.stats.exact_sums import to_grid

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


@given(values=VALUES, seed=st.integers(0, 100))
def test_sums_do_not_depend_on_order(values, seed):
    grid = to_grid(np.array(values), scale=1e6)
    order = np.random.default_rng(seed).permutation(len(grid))
    total = 0.0
    for value in grid[order]:
        total += value
    assert total == grid.sum()


@given(values=VALUES, scale=st.floats(1e-290, 1e6))
def test_values_hardly_move(values, scale):
    values = np.array(values) / 1e6 * scale
    assert np.abs(to_grid(values, scale) - values).max() <= 2**-40 * scale


def test_zeros_and_the_smallest_numbers_are_no_trouble():
    assert to_grid(np.zeros(2), scale=0.0).tolist() == [0, 0]
    assert to_grid(np.array([5e-324]), scale=5e-324).tolist() == [0]


def test_differences_of_accuracies_that_are_equal_on_paper():
    counts = np.arange(100, 10_000, 137)
    differences = (counts + 7) / 10_000 - counts / 10_000
    assert len(set(differences)) > 1
    assert len(set(to_grid(differences, scale=1.0))) == 1
