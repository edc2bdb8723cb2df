import pytest
import torch

from al_lightning.strategies import Margin
from al_lightning.strategies.margin import margin_score
from tests.helpers import generator, make_pool, probs_one_by_one, random_probs, rows_by_hand


def margin_by_hand(probs: torch.Tensor) -> float:
    ordered = sorted(probs.tolist())
    return ordered[-1] - ordered[-2]


@pytest.mark.parametrize("num_classes", [2, 3, 10, 100])
def test_equals_minus_the_difference_of_the_sorted_probabilities(num_classes):
    probs = random_probs(200, num_classes)
    expected = -rows_by_hand(margin_by_hand, probs)
    torch.testing.assert_close(margin_score(probs).double(), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_bounds_are_reached_by_one_hot_and_uniform(num_classes):
    assert margin_score(torch.eye(num_classes)).equal(torch.full((num_classes,), -1.0))
    assert margin_score(torch.full((1, num_classes), 1 / num_classes)).equal(torch.zeros(1))


def test_margin_is_of_probabilities_not_of_logits():
    """Regression: google/active-learning takes decision values, whose margins rank these two the other way."""
    probs = torch.tensor([[0.50, 0.40, 0.02, 0.02, 0.02, 0.02, 0.02], [0.25, 0.17, 0.15, 0.13, 0.11, 0.10, 0.09]])
    assert margin_score(probs).argmax() == 1
    assert rows_by_hand(margin_by_hand, probs.log()).argmin() == 0


def test_query_equals_a_loop_over_single_samples():
    margins = rows_by_hand(margin_by_hand, probs_one_by_one())
    expected = sorted(range(len(margins)), key=lambda i: margins[i])[:20]
    assert Margin().query(make_pool(), 20, generator()).tolist() == expected
