"""JointSamples by Laplace's approximation: as BALD, EPIG and BatchBALD take them."""

import math

import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from al_lightning.errors import InputError
from al_lightning.inference import LinearHead
from al_lightning.inference.laplace import LaplacePosterior
from al_lightning.strategies import BALD
from al_lightning.strategies.bald import bald_score
from al_lightning.strategies.posterior import JointSamples
from al_lightning.testing.small_models import Ensemble
from tests.digits import DigitsMLP
from tests.helpers import fitted_model, generator, labeled_inputs, make_pool, pool_inputs


def by_hand(num_samples: int, seed: int = 0, precision: float | None = None) -> Tensor:
    """Log-probabilities (N, T, C) of the pool under each drawn head, one pass after the other, float64."""
    pool = make_pool()
    head = fitted_model().head
    posterior = LaplacePosterior(LinearHead(head.weight, head.bias), pool.labeled_embeddings(), precision)
    heads = posterior.draw(num_samples, generator(seed)).double()
    embeddings = pool.embeddings().double()
    samples = [(embeddings @ one[:, :-1].T + one[:, -1]).log_softmax(dim=1) for one in heads]
    return torch.stack(samples, dim=1)


@pytest.mark.parametrize("block_size", [7, 64, 1000])
def test_bald_equals_a_loop_over_the_drawn_heads(block_size):
    pool = make_pool(mask_seed=3, block_size=block_size)
    query, scores = BALD(posterior="laplace").answer(pool, 15, generator())
    expected = bald_score(by_hand(20, seed=3))
    assert scores is not None
    torch.testing.assert_close(scores.double(), expected, atol=3e-6, rtol=0)
    assert query.tolist() == expected.argsort(descending=True)[:15].tolist()


def test_a_given_prior_counts():
    pool = make_pool()
    scores = BALD(posterior="laplace", prior_precision=3.0).scores(pool)
    torch.testing.assert_close(scores.double(), bald_score(by_hand(20, precision=3.0)), atol=3e-6, rtol=0)


def test_a_prior_without_spread_scores_zero():
    scores = BALD(posterior="laplace", prior_precision=1e14).scores(make_pool())
    assert scores.max() < 1e-6


def test_a_direction_without_labels_scores_higher():
    """Labels lie along one axis; both samples of the pool are as far out, and the head is as certain of them."""
    head = nn.Linear(2, 2)
    head.weight.data = torch.tensor([[0.3, 0.3], [-0.3, -0.3]])
    head.bias.data.zero_()
    labeled = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).repeat(50, 1)
    pool = make_pool(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), head, labeled=labeled)
    seen, unseen = BALD(200, posterior="laplace").scores(pool)
    assert unseen > 3 * seen


def test_more_labels_lower_the_score():
    scores = [
        BALD(200, posterior="laplace", prior_precision=1.0).scores(make_pool(labeled=labeled_inputs()[:size])).mean()
        for size in (0, 10, 100)
    ]
    assert scores[0] > scores[1] > scores[2] > 0


@pytest.mark.parametrize("size", [0, 1, 10])
def test_scores_are_finite_and_differ_with_few_labels(size):
    scores = BALD(posterior="laplace").scores(make_pool(labeled=labeled_inputs()[:size]))
    assert scores.isfinite().all()
    assert len(scores.unique()) > 250
    assert scores.max() <= math.log(10)


def test_no_dropout_is_needed_and_the_dropout_does_not_matter():
    model = DigitsMLP(dropout=0.0)
    model.load_state_dict(fitted_model().state_dict())
    scores = [BALD(posterior="laplace").scores(make_pool(model=one)) for one in (model, fitted_model())]
    torch.testing.assert_close(*scores, atol=0, rtol=0)


def test_a_network_of_one_piece_will_do():
    model = fitted_model()
    whole = nn.Sequential(nn.Flatten(), model.hidden, nn.ReLU(), model.head)
    scores = [BALD(posterior="laplace").scores(make_pool(model=one)) for one in (whole, model)]
    torch.testing.assert_close(*scores, atol=1e-6, rtol=0)


def test_reliability_compares_two_draws_of_heads():
    strategy = BALD(10, reliability=True, posterior="laplace")
    pool = make_pool()
    query = strategy.query(pool, 30, generator())
    figures = strategy.diagnose(pool, query)
    posterior_stream = generator(0)
    head = fitted_model().head
    posterior = LaplacePosterior(LinearHead(head.weight, head.bias), make_pool().labeled_embeddings())
    embeddings = make_pool().embeddings()
    scores = []
    for _ in range(2):
        heads = posterior.draw(10, posterior_stream)
        logits = torch.einsum("nd,tcd->ntc", embeddings, heads[:, :, :-1]) + heads[:, :, -1]
        scores.append(bald_score(logits))
    expected = scipy.stats.spearmanr(*scores).statistic
    assert figures["bald_rank_correlation"] == pytest.approx(expected, abs=1e-3)
    assert 0 < figures["bald_rank_correlation"] < 1
    tops = [set(score.topk(30).indices.tolist()) for score in scores]
    assert figures["bald_top_overlap"] == pytest.approx(len(tops[0] & tops[1]) / 30)


def test_one_pass_over_the_labeled_samples_serves_all_draws():
    pool = make_pool()
    calls: list[object] = []
    handle = pool.model.hidden.register_forward_hook(lambda *call: calls.append(call))
    samples = JointSamples("BALD", 5, "laplace")
    samples.prepare(pool)
    num_calls = len(calls)
    samples.prepare(pool, draw=1)
    handle.remove()
    assert len(calls) == num_calls


def test_an_ensemble_has_no_last_layer():
    with pytest.raises(InputError, match="Ensemble to have `embed` and `head`"):
        BALD(posterior="laplace").scores(make_pool(pool_inputs(5), Ensemble(32, 10)))


def test_score_of_one_block_raises():
    with pytest.raises(InputError, match="`scores` or `query` of BALD to be called with `posterior` laplace"):
        make_pool().map(BALD(posterior="laplace").score)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"posterior": "swag"}, "`posterior` of BALD to be null or laplace, but got 'swag'"),
        ({"posterior": "laplace", "prior_precision": 0.0}, "`prior_precision` to be above 0 and finite, but got 0.0"),
        ({"prior_precision": 1.0}, "`posterior` of BALD to be laplace with a `prior_precision`, but got null"),
    ],
)
def test_wrong_arguments_raise(arguments, message):
    with pytest.raises(InputError, match=message):
        BALD(**arguments)
