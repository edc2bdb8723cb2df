import pytest
import torch

from al_lightning.strategies import LeastConfidence
from al_lightning.strategies.least_confidence import least_confidence_score
from tests.helpers import generator, make_pool, probs_one_by_one, random_probs, rows_by_hand


@pytest.mark.parametrize("num_classes", [2, 3, 10, 100])
def test_equals_one_minus_the_largest_probability(num_classes):
    probs = random_probs(200, num_classes)
    expected = rows_by_hand(lambda row: 1 - max(row.tolist()), probs)
    torch.testing.assert_close(least_confidence_score(probs).double(), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_bounds_are_reached_by_one_hot_and_uniform(num_classes):
    assert least_confidence_score(torch.eye(num_classes)).equal(torch.zeros(num_classes))
    uniform = least_confidence_score(torch.full((1, num_classes), 1 / num_classes))
    torch.testing.assert_close(uniform, torch.tensor([1 - 1 / num_classes]))


def test_tied_classes_count_once():
    torch.testing.assert_close(least_confidence_score(torch.tensor([[0.4, 0.4, 0.2]])), torch.tensor([0.6]))


def test_confident_samples_do_not_tie():
    """1 - max p is exactly 0 in float32 from a gap of 17 between logits on."""
    logits = torch.zeros(8, 3)
    logits[:, 0] = torch.arange(10.0, 90.0, 10.0)
    scores = least_confidence_score(logits.softmax(dim=1))
    assert (scores.diff() < 0).all()
    assert (1 - logits.softmax(dim=1).amax(dim=1) == 0).sum() >= 6


def test_query_equals_a_loop_over_single_samples():
    scores = rows_by_hand(lambda row: 1 - max(row.tolist()), probs_one_by_one())
    expected = sorted(range(len(scores)), key=lambda i: -scores[i])[:20]
    assert LeastConfidence().query(make_pool(), 20, generator()).tolist() == expected
