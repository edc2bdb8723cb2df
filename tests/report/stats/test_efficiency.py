"""Label efficiency by hand, with and without censoring."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from al_lightning.errors import InputError
from al_lightning.report.stats.efficiency import LabelsToReach, label_efficiency

pytestmark = pytest.mark.filterwarnings("error")
LABELS = np.arange(500, 10_501, 100)


def curve(labels: np.ndarray, scale: float) -> np.ndarray:
    """A learning curve on which ``scale`` as many labels are worth as much as one of scale 1."""
    return 0.9 - 0.5 * np.exp(-labels * scale / 2000)


def labels_to_reach(num_labeled, accuracy, target: float) -> LabelsToReach:
    """With how many labels one curve reaches a target."""
    return label_efficiency(num_labeled, [accuracy], [accuracy], target).strategy


@pytest.mark.parametrize(
    ("target", "labels", "at_once"),
    [
        (0.4, 100, True),
        (0.5, 100, True),
        (0.55, 150, False),
        (0.6, 200, False),
        (0.75, 500, False),
        (0.9, 800, False),
    ],
)
def test_interpolates_an_ascending_curve(target, labels, at_once):
    reached = labels_to_reach([100, 200, 800], [0.5, 0.6, 0.9], target)
    assert reached == LabelsToReach(pytest.approx(labels), censored=False, at_once=at_once)


def test_a_target_that_is_not_reached_is_censored():
    assert labels_to_reach([100, 200, 800], [0.5, 0.6, 0.9], 0.91) == (800, True, False)


def test_a_single_lucky_round_does_not_reach():
    # pooled: .5, .65, .65, .8, although the second round has .8
    assert labels_to_reach([100, 200, 300, 400], [0.5, 0.8, 0.5, 0.8], 0.725) == (pytest.approx(350), False, False)
    assert labels_to_reach([100, 200, 300, 400], [0.5, 0.8, 0.5, 0.8], 0.65).labels == pytest.approx(200)
    # a curve that only falls is its mean
    assert labels_to_reach([100, 200], [0.8, 0.6], 0.71) == (200, True, False)
    assert labels_to_reach([100, 200], [0.8, 0.6], 0.69) == (100, False, True)


@given(
    values=st.lists(st.integers(0, 100), min_size=1, max_size=12),
    targets=st.tuples(st.floats(0, 100), st.floats(0, 100)),
)
def test_a_higher_target_takes_no_fewer_labels(values, targets):
    labels = np.arange(1, len(values) + 1)
    easier, harder = (labels_to_reach(labels, values, target) for target in sorted(targets))
    assert easier[:2] <= harder[:2]
    assert easier.at_once or not harder.at_once
    assert 1 <= easier.labels <= len(values)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_efficiency_of_a_curve_that_is_stretched(scale):
    rng = np.random.default_rng(0)
    strategy, random = (curve(LABELS, x) + rng.normal(0, 0.0005, (10, 101)) for x in (scale, 1.0))
    result = label_efficiency(LABELS, strategy, random, target=curve(3000, 1.0), num_resamples=500)
    assert result.ratio == pytest.approx(scale, rel=0.01)
    assert result.low <= result.ratio <= result.high
    assert result.high - result.low < 0.05 * scale
    assert result.random.labels == pytest.approx(3000, rel=0.01)
    assert result.strategy.labels == pytest.approx(3000 / scale, rel=0.01)
    assert not result.random.censored
    assert not result.strategy.censored


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), num_seeds=st.integers(2, 5))
def test_efficiency_against_itself_is_one(seed, num_seeds):
    curves = np.random.default_rng(seed).random((num_seeds, 6))
    result = label_efficiency(np.arange(1, 7), curves, curves, float(curves.mean()), num_resamples=50)
    assert result.bound is None
    if result.random.censored or result.random.at_once:  # and so does the other
        assert np.isnan(result.ratio)
    else:
        assert result.ratio == 1
    assert result.low <= 1 <= result.high


def test_resamples_are_paired():
    """Seeds that are good or bad for both leave no doubt about a difference that all share."""
    shift = np.linspace(-0.05, 0.05, 8)[:, None]
    labels = np.array([0.0, 1000.0]) + 1000
    random, strategy = (shift + np.array([0.5, top]) for top in (0.6, 0.6))
    result = label_efficiency(labels, strategy, random, target=0.55, num_resamples=200)
    assert (result.low, result.high) == (1, 1)


def test_interval_covers_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    labels = np.arange(500, 3001, 250)
    covered = 0
    for repeat in range(100):
        common = rng.normal(0, 0.004, (10, 1))
        strategy, random = (curve(labels, x) + common + rng.normal(0, 0.004, (10, len(labels))) for x in (1.5, 1.0))
        result = label_efficiency(labels, strategy, random, curve(1500, 1.0), num_resamples=200, seed=repeat)
        covered += result.low <= 1.5 <= result.high
    assert covered >= 82  # percentile intervals of 10 seeds are a little short


def test_random_that_never_gets_there_bounds_from_below():
    random, strategy = np.full((4, 3), 0.5), np.tile([0.5, 0.7, 0.8], (4, 1))
    result = label_efficiency([100, 200, 400], strategy, random, target=0.7)
    assert (result.ratio, result.low, result.high, result.bound) == (2, 2, np.inf, "at least")
    assert (result.random, result.strategy) == ((400, True, False), (200, False, False))


def test_a_strategy_that_never_gets_there_bounds_from_above():
    strategy, random = np.full((4, 3), 0.5), np.tile([0.5, 0.7, 0.8], (4, 1))
    result = label_efficiency([100, 200, 400], strategy, random, target=0.7)
    assert (result.ratio, result.low, result.high, result.bound) == (0.5, 0, 0.5, "at most")
    assert (result.random, result.strategy) == ((200, False, False), (400, True, False))


def test_a_strategy_that_starts_there_bounds_from_below():
    """Fewer labels than those of the first round may be enough."""
    strategy, random = np.full((4, 3), 0.9), np.tile([0.5, 0.7, 0.8], (4, 1))
    result = label_efficiency([100, 200, 400], strategy, random, target=0.7)
    assert (result.ratio, result.low, result.high, result.bound) == (2, 2, np.inf, "at least")
    assert result.strategy == (100, False, True)
    other = label_efficiency([100, 200, 400], random, strategy, target=0.7)
    assert (other.ratio, other.low, other.high, other.bound) == (0.5, 0, 0.5, "at most")


def test_starts_there_in_some_resamples_only():
    strategy = np.array([[0.66, 0.9], [0.74, 0.9], [0.66, 0.9], [0.70, 0.9]])  # reaches .7 after the first, on average
    result = label_efficiency([100, 200], strategy, np.tile([0.5, 0.9], (4, 1)), target=0.7)
    assert (result.bound, result.high) == (None, np.inf)
    assert 1 < result.low < result.ratio < np.inf


def test_nobody_gets_there():
    result = label_efficiency([100, 200], np.full((4, 2), 0.5), np.full((4, 2), 0.5), target=0.7)
    assert (result.low, result.high, result.bound) == (0, np.inf, None)
    assert np.isnan(result.ratio)
    assert result.random.censored
    assert result.strategy.censored


def test_censored_in_some_resamples_only():
    random = np.array([[0.5, 0.74], [0.5, 0.66], [0.5, 0.74], [0.5, 0.70]])  # reaches .7 on average
    strategy = np.tile([0.5, 0.9], (4, 1))
    result = label_efficiency([100, 200], strategy, random, target=0.7)
    assert not result.random.censored
    assert result.high == np.inf
    assert 1 < result.low < result.ratio < 200 / 150 + 1e-9


def test_one_seed_has_no_interval():
    result = label_efficiency([100, 200], [[0.5, 0.9]], [[0.5, 0.7]], target=0.7)
    assert result.ratio == pytest.approx(200 / 150)
    assert np.isnan([result.low, result.high]).all()


def test_repeats_with_its_seed():
    rng = np.random.default_rng(0)
    strategy, random = (curve(LABELS, 1.0) + rng.normal(0, 0.01, (5, 101)) for _ in range(2))
    one, same, other = (label_efficiency(LABELS, strategy, random, 0.8, 100, seed=seed) for seed in (0, 0, 1))
    assert one == same
    assert (one.low, one.high) != (other.low, other.high)


def test_ends_are_values_of_resamples():
    """Of two resamples they are the lower and the higher, not something between, which could be half of infinity."""
    strategy = np.array([[0.5, 0.7], [0.5, 0.9]])
    random = np.tile([0.5, 0.9], (2, 1))
    # seeds (1, 1), (1, 2) and (2, 2) reach .6 with 150, 133 and 125 labels, random sampling with 125
    possible = [125 / 150, 125 / (400 / 3), 1.0]
    results = [label_efficiency([100, 200], strategy, random, 0.6, num_resamples=2, seed=seed) for seed in range(20)]
    assert all(min(abs(end - x) for x in possible) < 1e-9 for result in results for end in (result.low, result.high))
    assert any(result.low < result.high for result in results)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"random": [[0.5, 0.6, 0.7]]}, "`random` to be of the shape"),
        ({"num_labeled": [1, 2, 3]}, "`num_labeled`"),
        ({"target": np.nan}, "`target`"),
        ({"num_resamples": 0}, "`num_resamples`"),
        ({"level": 0}, "`level`"),
    ],
)
def test_bad_input(changed, message):
    good = {"num_labeled": [1, 2], "strategy": [[0.5, 0.6]], "random": [[0.5, 0.6]], "target": 0.5}
    with pytest.raises(InputError, match=message):
        label_efficiency(**{**good, **changed})
