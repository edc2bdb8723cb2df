"""Penalty matrix: two fake algorithms, one always better."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from al_lightning.errors import InputError
from al_lightning.report.stats.penalty import penalty_matrix

pytestmark = pytest.mark.filterwarnings("error")
LABELS = np.arange(500, 10_501, 100)


def noisy(seed: int, mean: float = 0.0, num_rounds: int = 101) -> np.ndarray:
    return mean + np.random.default_rng(seed).normal(0, 0.01, (5, num_rounds))


def test_a_is_always_better_than_b():
    matrix = penalty_matrix(LABELS, {"A": noisy(0, 0.9), "B": noisy(1, 0.5)})
    assert matrix.loc["A", "B"] == 1
    assert matrix.loc["B", "A"] == 0
    assert matrix.mean()["A"] == 0  # never beaten
    assert matrix.mean()["B"] == 0.5


def test_the_same_curves_never_beat_each_other():
    curves = noisy(0)
    assert (penalty_matrix(LABELS, {"A": curves, "B": curves.copy()}) == 0).all(axis=None)


def test_wins_by_the_same_in_all_seeds_are_wins():
    curves = noisy(0)
    curves[:, 0] = 0.5
    better = curves + np.where(np.arange(101) == 0, 0.0, 1e-3)  # equal in round 0
    matrix = penalty_matrix(LABELS, {"A": curves, "B": better})
    assert matrix.loc["B", "A"] == 100 / 101
    assert matrix.loc["A", "B"] == 0


@pytest.mark.parametrize(("t", "wins"), [(2.77, 0), (2.78, 1)])
def test_the_critical_value_of_five_seeds(t, wins):
    spread = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])[:, None]  # standard error sqrt(0.5)
    matrix = penalty_matrix([500], {"A": spread + t * 0.5**0.5, "B": np.zeros((5, 1))})
    assert matrix.loc["A", "B"] == wins


@given(seed=st.integers(0, 1000))
def test_equals_scipy_in_each_round(seed):
    rng = np.random.default_rng(seed)
    curves = {name: rng.normal(0, 1, (4, 6)) + rng.normal(0, 1, 6) for name in "ABC"}
    labels = [1, 2, 4, 5, 7, 9]
    matrix = penalty_matrix(labels, curves)
    for a in curves:
        for b in curves:
            if a != b:
                d = curves[a] - curves[b]
                expected = ((stats.ttest_1samp(d, 0).pvalue < 0.05) & (d.mean(axis=0) > 0)).mean()
                assert matrix.loc[a, b] == pytest.approx(expected)
    assert (np.diag(matrix) == 0).all()
    assert (matrix + matrix.T <= 1).all(axis=None)


def test_alpha_and_names():
    curves = {"b": noisy(0, 0.005), "a": noisy(1)}
    strict, lax = (penalty_matrix(LABELS, curves, alpha=alpha) for alpha in (1e-4, 0.5))
    assert list(strict.index) == list(strict.columns) == ["b", "a"]
    assert strict.loc["b", "a"] < lax.loc["b", "a"]


def test_bad_curves():
    with pytest.raises(InputError, match="at least one method"):
        penalty_matrix(LABELS, {})
    with pytest.raises(InputError, match="2 seeds"):
        penalty_matrix(LABELS, {"A": np.ones((1, 101))})
    with pytest.raises(InputError, match="same seeds"):
        penalty_matrix(LABELS, {"A": noisy(0), "B": noisy(0)[:4]})
    with pytest.raises(InputError, match="`num_labeled`"):
        penalty_matrix(LABELS, {"A": noisy(0, num_rounds=100)})
