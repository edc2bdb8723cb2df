"""What every strategy keeps: U1 to U11, as `al-lightning check` has them, and what those of the package keep besides.

A new strategy is covered as soon as its file lies in the package.
"""

import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module

import pytest
import torch

from al_lightning import strategies
from al_lightning.errors import InputError
from al_lightning.strategies import (
    BADGE,
    BAIT,
    EPIG,
    ALFAMix,
    BatchBALD,
    ClusterMargin,
    DropQuery,
    KMeans,
    MaxHerding,
    ProbCover,
    QueryStrategy,
    Random,
    Replay,
    Stochastic,
    TypiClust,
    UHerding,
)
from al_lightning.testing.properties import CONTRACT, Property
from al_lightning.testing.small_models import DROPOUT, POOL, images
from al_lightning.testing.small_pools import RelabeledDigits, make_pool
from al_lightning.testing.verdicts import judge
from al_lightning.testing.watched_strategy import Subject
from tests.helpers import digits, generator, make_strategy

for module in pkgutil.iter_modules(strategies.__path__):
    import_module(f"{strategies.__name__}.{module.name}")


def concrete_strategies(base: type[QueryStrategy] = QueryStrategy) -> Iterator[type[QueryStrategy]]:
    for subclass in base.__subclasses__():
        yield from concrete_strategies(subclass)
        if not inspect.isabstract(subclass) and subclass.__module__.startswith("al_lightning."):
            yield subclass


STRATEGIES = sorted(set(concrete_strategies()) - {Replay}, key=lambda strategy: strategy.__name__)
"""Replay does not choose from a pool: it buys what a run bought from one. See test_replay.py."""

STOCHASTIC = {ALFAMix, BADGE, BatchBALD, DropQuery, EPIG, KMeans, ProbCover, Random, Stochastic, TypiClust}
"""Strategies that draw from the generator."""

BY_CLUSTERS = {ALFAMix, DropQuery, KMeans, TypiClust}
"""Strategies that make as many clusters as samples are asked for: a smaller query is not the beginning of a larger."""

AS_A_WHOLE = {BAIT, ClusterMargin}
"""Strategies that look at more samples than are asked for, and leave some of them out: the same holds."""

BY_POSITION = {MaxHerding, UHerding}
"""Strategies whose ties have no cure: two samples that are the nearest to each other add as much to the coverage. What
does not change with the order of the pool is the coverage: see test_max_herding.py."""

NEVER_LOOK = {Random}
"""Strategies that ask nothing of the model."""


@pytest.fixture(params=STRATEGIES, ids=lambda strategy: strategy.__name__)
def strategy(request: pytest.FixtureRequest) -> QueryStrategy:
    return make_strategy(request.param.__name__)


def test_every_strategy_is_exported():
    assert {strategy.__name__ for strategy in STRATEGIES} <= set(strategies.__all__)
    assert len(STRATEGIES) >= 7


@pytest.mark.parametrize("property", CONTRACT, ids=[property.code for property in CONTRACT])
def test_contract(strategy: QueryStrategy, property: Property) -> None:
    if property.code == "U3" and type(strategy) in BY_POSITION:
        pytest.skip("ties go to the lowest position")
    verdict = judge(property, Subject(lambda: make_strategy(type(strategy).__name__)), time_limit=60)
    excused = (property.code == "U3" and type(strategy) in STOCHASTIC) or (
        property.code == "U6b" and type(strategy) in NEVER_LOOK
    )
    if property.code == "U10" and type(strategy) in BY_CLUSTERS | AS_A_WHOLE:
        assert verdict.outcome == "noted"
    else:
        assert verdict.outcome == ("does not apply" if excused else "holds"), verdict.why


# ------------------------------------------------------------------------------- what is asked of ours besides


@pytest.mark.parametrize("pool_size", [20, 50], ids=["fewer than features", "more than features"])
def test_u2_more_than_the_pool_raises(strategy, pool_size):
    with pytest.raises(InputError, match=f"`query_size` to be from 0 to the pool size {pool_size}, but got"):
        strategy.query(make_pool(images(POOL, pool_size)), pool_size + 1, generator())


def test_u2_negative_query_size_raises(strategy):
    with pytest.raises(InputError, match="but got -1"):
        strategy.query(make_pool(images(POOL)), -1, generator())


def test_u4_only_stochastic_strategies_depend_on_the_generator(strategy):
    assert Subject(lambda: make_strategy(type(strategy).__name__)).is_stochastic == (type(strategy) in STOCHASTIC)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_u6_one_nan_in_the_pool_raises(strategy, value):
    inputs = images(POOL)
    inputs[77, 0, 0, 3] = value
    pool = make_pool(inputs)
    if type(strategy) in NEVER_LOOK:
        strategy.query(pool, 30, generator())
        assert pool.seconds == 0
    else:
        with pytest.raises(InputError, match=f"in 1 of {len(inputs)} samples"):
            strategy.query(pool, 30, generator())


def test_u6_a_diverged_model_raises(strategy):
    if type(strategy) in NEVER_LOOK:
        pytest.skip("never looks at the model")
    model = DROPOUT.changed(lambda network: network.hidden.bias.fill_(torch.nan))
    with pytest.raises(InputError, match="finite"):
        strategy.query(make_pool(images(POOL), model), 30, generator())


@pytest.mark.parametrize("block_size", [1, 7])
def test_u7_scores_are_the_same_in_blocks(strategy, block_size):
    whole, blocks = make_pool(images(POOL), block_size=10**6), make_pool(images(POOL), block_size=block_size)
    scores = [strategy.answer(pool, 30, generator()).scores for pool in (blocks, whole)]
    if scores[1] is None:
        assert scores[0] is None
    else:
        torch.testing.assert_close(*scores, atol=1e-6, rtol=0)


def test_u8_nothing_that_holds_labels_reaches_a_strategy(strategy):
    assert list(inspect.signature(strategy.query).parameters) == ["pool", "query_size", "generator"]
    data = RelabeledDigits(digits().train_targets[:400])
    assert all(isinstance(block, torch.Tensor) and block.is_floating_point() for block in data.pool_blocks())
