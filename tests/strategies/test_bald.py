import math

import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from al_lightning.errors import InputError
from al_lightning.strategies import BALD
from al_lightning.strategies.bald import bald_score
from tests.digits import DigitsMLP
from tests.helpers import fitted_model, generator, make_pool, random_probs


def random_samples(size: int, num_samples: int, num_classes: int, seed: int = 0) -> Tensor:
    """Probabilities of shape (N, T, C)."""
    return random_probs(size * num_samples, num_classes, seed).view(size, num_samples, num_classes)


def bald_by_hand(probs: Tensor) -> Tensor:
    """Entropy of the mean minus mean of the entropies, one sample at a time, float64."""
    scores = []
    for row in probs.double().numpy():
        entropies = [scipy.stats.entropy(p) for p in row]
        scores.append(scipy.stats.entropy(row.mean(axis=0)) - sum(entropies) / len(entropies))
    return torch.tensor(scores, dtype=torch.float64)


def bald_of_dropout_by_hand(pool_embeddings: Tensor, masks: Tensor, head: nn.Linear) -> Tensor:
    """Applies each mask as nn.Dropout does, one forward pass of the head after the other."""
    with torch.no_grad():
        samples = [head(pool_embeddings * mask).double().softmax(dim=1) for mask in masks]
    return bald_by_hand(torch.stack(samples, dim=1))


# ------------------------------------------------------------------------------------------------------- bald_score


@pytest.mark.parametrize(("num_samples", "num_classes"), [(2, 2), (20, 10), (5, 100), (100, 3)])
def test_equals_the_definition(num_samples, num_classes):
    probs = random_samples(50, num_samples, num_classes)
    torch.testing.assert_close(bald_score(probs.log()).double(), bald_by_hand(probs), atol=2e-6, rtol=1e-5)


def test_equals_the_mean_divergence_from_the_mean():
    probs = random_samples(50, 7, 5).double()
    probs /= probs.sum(dim=2, keepdim=True)
    mean = probs.mean(dim=1, keepdim=True)
    divergence = (probs * (probs / mean).log()).sum(dim=2).mean(dim=1)
    torch.testing.assert_close(bald_score(probs.log()), divergence, atol=1e-12, rtol=0)


def test_logits_will_do():
    logits = torch.randn(50, 7, 5, generator=generator(0)) * 5
    torch.testing.assert_close(bald_score(logits), bald_score(logits.log_softmax(dim=2)))


@pytest.mark.parametrize("num_samples", [2, 3, 10])
def test_distinct_one_hots_have_the_logarithm_of_their_number(num_samples):
    probs = torch.eye(10)[None, :num_samples]
    torch.testing.assert_close(bald_score(probs.log()), torch.tensor([math.log(num_samples)]))


def test_averaging_log_probs_would_fail():
    """Regression: the mean over samples is one of probabilities (realistic-al keeps the wrong line as a comment)."""
    probs = torch.tensor([[[1 - 1e-6, 1e-6], [1e-6, 1 - 1e-6]]], dtype=torch.float64)
    mean = probs.log().mean(dim=1)
    wrong = -(mean.exp() * mean).sum() - torch.special.entr(probs).sum(dim=2).mean()
    assert wrong.item() == pytest.approx(0.0138, abs=1e-4)
    assert bald_score(probs.log()).item() == pytest.approx(math.log(2), abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identical_samples_score_zero(dtype):
    """Regression: a difference of terms in two dtypes ranks a deterministic model by noise (Riashat issue #3)."""
    probs = random_probs(500, 10).to(dtype)[:, None].expand(-1, 20, -1)
    scores = bald_score(probs.log())
    assert scores.dtype == dtype
    assert scores.max() <= (1e-6 if dtype == torch.float32 else 1e-14)
    assert scores.min() >= 0


@pytest.mark.parametrize(("num_samples", "num_classes"), [(2, 10), (10, 2), (3, 3)])
@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0])
def test_bounds(num_samples, num_classes, spread):
    probs = random_probs(200 * num_samples, num_classes, spread=spread).view(200, num_samples, num_classes)
    scores = bald_score(probs.log())
    entropy_of_mean = torch.special.entr(probs.mean(dim=1)).sum(dim=1)
    assert (scores >= 0).all()
    assert (scores <= min(math.log(num_samples), math.log(num_classes)) + 1e-6).all()
    assert (scores <= entropy_of_mean + 1e-6).all()


