"""Several tests and several methods, against worked examples."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from statsmodels.stats.multitest import multipletests

from al_lightning.errors import InputError
from al_lightning.report.stats.multiple import best_probability, holm, p_beats_all
from al_lightning.report.stats.paired import contrast

pytestmark = pytest.mark.filterwarnings("error")


def test_holm_worked_example():
    # sorted .005, .01, .03, .04 times 4, 3, 2, 1 are .02, .03, .06, .04; the last is raised to .06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1, 1]
    assert holm([0.2]).tolist() == [0.2]


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_never_lowers(p):
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert adjusted.max() <= 1
    assert adjusted.min() == pytest.approx(min(1, len(p) * min(p)))
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def test_holm_is_that_of_statsmodels_to_the_bit(monkeypatch):
    monkeypatch.setattr("gc.collect", lambda: 0)  # statsmodels calls it each time, for a quarter of a second
    p = np.random.default_rng(0).random((20, 7)) ** 4
    assert all((holm(row) == multipletests(row, method="holm")[1]).all() for row in p)


@pytest.mark.parametrize("p", [[], [0.5, 1.1], [-0.1], [np.nan]])
def test_holm_of_what_is_no_p_value(p):
    with pytest.raises(InputError, match="`p`"):
        holm(p)


def test_beats_all_is_its_hardest_test():
    best, others = [5.0, 6.0, 7.0, 8.0], {"near": [4.9, 6.0, 6.8, 8.1], "far": [1.0, 2.1, 3.0, 3.9]}
    p_of = {name: contrast(best, x, alternative="greater").p_t for name, x in others.items()}
    assert p_beats_all(best, others) == p_of["near"] > 0.05 > p_of["far"]
    assert p_beats_all(best, {"far": others["far"]}) == p_of["far"]


def test_beating_is_one_sided():
    assert p_beats_all([1.0, 2.0, 3.0], {"better": [2.0, 3.1, 4.0]}) > 0.99


def test_beats_all_of_one_seed_is_not_known():
    assert np.isnan(p_beats_all([1.0], {"other": [0.5]}))


def test_beats_all_of_nothing():
    with pytest.raises(InputError, match="`others`"):
        p_beats_all([1.0, 2.0], {})


def test_best_probability_of_certain_cases():
    assert best_probability([[0.1, 0.3], [0.2, 0.4]]).tolist() == [0, 1]
    assert best_probability([[0.3, 0.2, 0.7], [0.1 + 0.2, 0.2, 0.7]]).tolist() == [0.5, 0.5]  # a tie but for rounding


def test_best_probability_by_hand():
    """Of two seeds, each best for one method by the same: it wins with both resamples of its seed, and ties else."""
    shares = best_probability([[1.0, 0.0], [0.0, 1.0]], num_resamples=20_000)
    assert shares == pytest.approx([0.5, 0.5], abs=0.02)
    # the first wins by more on its seed, so a resample of both is its own: 3 of 4
    assert best_probability([[1.0, 0.0], [0.0, 0.5]], num_resamples=20_000) == pytest.approx([0.75, 0.25], abs=0.02)


def test_best_probability_pairs_seeds():
    """A difference that is the same in all seeds is certain, however much seeds differ."""
    common = np.random.default_rng(0).normal(size=10)
    assert best_probability([common, common + 1e-3, common - 1e-3]).tolist() == [0, 1, 0]


@given(values=st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=5))
def test_best_probabilities_sum_to_one(values):
    assert best_probability(values, num_resamples=50).sum() == pytest.approx(1)


def test_best_probability_repeats_with_its_seed():
    values = np.random.default_rng(0).normal(size=(4, 6))
    assert (best_probability(values, 100, seed=1) == best_probability(values, 100, seed=1)).all()
    assert (best_probability(values, 100, seed=1) != best_probability(values, 100, seed=2)).any()


def test_best_probability_of_bad_input():
    with pytest.raises(InputError, match="`values`"):
        best_probability([1.0, 2.0])
    with pytest.raises(InputError, match="`num_resamples`"):
        best_probability([[1.0, 2.0]], num_resamples=0)
