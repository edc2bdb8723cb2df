"""Fits that fall are found, and slopes and noise are not taken for them."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from al_lightning.errors import InputError
from al_lightning.report.stats.collapsed_fits import falls, median_around

CURVE = 0.78 + 0.035 * np.log(np.arange(5, 106) / 5)


def falling(*rounds: int, by: float = 0.05) -> np.ndarray:
    curve = CURVE.copy()
    curve[list(rounds)] -= by
    return curve


@pytest.mark.parametrize("rounds", [(), (4,), (50,), (100,), (10, 11, 12, 13), (97, 99, 100)])
def test_the_fits_that_fell_are_found_and_no_others(rounds: tuple[int, ...]) -> None:
    found = falls([CURVE, falling(*rounds)])
    assert not found[0].any()
    assert tuple(np.flatnonzero(found[1])) == rounds


def test_two_points_are_the_least_that_counts() -> None:
    flat = np.full((1, 20), 0.75)
    flat[0, 10] = 0.7305
    assert not falls(flat).any()
    flat[0, 10] = 0.7295
    assert falls(flat)[0].nonzero()[0].tolist() == [10]


def test_what_is_usual_in_a_run_is_no_fall() -> None:
    """A test set of 100 images, say: one fit in 20 is 4 points off."""
    noise = np.random.default_rng(0).normal(0, 0.02, (50, 101))
    assert (np.abs(noise) > 0.04).any()
    assert not falls(CURVE + noise).any()
    assert falls(falling(50, by=0.3) + noise)[:, 50].all()


@given(arrays(float, st.tuples(st.integers(1, 3), st.integers(1, 25)), elements=st.floats(0, 1)))
def test_the_median_is_that_of_the_rounds_around(accuracy: np.ndarray) -> None:
    expected = np.full(accuracy.shape, np.nan)
    for s, r in np.ndindex(accuracy.shape):
        start = min(r - 4, accuracy.shape[1] - 9)
        if start >= 0:
            expected[s, r] = np.median(accuracy[s, start : start + 9])
    np.testing.assert_allclose(median_around(accuracy), expected)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("num_rounds", [1, 4, 5, 8])
def test_short_curves_have_none(num_rounds: int) -> None:
    assert not falls(np.linspace(0.5, 0.6, num_rounds)[None]).any()


def test_what_is_no_curve_is_refused() -> None:
    with pytest.raises(InputError, match="Expected `accuracy` to be finite, but got nan"):
        falls([[0.5, np.nan]])