def test_impossible_classes_are_finite():
    scores = bald_score(torch.tensor([[[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]]).log())
    assert scores[0] == 0
    torch.testing.assert_close(scores[1].double(), bald_by_hand(torch.tensor([[[1.0, 0, 0], [0.5, 0.5, 0]]]))[0])


@pytest.mark.parametrize(
    "same",
    [
        lambda probs: probs.flip(1),
        lambda probs: probs.flip(2),
        lambda probs: probs.repeat(1, 3, 1),
        lambda probs: torch.cat([probs, torch.zeros_like(probs)], dim=2),
    ],
    ids=["order of samples", "order of classes", "duplicates of samples", "impossible classes"],
)
def test_does_not_depend_on(same):
    probs = random_samples(50, 6, 5)
    torch.testing.assert_close(bald_score(same(probs).log()), bald_score(probs.log()), atol=1e-6, rtol=1e-5)


def test_rows_do_not_depend_on_each_other():
    """Regression: a softmax over a flattened batch depends on its size (modAL)."""
    log_probs = random_samples(50, 6, 5).log()
    alone = torch.cat([bald_score(row[None]) for row in log_probs])
    torch.testing.assert_close(bald_score(log_probs), alone, atol=1e-6, rtol=0)


# ------------------------------------------------------------------------------------------------------------- BALD


@pytest.mark.parametrize("num_samples", [2, 20])
def test_equals_a_loop_over_the_same_masks(num_samples):
    pool = make_pool(mask_seed=3)
    query, scores = BALD(num_samples).answer(pool, 15, generator())
    masks = fitted_model().draw_masks(num_samples, generator(3))
    expected = bald_of_dropout_by_hand(make_pool().embeddings(), masks, fitted_model().head)
    assert scores is not None
    torch.testing.assert_close(scores.double(), expected, atol=2e-6, rtol=0)
    assert query.tolist() == expected.argsort(descending=True)[:15].tolist()


def test_masks_are_those_of_dropout():
    """Same masks through nn.Dropout itself: one row of ones goes in, and what comes out is the mask."""
    dropout = nn.Dropout(0.3).train()
    embeddings = make_pool().embeddings()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        masks = torch.cat([dropout(torch.ones(1, 32)) for _ in range(10)])
    model = fitted_model()
    with torch.no_grad():
        scores = bald_score(model.sample(embeddings, masks).log_softmax(dim=-1))
    expected = bald_of_dropout_by_hand(embeddings, masks, model.head)
    torch.testing.assert_close(scores.double(), expected, atol=2e-6, rtol=0)


def test_other_masks_give_other_scores():
    scores = [BALD().scores(make_pool(mask_seed=seed)) for seed in (0, 1)]
    assert not torch.allclose(scores[0], scores[1], atol=1e-4)


@pytest.mark.parametrize("num_samples", [2, 5, 20])
def test_few_samples_that_disagree_little_score_too_low_by_one_minus_one_over_their_number(num_samples):
    logits = 0.1 * torch.randn(2000, 200, 4, generator=generator(), dtype=torch.float64)
    few, many = bald_score(logits[:, :num_samples].log_softmax(dim=2)), bald_score(logits.log_softmax(dim=2))
    assert (few.mean() / many.mean()).item() == pytest.approx((1 - 1 / num_samples) / (1 - 1 / 200), rel=0.03)


@pytest.mark.parametrize("num_samples", [-1, 0, 1])
def test_less_than_two_samples_raise(num_samples):
    with pytest.raises(InputError, match=f"`num_samples` of BALD to be at least 2, but got {num_samples}"):
        BALD(num_samples)


def test_a_model_without_dropout_raises():
    """Regression: the samples are all the same and their order is noise (DeepAL+, JordanAsh's MLP)."""
    with pytest.raises(InputError, match=r"active dropout .* but got `model.dropout` = 0"):
        BALD().query(make_pool(model=DigitsMLP(dropout=0)), 10, generator())


def test_reliability_compares_two_draws_of_masks():
    strategy = BALD(10, reliability=True)
    pool = make_pool()
    query = strategy.query(pool, 30, generator())
    figures = strategy.diagnose(pool, query)
    masks = fitted_model().draw_masks(20, torch.Generator().manual_seed(0))  # 10 of the query, then 10 others
    embeddings = pool.embeddings()
    scores = [bald_of_dropout_by_hand(embeddings, part, fitted_model().head) for part in (masks[:10], masks[10:])]
    expected = scipy.stats.spearmanr(*scores).statistic
    assert figures["bald_rank_correlation"] == pytest.approx(expected, abs=1e-3)
    tops = [set(score.topk(30).indices.tolist()) for score in scores]
    assert set(query.tolist()) == tops[0]
    assert figures["bald_top_overlap"] == pytest.approx(len(tops[0] & tops[1]) / 30)


def test_without_reliability_nothing_is_reported():
    pool = make_pool()
    strategy = BALD(10)
    assert strategy.diagnose(pool, strategy.query(pool, 30, generator())) == {}
