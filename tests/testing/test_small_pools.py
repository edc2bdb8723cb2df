"""The pools of the check are what they say, and copies."""

import torch

from al_lightning.testing.small_pools import DEGENERATE, LABELED, POOL, NormalisedMLP, fitted_model, images, make_pool


def test_the_degenerate_pools_are_what_they_say() -> None:
    pools = {where: pool(40) for where, pool in DEGENERATE.items()}
    assert all(len(pool) == 40 for pool in pools.values())
    assert (pools["one-hot probabilities"].probs().amax(dim=1) == 1).all()
    assert (pools["uniform probabilities"].probs() == 0.1).all()
    assert (pools["features all zero"].embeddings() == 0).all()
    assert pools["a model with one feature"].embeddings().shape == (40, 1)
    assert pools["a model of two classes"].probs().shape == (40, 2)
    assert len(pools["all inputs identical"].map(lambda batch: batch.inputs).unique(dim=0)) == 1
    assert len(pools["two distinct inputs"].map(lambda batch: batch.inputs).unique(dim=0)) == 2
    assert pools["all inputs labeled already"].map(lambda batch: batch.inputs).equal(images(LABELED, 40))


def test_the_model_of_u5_has_all_that_could_change() -> None:
    model = NormalisedMLP()
    assert {module.training for module in model.modules()} == {True, False}
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())
    assert dict(model.named_buffers()).keys() >= {"norm.running_mean", "norm.running_var"}


def test_what_a_strategy_spoils_is_a_copy() -> None:
    inputs = images(POOL, 5)
    pool = make_pool(inputs)
    with torch.no_grad():
        pool.model.get_parameter("head.weight").zero_()
    inputs.zero_()
    assert images(POOL, 5).any(dim=-1).any()
    assert fitted_model().head.weight.any()
