"""Paired contrasts against SciPy, statsmodels, brute force and the figures of the evaluation method."""

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower

from al_lightning.errors import InputError
from al_lightning.report.stats.paired import contrast, differences, p_equivalence, seeds_needed, t_statistic

pytestmark = pytest.mark.filterwarnings("error")
ACCURACIES = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), min_size=2, max_size=8)


def arms(num_seeds: int, effect: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies of 10,000 test samples, paired by a common effect of the seed."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0.88, 0.01, num_seeds)
    a, b = (common + shift + rng.normal(0, 0.002, num_seeds) for shift in (effect, 0.0))
    return a.round(4), b.round(4)


def p_by_brute_force(counts: list[int], alternative: str) -> float:
    """Share of sign flips at least as extreme, in integers."""
    statistic = {"two-sided": abs, "greater": int, "less": lambda x: -x}[alternative]
    sums = [sum(s * d for s, d in zip(signs, counts, strict=True)) for signs in product((1, -1), repeat=len(counts))]
    return sum(statistic(x) >= statistic(sum(counts)) for x in sums) / len(sums)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("num_seeds", [2, 5, 10, 30])
def test_t_test_is_that_of_scipy(num_seeds, alternative):
    a, b = arms(num_seeds, effect=0.001)
    result, expected = contrast(a, b, alternative=alternative), stats.ttest_rel(a, b, alternative=alternative)
    assert result.p_t == pytest.approx(expected.pvalue, rel=1e-6)
    interval = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high), rel=1e-6)
    assert result.mean == pytest.approx((a - b).mean())


def test_interval_of_five_seeds_has_the_critical_value_of_the_paper():
    d = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])  # standard deviation sqrt(2.5), standard error sqrt(0.5)
    result = contrast(d, np.zeros(5))
    assert result.high == pytest.approx(2.776 * 0.5**0.5, abs=1e-3)
    assert contrast(d, np.zeros(5), level=0.9).high == pytest.approx(2.132 * 0.5**0.5, abs=1e-3)


@settings(max_examples=60)
@given(pairs=ACCURACIES, alternative=st.sampled_from(["two-sided", "greater", "less"]))
@example(pairs=[(0, 5000), (331, 252), (148, 190), (357, 2098), (4360, 2656)], alternative="two-sided")
def test_sign_flip_is_exact(pairs, alternative):
    """In accuracies, which have ties that rounding would break."""
    a, b = np.array(pairs).T / 10_000
    counts = [x - y for x, y in pairs]
    assert contrast(a, b, alternative=alternative).p_sign_flip == p_by_brute_force(counts, alternative)


def test_sign_flip_counts_ties():
    assert contrast([0.3, 0.2, 0.4], [0.2, 0.1, 0.3]).p_sign_flip == 2 / 8
    assert contrast([0.3, 0.2, 0.3], [0.2, 0.1, 0.4]).p_sign_flip == 1.0  # 0.1, 0.1, -0.1: all flips are as extreme


def test_monte_carlo_is_near_exact_and_never_zero():
    a, b = arms(17, effect=0.0005)
    d = np.rint((a - b) * 10_000).astype(int)
    sums = np.zeros(1, dtype=int)
    for value in d:
        sums = np.concatenate([sums + value, sums - value])
    exact = (np.abs(sums) >= abs(d.sum())).mean()
    assert 0.01 < exact < 0.9
    assert contrast(a, b).p_sign_flip == pytest.approx(exact, abs=5 * (exact / 2**16) ** 0.5)
    far = contrast(np.linspace(1, 2, 40), np.zeros(40), seed=1)
    assert far.p_sign_flip == 1 / 2**16


@settings(max_examples=60)
@given(pairs=ACCURACIES)
def test_contrast_is_antisymmetric(pairs):
    a, b = np.array(pairs).T / 10_000
    one, other = contrast(a, b), contrast(b, a)
    assert (one.mean, one.low, one.high) == (-other.mean, -other.high, -other.low)
    assert (one.p_t, one.p_sign_flip) == (other.p_t, other.p_sign_flip)
    less, greater = contrast(a, b, alternative="less"), contrast(b, a, alternative="greater")
    assert (less.p_t, less.p_sign_flip) == (greater.p_t, greater.p_sign_flip)


def test_a_planted_difference_is_found_and_covered():
    covered = [(result := contrast(*arms(10, 0.003, seed))).low <= 0.003 <= result.high for seed in range(400)]
    assert 0.92 < np.mean(covered) < 0.98
    assert all(contrast(*arms(10, 0.02, seed)).p_sign_flip == 2 / 2**10 for seed in range(20))


def test_without_a_difference_five_percent_are_significant():
    results = [contrast(*arms(8, 0.0, seed)) for seed in range(400)]
    assert 0.02 < np.mean([result.p_t < 0.05 for result in results]) < 0.085
    assert 0.02 < np.mean([result.p_sign_flip < 0.05 for result in results]) < 0.085


