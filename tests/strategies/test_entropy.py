import math

import pytest
import scipy.stats
import torch

from al_lightning.strategies import Entropy
from al_lightning.strategies.entropy import entropy_score
from tests.helpers import generator, make_pool, probs_one_by_one, random_probs, rows_by_hand


@pytest.mark.parametrize("num_classes", [2, 3, 10, 100])
def test_equals_scipy(num_classes):
    probs = random_probs(200, num_classes)
    expected = rows_by_hand(lambda row: float(scipy.stats.entropy(row.numpy())), probs)
    torch.testing.assert_close(entropy_score(probs.log()).double(), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_bounds_are_reached_by_one_hot_and_uniform(num_classes):
    assert entropy_score(torch.eye(num_classes).log()).equal(torch.zeros(num_classes))
    uniform = entropy_score(torch.full((1, num_classes), 1 / num_classes).log())
    torch.testing.assert_close(uniform, torch.tensor([math.log(num_classes)]))


@pytest.mark.parametrize("gap", [20.0, 104.0, 1000.0, 1e30])
def test_underflowing_probabilities_are_finite(gap):
    """Regression: softmax underflows at a gap of 104 and p * log(p) is then NaN (acl21, ALFM)."""
    scores = entropy_score(torch.tensor([[0.0, gap, 0.0], [0.0, 0.0, 0.0]]).log_softmax(dim=1))
    assert scores.isfinite().all()
    assert scores[0] < 1e-6
    assert not scores[0].signbit()


def test_shape_is_that_of_the_input_without_the_classes():
    log_probs = random_probs(24, 5).log().view(2, 3, 4, 5)
    assert entropy_score(log_probs).flatten().equal(entropy_score(log_probs.view(24, 5)))


def test_is_concave():
    first, second = random_probs(100, 10, seed=1), random_probs(100, 10, seed=2)
    mean_of_scores = (entropy_score(first.log()) + entropy_score(second.log())) / 2
    assert (entropy_score(((first + second) / 2).log()) >= mean_of_scores - 1e-6).all()


def test_query_equals_a_loop_over_single_samples():
    scores = rows_by_hand(lambda row: float(scipy.stats.entropy(row.numpy())), probs_one_by_one())
    expected = sorted(range(len(scores)), key=lambda i: -scores[i])[:20]
    assert Entropy().query(make_pool(), 20, generator()).tolist() == expected
