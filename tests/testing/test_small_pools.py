"""The pools of the check are what they say, and copies."""

import pytest
import torch

from al_lightning.models.protocol import traits
from al_lightning.testing.small_models import DROPOUT, KINDS, LABELED, POOL, Kind, digits, fitted_model, images
from al_lightning.testing.small_pools import DEGENERATE, make_pool


def test_the_degenerate_pools_are_what_they_say() -> None:
    pools = {where: pool(DROPOUT, 40) for where, pool in DEGENERATE.items()}
    assert all(len(pool) == 40 for pool in pools.values())
    assert (pools["one-hot probabilities"].probs().amax(dim=1) == 1).all()
    assert (pools["uniform probabilities"].probs() == 0.1).all()
    assert (pools["features all zero"].embeddings() == 0).all()
    assert pools["a model with one feature"].embeddings().shape == (40, 1)
    assert pools["a model of two classes"].probs().shape == (40, 2)
    assert len(pools["all inputs identical"].map(lambda batch: batch.inputs).unique(dim=0)) == 1
    assert len(pools["two distinct inputs"].map(lambda batch: batch.inputs).unique(dim=0)) == 2
    assert pools["all inputs labeled already"].map(lambda batch: batch.inputs).equal(images(LABELED, 40))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_model_of_u5_has_all_that_could_change(kind: Kind) -> None:
    model = kind.with_all_that_may_change()
    assert {module.training for module in model.modules()} == {True, False}
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())
    names = {".".join(name.split(".")[-2:]) for name, _ in model.named_buffers()}
    assert names >= {"norm.running_mean", "norm.running_var"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_of_model_is_fitted_and_degenerate_where_it_is_told_to_be(kind: Kind) -> None:
    probs = make_pool(images(LABELED), kind.fitted).probs()
    assert (probs.argmax(dim=1) == digits().train_targets[LABELED]).float().mean() > 0.95
    pools = {where: pool(kind, 40) for where, pool in DEGENERATE.items()}
    assert all(len(pool) == 40 for pool in pools.values())
    votes = 5 * pools["one-hot probabilities"].probs()  # of the members of an ensemble, if it is one
    torch.testing.assert_close(votes, votes.round())
    torch.testing.assert_close(pools["uniform probabilities"].probs(), torch.full((40, 10), 0.1))
    assert pools["a model of two classes"].probs().shape == (40, 2)
    assert pools["features all zero"].probs().std(dim=0).max() < 1e-6


def test_kinds_differ_by_what_they_have() -> None:
    has = [(t.draw_masks is not None, t.sample_logits is not None, t.embed is not None) for t in map(traits, models())]
    assert has == [(True, False, True), (False, True, False), (False, False, True)]


def models() -> list[object]:
    return [kind.fitted for kind in KINDS]


def test_what_a_strategy_spoils_is_a_copy() -> None:
    inputs = images(POOL, 5)
    pool = make_pool(inputs)
    with torch.no_grad():
        pool.model.get_parameter("head.weight").zero_()
    inputs.zero_()
    assert images(POOL, 5).any(dim=-1).any()
    assert fitted_model().head.weight.any()
