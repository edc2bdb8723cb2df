"""Areas, final accuracies and bands, by hand, by brute force and by simulation."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from al_lightning.errors import InputError
from al_lightning.report.stats.curves import (
    Band,
    aubc,
    final_accuracy,
    first_lasting_lead,
    pointwise_band,
    simultaneous_band,
)

pytestmark = pytest.mark.filterwarnings("error")
LABELS = np.arange(500, 10_501, 100)


@pytest.mark.parametrize("span", [(None, None), (500, 2000), (8000, 10_000), (550, 777)])
def test_area_of_a_constant_curve_is_the_constant(span):
    assert aubc(LABELS, np.full(101, 0.7), *span) == pytest.approx(0.7)


@pytest.mark.parametrize("span", [(500, 10_500), (500, 2000), (8000, 10_000), (550, 777), (510, 520)])
@pytest.mark.parametrize("labels", [LABELS, np.array([500, 600, 1000, 5000, 10_500])])
def test_area_of_a_line_is_its_value_in_the_middle(labels, span):
    assert aubc(labels, labels / 20_000, *span) == pytest.approx(sum(span) / 2 / 20_000)


def test_area_of_unequal_steps_by_hand():
    # trapezoids: 100 * .55 + 400 * .7 + 1000 * .85
    assert aubc([500, 600, 1000, 2000], [0.5, 0.6, 0.8, 0.9]) == pytest.approx(1185 / 1500)
    # 50 * .575 + 400 * .7 + 500 * .825
    assert aubc([500, 600, 1000, 2000], [0.5, 0.6, 0.8, 0.9], 550, 1500) == pytest.approx(721.25 / 950)


def test_area_of_equal_steps_is_the_formula_of_the_other_packages():
    accuracy = np.random.default_rng(0).random((3, 4, 101))
    expected = (accuracy[..., 1:] + accuracy[..., :-1]).sum(axis=-1) / 2 / 100
    assert aubc(LABELS, accuracy).shape == (3, 4)
    assert aubc(LABELS, accuracy) == pytest.approx(expected)


@given(data=st.data(), num_rounds=st.integers(2, 12))
def test_area_is_within_the_curve_and_made_of_its_parts(data, num_rounds):
    labels = np.cumsum(data.draw(st.lists(st.integers(1, 500), min_size=num_rounds, max_size=num_rounds)))
    accuracy = np.array(data.draw(st.lists(st.floats(0, 1), min_size=num_rounds, max_size=num_rounds)))
    area = aubc(labels, accuracy)
    assert accuracy.min() - 1e-12 <= area <= accuracy.max() + 1e-12
    middle = data.draw(st.floats(labels[0] + 0.25, labels[-1] - 0.25))
    left, right = aubc(labels, accuracy, high=middle), aubc(labels, accuracy, low=middle)
    whole = (middle - labels[0]) * left + (labels[-1] - middle) * right
    assert whole / (labels[-1] - labels[0]) == pytest.approx(area, abs=1e-9)


@pytest.mark.parametrize("span", [(400, 2000), (8000, 10_501), (2000, 500), (600, 600)])
def test_area_of_a_range_that_is_not_covered(span):
    with pytest.raises(InputError, match="range within 500 to 10500"):
        aubc(LABELS, np.ones(101), *span)


@pytest.mark.parametrize("labels", [[1, 2], [1, 1, 2], [3, 2, 1], [0, 1, 2], [1, 2, np.nan]])
def test_label_counts_must_go_with_the_curve(labels):
    with pytest.raises(InputError, match="`num_labeled`"):
        aubc(labels, [0.1, 0.2, 0.3])
    with pytest.raises(InputError, match="`num_labeled`"):
        final_accuracy(labels, [0.1, 0.2, 0.3], at=1)


def test_final_accuracy_is_of_rounds_91_to_95():
    rounds = np.arange(101.0)
    assert final_accuracy(LABELS, rounds) == 93
    assert final_accuracy(LABELS, np.stack([rounds, rounds**2]), last=1).tolist() == [95, 95**2]
    assert final_accuracy(LABELS, rounds, at=10_500, last=2) == 99.5
    assert final_accuracy(LABELS, rounds, at=900) == 2


@pytest.mark.parametrize(("options", "name"), [({"at": 10_050}, "at"), ({"at": 800}, "last"), ({"last": 0}, "last")])
def test_final_accuracy_of_rounds_that_are_not_there(options, name):
    with pytest.raises(InputError, match=f"`{name}`"):
        final_accuracy(LABELS, np.ones(101), **options)


def test_pointwise_band_is_the_t_interval():
    accuracy = np.random.default_rng(0).random((6, 4))
    band = pointwise_band(accuracy, level=0.9)
    interval = stats.ttest_1samp(accuracy, 0).confidence_interval(0.9)
    assert band.mean == pytest.approx(accuracy.mean(axis=0))
    assert band.low == pytest.approx(interval.low)
    assert band.high == pytest.approx(interval.high)
    assert band.critical == pytest.approx(2.015, abs=1e-3)


def test_pointwise_band_of_a_round_without_spread_is_a_point():
    band = pointwise_band(np.full((7, 2), 0.1))
    assert (band.low == band.mean).all()
    assert (band.high == band.mean).all()


def test_pointwise_band_of_one_seed_is_unknown():
    band = pointwise_band([[0.5, 0.6]])
    assert band.mean.tolist() == [0.5, 0.6]
    assert np.isnan([*band.low, *band.high, band.critical]).all()


def correlated(rng: np.random.Generator, num_seeds: int, num_rounds: int) -> np.ndarray:
    """Differences of two curves that are random walks towards their mean, 0 in round 0."""
    noise = rng.normal(size=(num_seeds, num_rounds))
    for r in range(1, num_rounds):
        noise[:, r] += 0.7 * noise[:, r - 1]
    noise[:, 0] = 0
    return noise


def max_t_by_brute_force(d: np.ndarray) -> list[float]:
    """Largest absolute t of each sign flip, the observed one first."""
    flipped = [np.array(signs)[:, None] * d for signs in product((1, -1), repeat=len(d))]
    return [float(np.abs(x.mean(axis=0) / x.std(axis=0, ddof=1) * len(d) ** 0.5).max()) for x in flipped]


@pytest.mark.parametrize("num_seeds", [6, 8])
def test_critical_value_by_brute_force(num_seeds):
    d = correlated(np.random.default_rng(0), num_seeds, 10)[:, 1:]
    raw, residual = (sorted(max_t_by_brute_force(x), reverse=True) for x in (d, d - d.mean(axis=0)))
    band = simultaneous_band(d, np.zeros_like(d))
    num_above = int(0.05 * 2**num_seeds)
    assert band.critical == pytest.approx(max(raw[num_above], residual[num_above]))
    assert sum(t > band.critical for t in raw) <= num_above
    half = band.critical * d.std(axis=0, ddof=1) / num_seeds**0.5
    assert band.mean == pytest.approx(d.mean(axis=0))
    assert band.low == pytest.approx(d.mean(axis=0) - half)
    assert band.high == pytest.approx(d.mean(axis=0) + half)


def test_band_excludes_zero_only_when_the_max_t_test_rejects():
    rng = np.random.default_rng(1)
    excluded = 0
    for _ in range(40):
        d = correlated(rng, 6, 6)[:, 1:] + 1.5
        ts = max_t_by_brute_force(d)
        band = simultaneous_band(d, np.zeros_like(d))
        if ((band.low > 0) | (band.high < 0)).any():
            assert sum(t >= ts[0] - 1e-9 for t in ts) / len(ts) <= 0.05
            excluded += 1
    assert 5 < excluded < 35


def test_simultaneous_band_is_wider_than_the_pointwise_one_of_a_null():
    d = correlated(np.random.default_rng(0), 10, 60)
    assert simultaneous_band(d, np.zeros_like(d)).critical > pointwise_band(d).critical


@pytest.mark.parametrize("effect", [0.0, 1.0, 5.0, 50.0])
def test_family_wise_coverage(effect):
    """Of the true curve, also where it is far from 0, for which flips of the differences alone would miss a fifth."""
    rng = np.random.default_rng(0)
    truth = effect * np.linspace(-1, 1, 15)
    truth[0] = 0
    missed = 0
    for _ in range(400):
        d = correlated(rng, 8, 15) + truth
        band = simultaneous_band(d, np.zeros_like(d))
        missed += bool(((band.low > truth) | (band.high < truth)).any())
    assert 0.015 < missed / 400 < 0.085  # 0.05, four standard errors around


def test_no_false_lead_where_there_is_none_whatever_happens_elsewhere():
    rng = np.random.default_rng(0)
    truth = np.where(np.arange(12) < 6, 0.0, 3.0)
    false = 0
    for _ in range(400):
        d = correlated(rng, 8, 12) + truth
        band = simultaneous_band(d, np.zeros_like(d))
        false += bool(((band.low[:6] > 0) | (band.high[:6] < 0)).any())
    assert false / 400 < 0.085


def test_five_seeds_cannot_reach_95_percent():
    a = np.linspace(0.5, 0.9, 5)[:, None] + np.array([0.0, 0.1, 0.2])
    b = a - np.array([0.0, 0.1, 0.1])
    b[0, 1:] += 0.01
    band = simultaneous_band(a, b)
    assert band.critical == np.inf
    assert band.low.tolist() == [0, -np.inf, -np.inf]
    assert band.high.tolist() == [0, np.inf, np.inf]
    assert np.isfinite(simultaneous_band(a, b, level=0.9).low[2])


def test_one_seed_has_no_band():
    band = simultaneous_band([[0.5, 0.6]], [[0.5, 0.5]])
    assert (band.low.tolist(), band.high.tolist()) == ([0, -np.inf], [0, np.inf])


def test_rounds_without_spread():
    d = correlated(np.random.default_rng(0), 6, 5)
    alone = simultaneous_band(d[:, 1:], np.zeros((6, 4)))
    with_zeros = simultaneous_band(d, np.zeros((6, 5)))
    assert (with_zeros.low[0], with_zeros.high[0]) == (0, 0)
    assert with_zeros.critical == alone.critical
    assert with_zeros.low[1:].tolist() == alone.low.tolist()
    d[:, 0] = 0.25  # the same difference in all seeds: a point, as in the t interval
    constant = simultaneous_band(d, np.zeros((6, 5)))
    assert (constant.low[0], constant.high[0]) == (0.25, 0.25)
    assert np.isfinite(constant.critical)


def test_identical_methods():
    a = np.random.default_rng(0).random((6, 4))
    band = simultaneous_band(a, a)
    assert (band.critical, band.low.tolist(), band.high.tolist()) == (0, [0] * 4, [0] * 4)


def test_band_of_more_seeds_than_can_be_enumerated():
    d = correlated(np.random.default_rng(0), 20, 4)
    band = simultaneous_band(d, np.zeros_like(d), seed=1)
    normal_bonferroni, t_single = stats.norm.ppf(1 - 0.05 / 2 / 3), stats.t.ppf(0.975, 19)
    assert t_single < band.critical < normal_bonferroni + 0.4
    assert band.critical == simultaneous_band(d, np.zeros_like(d), seed=1).critical


def test_bands_need_curves():
    with pytest.raises(InputError, match="`b`"):
        simultaneous_band(np.ones((6, 3)), np.ones((6, 2)))
    with pytest.raises(InputError, match="`a`"):
        simultaneous_band(np.ones(6), np.ones(6))
    with pytest.raises(InputError, match="`level`"):
        simultaneous_band(np.ones((6, 3)), np.ones((6, 3)), level=0)
    with pytest.raises(InputError, match="`accuracy`"):
        pointwise_band(np.ones(6))


def band_with(low: list[float]) -> Band:
    return Band(np.array(low), np.array(low), np.array(low), 2.0)


@pytest.mark.parametrize(
    ("low", "lead"),
    [
        ([0, 1, 2], 600),
        ([1, 1, 2], 500),
        ([1, -1, 2], 700),
        ([1, 1, 0], None),
        ([-np.inf, -np.inf, -np.inf], None),
        ([np.nan, 1, 1], 600),
    ],
)
def test_first_lasting_lead(low, lead):
    assert first_lasting_lead([500, 600, 700], band_with(low)) == lead


def test_first_lasting_lead_of_another_number_of_rounds():
    with pytest.raises(InputError, match="`num_labeled`"):
        first_lasting_lead([500, 600], band_with([1, 2, 3]))


def test_a_planted_lead_is_found_where_it_starts():
    rng = np.random.default_rng(0)
    lead = np.where(LABELS >= 3000, 0.02, 0.0)
    d = rng.normal(0, 0.001, (10, 101)) + lead
    assert first_lasting_lead(LABELS, simultaneous_band(d, np.zeros_like(d))) == 3000


def test_a_band_is_cut_to_a_range_and_says_where_it_has_no_bound() -> None:
    band = Band(np.array([0.5, 0.9]), np.array([-0.2, -np.inf]), np.array([1.4, np.inf]), 2.0).within(0, 1)
    assert (band.low.tolist(), band.high.tolist()) == ([0, -np.inf], [1, np.inf])
    assert band.mean.tolist() == [0.5, 0.9]
    alone = pointwise_band([[0.5]]).within(0, 1)
    assert np.isnan([alone.low, alone.high]).all()
