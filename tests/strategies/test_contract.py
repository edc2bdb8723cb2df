"""What every strategy keeps: U1 to U10. A new strategy is covered as soon as its file lies in the package."""

import copy
import inspect
import pkgutil
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from al_lightning import strategies
from al_lightning.data import Arrays, PoolDataModule
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor
from al_lightning.models import DropoutMLP
from al_lightning.strategies import BADGE, Consistency, QueryStrategy, Random
from tests.digits import DigitsMLP
from tests.helpers import digits, fitted_model, generator, labeled_inputs, make_pool, pool_inputs

for module in pkgutil.iter_modules(strategies.__path__):
    import_module(f"{strategies.__name__}.{module.name}")


def concrete_strategies(base: type[QueryStrategy] = QueryStrategy) -> Iterator[type[QueryStrategy]]:
    for subclass in base.__subclasses__():
        yield from concrete_strategies(subclass)
        if not inspect.isabstract(subclass) and subclass.__module__.startswith("al_lightning."):
            yield subclass


STRATEGIES = sorted(set(concrete_strategies()), key=lambda strategy: strategy.__name__)

STOCHASTIC = {Random, BADGE}
"""Strategies that draw from the generator."""

NEVER_LOOK = {Random}
"""Strategies that ask nothing of the model."""


class Roll(nn.Module):
    """An augmentation of rows that are no images."""

    def forward(self, rows: Tensor) -> Tensor:
        return rows.roll(int(torch.randint(1, 5, ())), dims=-1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Roll)

    __hash__ = nn.Module.__hash__


def make(strategy: type[QueryStrategy]) -> QueryStrategy:
    return strategy(5, Roll()) if strategy is Consistency else strategy()


@pytest.fixture(params=STRATEGIES, ids=lambda strategy: strategy.__name__)
def strategy(request: pytest.FixtureRequest) -> QueryStrategy:
    return make(request.param)


def query(strategy: QueryStrategy, pool: PoolPredictor, query_size: int, seed: int = 0) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*share the acquisition score")
        return strategy.query(pool, query_size, generator(seed))


def new_model(**kwargs) -> DropoutMLP:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DropoutMLP(input_dim=64, **kwargs)


def changed_model(change: Callable[[DigitsMLP], object]) -> DigitsMLP:
    model = copy.deepcopy(fitted_model())
    with torch.no_grad():
        change(model)
    return model


def test_every_strategy_is_exported():
    assert {strategy.__name__ for strategy in STRATEGIES} <= set(strategies.__all__)
    assert len(STRATEGIES) >= 7


# ------------------------------------------------------------------------------------------------ U1, U2: the output


@pytest.mark.parametrize("query_size", [1, 7, 100])
def test_u1_query_is_distinct_positions_in_the_pool(strategy, query_size):
    result = query(strategy, make_pool(), query_size)
    assert result.dtype == torch.int64
    assert result.device.type == "cpu"
    assert result.shape == (query_size,)
    assert len(result.unique()) == query_size
    assert result.min() >= 0
    assert result.max() < len(pool_inputs())


@pytest.mark.parametrize("pool_size", [20, 50], ids=["fewer than features", "more than features"])
def test_u2_more_than_the_pool_raises(strategy, pool_size):
    with pytest.raises(InputError, match=f"`query_size` to be from 0 to the pool size {pool_size}, but got") as error:
        query(strategy, make_pool(pool_inputs(pool_size)), pool_size + 1)
    assert isinstance(error.value, ValueError)


def test_u2_negative_query_size_raises(strategy):
    with pytest.raises(InputError, match="but got -1"):
        query(strategy, make_pool(), -1)


@pytest.mark.parametrize("pool_size", [1, 20, 50])
def test_u2_the_whole_pool_is_a_permutation_of_it(strategy, pool_size):
    assert sorted(query(strategy, make_pool(pool_inputs(pool_size)), pool_size).tolist()) == list(range(pool_size))


@pytest.mark.parametrize("pool_size", [0, 20])
def test_u2_nothing_asked_is_empty(strategy, pool_size):
    result = query(strategy, make_pool(pool_inputs(pool_size)), 0)
    assert result.shape == (0,)
    assert result.dtype == torch.int64