def test_the_same_difference_in_all_seeds():
    result = contrast([0.3, 0.2, 0.7], [0.2, 0.1, 0.6])  # differences that are equal but for rounding
    assert (result.mean, result.low, result.high) == (pytest.approx(0.1), result.mean, result.mean)
    assert (result.p_t, result.p_sign_flip) == (0.0, 0.25)
    assert contrast([0.3, 0.2], [0.2, 0.1], alternative="greater").p_t == 0.0
    assert contrast([0.3, 0.2], [0.2, 0.1], alternative="less").p_t == 1.0


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_no_difference_at_all(alternative):
    result = contrast([0.1 + 0.2, 0.5], [0.3, 0.5], alternative=alternative)
    assert (result.mean, result.low, result.high, result.p_t, result.p_sign_flip) == (0, 0, 0, 1, 1)


def test_one_seed_shows_nothing():
    result = contrast([0.9], [0.8])
    assert result.mean == pytest.approx(0.1)
    assert np.isnan([result.low, result.high, result.p_t, result.p_sign_flip]).all()
    assert np.isnan(p_equivalence([0.9], [0.9], margin=1.0))


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ([1.0, 2.0], [1.0], {}, "`b` to be of the same seeds"),
        ([1.0, np.nan], [1.0, 1.0], {}, "`a` to be finite"),
        ([], [], {}, "`a` to be a filled array"),
        ([[1.0]], [[1.0]], {}, "`a` to be a filled array of 1 dim"),
        ([1.0, 2.0], [1.0, 2.0], {"level": 1.0}, "`level`"),
        ([1.0, 2.0], [1.0, 2.0], {"alternative": "larger"}, "`alternative`"),
    ],
)
def test_bad_input(a, b, options, message):
    with pytest.raises(InputError, match=message):
        contrast(a, b, **options)


def test_t_of_each_round():
    curves = differences([[0.5, 0.3, 0.2, 0.7], [0.5, 0.2, 0.1, 0.8]], [[0.5, 0.2, 0.3, 0.5], [0.5, 0.1, 0.2, 0.7]], 2)
    assert t_statistic(curves).tolist() == [0, np.inf, -np.inf, pytest.approx(3)]


def test_equivalence_is_the_interval_inside_the_margin():
    decided = set()
    for seed in range(40):
        a, b = arms(10, 0.001, seed)
        interval = contrast(a, b, level=0.9)
        is_inside = interval.low > -0.003 and interval.high < 0.003
        assert is_inside == (p_equivalence(a, b, margin=0.003) < 0.05)
        decided.add(is_inside)
    assert decided == {True, False}


def test_equivalence_by_hand():
    d = np.array([-2.0, -1.0, 0.0, 1.0, 2.0]) + 0.5
    # the nearer margin, 2, is 1.5 from the mean of 0.5; standard error sqrt(0.5)
    assert p_equivalence(d, np.zeros(5), margin=2) == pytest.approx(stats.t.sf(1.5 / 0.5**0.5, 4))


def test_equivalence_without_spread():
    same = [0.3, 0.4, 0.5]
    assert p_equivalence(same, same, margin=0.001) == 0
    assert p_equivalence([x + 0.25 for x in same], same, margin=0.25) == 1
    assert p_equivalence([x + 0.25 for x in same], same, margin=0.26) == 0


@pytest.mark.parametrize("margin", [0, -1, np.inf, np.nan])
def test_a_margin_that_is_none(margin):
    with pytest.raises(InputError, match="`margin`"):
        p_equivalence([1.0, 2.0], [1.0, 2.0], margin)


@pytest.mark.parametrize(("num_seeds", "p"), [(5, 0.0625), (6, 0.03125), (8, 0.0078125), (10, 0.001953125)])
def test_the_smallest_p_value_of_sign_flips(num_seeds, p):
    assert contrast(np.linspace(1, 2, num_seeds), np.zeros(num_seeds)).p_sign_flip == p


@pytest.mark.parametrize(("delta", "exact", "approximate"), [(0.3, 8, 7), (0.2, 15, 14), (0.1, 52, 51)])
def test_seeds_of_the_evaluation_method(delta, exact, approximate):
    assert seeds_needed(0.25, delta) == exact
    assert round((1.96 + 0.84) ** 2 * 0.25**2 / delta**2 + 1) in (approximate - 1, approximate)
    assert exact == np.ceil(TTestPower().solve_power(effect_size=delta / 0.25, power=0.8, alpha=0.05))


@pytest.mark.parametrize("effect", [0.05, 0.3, 1.0, 3.0, 10.0, 30.0, 1000.0])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.99])
def test_seeds_needed_is_the_smallest_number(effect, power):
    needed = seeds_needed(1.0, effect, power)

    def power_of(num_seeds: int) -> float:
        reference = stats.nct(num_seeds - 1, effect * num_seeds**0.5)
        with np.errstate(divide="ignore"):  # SciPy 1.13 divides by zero on its way to the right value
            return float(reference.sf(stats.t.ppf(0.975, num_seeds - 1)))

    assert power_of(needed) >= power
    assert needed == 2 or power_of(needed - 1) < power


def test_seeds_needed_agree_with_a_simulation():
    needed = seeds_needed(1.0, 1.0)
    draws = np.random.default_rng(0).normal(1.0, 1.0, (4000, needed))
    found = stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05
    assert 0.78 < found.mean() < 0.86


@pytest.mark.parametrize("bad", [{"sd": 0}, {"delta": -1}, {"power": 1}, {"alpha": 0}])
def test_seeds_needed_of_bad_options(bad):
    with pytest.raises(InputError, match=f"`{next(iter(bad))}`"):
        seeds_needed(**{"sd": 1.0, "delta": 1.0, **bad})
