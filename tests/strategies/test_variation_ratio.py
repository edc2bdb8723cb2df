from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from al_lightning.errors import InputError
from al_lightning.strategies import Stochastic, VariationRatio
from al_lightning.strategies.variation_ratio import variation_ratio
from al_lightning.testing.small_models import KINDS
from tests.helpers import fitted_model, generator, make_pool, pool_inputs, random_probs


def of_votes(votes: Tensor, num_classes: int) -> Tensor:
    """Log-probabilities (N, T, C) of models that are certain of their votes (N, T)."""
    return F.one_hot(votes, num_classes).float().log()


def by_hand(log_probs: Tensor) -> list[float]:
    votes = [[row.tolist().index(max(row.tolist())) for row in rows] for rows in log_probs]
    return [1 - max(row.count(c) for c in row) / len(row) for row in votes]


def test_three_votes_of_five():
    scores = variation_ratio(of_votes(torch.tensor([[0, 0, 0, 1, 1], [1, 1, 1, 1, 1], [0, 1, 2, 3, 4]]), 5))
    torch.testing.assert_close(scores, torch.tensor([0.4, 0.0, 0.8]))


@pytest.mark.parametrize(("num_samples", "num_classes"), [(2, 2), (20, 10), (7, 100)])
def test_equals_the_definition(num_samples, num_classes):
    log_probs = random_probs(50 * num_samples, num_classes).view(50, num_samples, num_classes).log()
    found = variation_ratio(log_probs)
    torch.testing.assert_close(found, torch.tensor(by_hand(log_probs)))
    assert found.max() <= 1 - 1 / min(num_samples, num_classes) + 1e-6


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind.name)
def test_ties_are_broken_by_the_entropy_of_the_mean(kind):
    """Regression: five members have at most five ratios, and the order in the pool decides (uherding)."""
    pool = make_pool(model=kind.fitted)
    query, scores = VariationRatio().answer(pool, 60, generator())
    assert scores is not None
    logits = pool.map(lambda batch: batch.mc_log_probs(20))
    torch.testing.assert_close(scores, torch.tensor(by_hand(logits)))
    mean = logits.double().exp().mean(dim=1)
    entropies = torch.special.entr(mean).sum(dim=1)
    assert len(scores[query].unique()) < 30
    pairs = [(-round(float(scores[i]), 5), -float(entropies[i])) for i in query]
    assert all(a[0] < b[0] or (a[0] == b[0] and a[1] <= b[1] + 1e-6) for a, b in pairwise(pairs))
    others = torch.ones(300, dtype=torch.bool)
    others[query] = False
    worst = pairs[-1]
    assert all((-round(float(scores[i]), 5), -float(entropies[i]) + 1e-6) >= worst for i in others.nonzero().squeeze(1))


def test_scores_are_those_of_the_answer():
    strategy = VariationRatio(10)
    answer = strategy.answer(make_pool(), 10, generator())
    assert answer.scores is not None
    assert torch.equal(strategy.scores(make_pool()), answer.scores)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_votes_hide_no_nan(value):
    """Stochastic looks at the scores alone, and a class of NaN would win each vote."""
    logits = torch.zeros(4, 3, 2)
    logits[2, 1, 0] = value
    assert variation_ratio(logits).isnan().tolist() == [False, False, True, False]
    inputs = pool_inputs().clone()
    inputs[77, 3] = value
    with pytest.raises(InputError, match="finite acquisition scores, but got NaN or infinity in 1 of 300 samples"):
        Stochastic(VariationRatio()).query(make_pool(inputs), 30, generator())


def test_laplace_votes():
    scores = VariationRatio(50, posterior="laplace", prior_precision=1e14).scores(make_pool(model=fitted_model()))
    assert scores.max() == 0


def test_one_sample_raises():
    with pytest.raises(InputError, match="`num_samples` of VariationRatio to be at least 2, but got 1"):
        VariationRatio(1)