# ------------------------------------------------------------------------------- U3, U4: what the output depends on


def test_u3_permuting_the_pool_permutes_the_query(strategy):
    if type(strategy) in STOCHASTIC:
        pytest.skip("equal in distribution only: see its own tests")
    permutation = torch.randperm(len(pool_inputs()), generator=generator(1))
    expected = query(strategy, make_pool(), 30)
    assert permutation[query(strategy, make_pool(pool_inputs()[permutation]), 30)].equal(expected)


def test_u4_same_generator_same_query(strategy):
    assert query(strategy, make_pool(), 30).equal(query(strategy, make_pool(), 30))


def test_u4_only_stochastic_strategies_depend_on_the_generator(strategy):
    same = query(strategy, make_pool(), 30, seed=0).equal(query(strategy, make_pool(), 30, seed=1))
    assert same == (type(strategy) not in STOCHASTIC)


def test_u4_global_generator_does_not_matter(strategy):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = query(strategy, make_pool(), 30)
        torch.manual_seed(2)
        assert query(strategy, make_pool(), 30).equal(first)


def test_a_strategy_keeps_no_state_between_rounds(strategy):
    before = copy.deepcopy(vars(strategy))
    query(strategy, make_pool(pool_inputs()[100:]), 30)
    assert vars(strategy) == before
    assert query(strategy, make_pool(), 30).equal(query(make(type(strategy)), make_pool(), 30))


# ---------------------------------------------------------------------------------------- U5: what it leaves as it was


