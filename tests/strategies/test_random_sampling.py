import torch
from scipy.stats import chisquare
from torch import nn

from al_lightning.random_streams import stream
from al_lightning.strategies import Random
from tests.helpers import generator, make_pool, pool_inputs


def test_every_position_is_drawn_equally_often():
    pool = make_pool(pool_inputs(12))
    shared = generator()
    counts = torch.zeros(12)
    for _ in range(3000):
        counts[Random().query(pool, 4, shared)] += 1
    assert chisquare(counts.numpy()).pvalue > 1e-3


def test_every_position_comes_first_equally_often():
    pool = make_pool(pool_inputs(5))
    shared = generator()
    firsts = torch.cat([Random().query(pool, 3, shared)[:1] for _ in range(2000)])
    assert chisquare(firsts.bincount(minlength=5).numpy()).pvalue > 1e-3


def test_rounds_differ():
    """Regression: re-seeding inside of the call gave the same permutation each round (acl21)."""
    queries = [Random().query(make_pool(), 30, stream(0, "query", round)) for round in (1, 2)]
    assert not queries[0].equal(queries[1])


def test_never_looks_at_the_model():
    pool = make_pool(model=nn.Identity())
    positions, scores = Random().answer(pool, 30, generator())
    assert len(positions) == 30
    assert pool.seconds == 0
    assert scores is None