class NormalisedMLP(DigitsMLP):
    """Has buffers that move in training mode, and a gradient that must survive."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(32)
        F.cross_entropy(self(digits().train_inputs[:50]), digits().train_targets[:50]).backward()
        self.hidden.eval()

    def embed(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.hidden(x)))


def test_u5_model_and_global_generator_are_left_as_they_were(strategy):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = NormalisedMLP()
        state = copy.deepcopy(model.state_dict())
        gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
        training = {name: module.training for name, module in model.named_modules()}
        rng_state = torch.get_rng_state()
        query(strategy, make_pool(model=model), 30)
        assert torch.get_rng_state().equal(rng_state)
    assert {name: module.training for name, module in model.named_modules()} == training
    assert set(training.values()) == {True, False}
    assert all(value.equal(state[name]) for name, value in model.state_dict().items())
    assert all(p.grad.equal(gradients[name]) and p.requires_grad for name, p in model.named_parameters())


def test_u5_inputs_are_left_as_they_were(strategy):
    inputs = pool_inputs().clone()
    query(strategy, make_pool(inputs), 30)
    assert inputs.equal(pool_inputs())


# ------------------------------------------------------------------------------------------------ U6: degenerate pools


def zero_features(model: DigitsMLP) -> None:
    nn.init.zeros_(model.hidden.weight)
    nn.init.zeros_(model.hidden.bias)


def uniform_probs(model: DigitsMLP) -> None:
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)


def one_hot_probs(model: DigitsMLP) -> None:
    model.head.weight.mul_(1e6)


DEGENERATE: dict[str, Callable[[], PoolPredictor]] = {
    "all rows identical": lambda: make_pool(pool_inputs(1).repeat(40, 1)),
    "all rows labeled": lambda: make_pool(labeled_inputs()[:40]),
    "two distinct rows": lambda: make_pool(pool_inputs(2).repeat(20, 1)),
    "one class in the pool": lambda: make_pool(digits().train_inputs[digits().train_targets == 3][:40]),
    "two classes in all": lambda: make_pool(pool_inputs(40), new_model(hidden_dim=32, num_classes=2)),
    "one feature": lambda: make_pool(pool_inputs(40), new_model(hidden_dim=1)),
    "uniform probabilities": lambda: make_pool(pool_inputs(40), changed_model(uniform_probs)),
    "one-hot probabilities": lambda: make_pool(pool_inputs(40), changed_model(one_hot_probs)),
    "features all zero": lambda: make_pool(pool_inputs(40), changed_model(zero_features)),
}


@pytest.mark.parametrize("query_size", [1, 5, 39, 40])
@pytest.mark.parametrize("degenerate", DEGENERATE)
def test_u6_degenerate_pools(strategy, degenerate, query_size):
    result = query(strategy, DEGENERATE[degenerate](), query_size)
    assert result.shape == (query_size,)
    assert len(result.unique()) == query_size
    assert result.min() >= 0
    assert result.max() < 40


def test_u6_the_degenerate_pools_are_what_they_say():
    assert (DEGENERATE["one-hot probabilities"]().probs().amax(dim=1) == 1).all()
    assert (DEGENERATE["uniform probabilities"]().probs() == 0.1).all()
    assert (DEGENERATE["features all zero"]().embeddings() == 0).all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_u6_one_nan_in_the_pool_raises(strategy, value):
    inputs = pool_inputs().clone()
    inputs[77, 3] = value
    if type(strategy) in NEVER_LOOK:
        pool = make_pool(inputs)
        query(strategy, pool, 30)
        assert pool.seconds == 0
    else:
        with pytest.raises(InputError, match=f"in 1 of {len(inputs)} samples"):
            query(strategy, make_pool(inputs), 30)


def test_u6_a_diverged_model_raises(strategy):
    if type(strategy) in NEVER_LOOK:
        pytest.skip("never looks at the model")
    with pytest.raises(InputError, match="finite"):
        query(strategy, make_pool(model=changed_model(lambda model: model.hidden.bias.fill_(torch.nan))), 30)


# ---------------------------------------------------------------------- U7 to U10: blocks, labels, classes, prefixes


@pytest.mark.parametrize("block_size", [1, 7, 299, 300, 1000])
def test_u7_block_size_does_not_matter(strategy, block_size):
    whole, blocks = make_pool(block_size=10**6), make_pool(block_size=block_size)
    expected = query(strategy, whole, 30)
    assert query(strategy, blocks, 30).equal(expected)
    assert (whole.scores is None) == (blocks.scores is None)
    if whole.scores is not None and blocks.scores is not None:
        torch.testing.assert_close(blocks.scores, whole.scores, atol=1e-6, rtol=0)


class Relabeled(PoolDataModule):
    """Digits whose targets come from elsewhere."""

    def __init__(self, targets: Tensor) -> None:
        super().__init__()
        self.targets = targets

    def load(self) -> Arrays:
        return Arrays(digits().train_inputs[:400], self.targets, *digits()[2:])


def test_u8_labels_are_never_read(strategy):
    queries = []
    for targets in (digits().train_targets[:400], torch.full((400,), -1)):
        data = Relabeled(targets)
        data.set_labeled(torch.arange(100))
        pool = PoolPredictor(fitted_model(), data.pool_blocks(), data.labeled_blocks())
        queries.append(query(strategy, pool, 30))
    assert queries[0].equal(queries[1])


def test_u8_nothing_that_holds_labels_reaches_a_strategy(strategy):
    assert list(inspect.signature(strategy.query).parameters) == ["pool", "query_size", "generator"]
    data = Relabeled(digits().train_targets[:400])
    assert all(isinstance(block, Tensor) and block.is_floating_point() for block in data.pool_blocks())


def test_u9_permuting_the_classes_leaves_the_selected_set(strategy):
    permutation = torch.randperm(10, generator=generator(1))

    def permute(model: DigitsMLP) -> None:
        model.head.weight.copy_(model.head.weight[permutation])
        model.head.bias.copy_(model.head.bias[permutation])

    permuted = query(strategy, make_pool(model=changed_model(permute)), 30)
    assert set(permuted.tolist()) == set(query(strategy, make_pool(), 30).tolist())


@pytest.mark.parametrize("degenerate", [None, "two distinct rows"])
def test_u10_a_smaller_query_is_a_prefix(strategy, degenerate):
    def pool() -> PoolPredictor:
        return DEGENERATE[degenerate]() if degenerate else make_pool()

    largest = query(strategy, pool(), 40)
    for query_size in (1, 2, 3, 17, 39):
        assert query(strategy, pool(), query_size).equal(largest[:query_size])
