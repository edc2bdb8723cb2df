"""The small query before the first fit: it finds missing parts of a model, and leaves no trace."""

import copy
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from al_lightning import BADGE, BALD, CoreSet, Entropy, InputError, Margin, QueryStrategy
from al_lightning.fitting.model_contract import check_model
from al_lightning.fitting.rehearsal import rehearse_query
from al_lightning.inference import PoolPredictor
from tests.digits import DigitsMLP, FlatDigits
from tests.own_models import ForwardOnly, Scaled, WithFeatureLayer
from tests.test_loop import Spy, rows, run


@pytest.mark.parametrize("strategy", [BADGE(), CoreSet()])
def test_a_strategy_that_wants_embeddings_is_refused_before_the_first_fit(
    tmp_path: Path, strategy: QueryStrategy
) -> None:
    fits = Spy(lambda *_: None, at="on_fit_start")
    with pytest.raises(InputError, match="Scaled to have `embed` and `head`, or `feature_layer`"):
        run(tmp_path / "run", strategy, fits, model=Scaled())
    assert fits.results == []
    assert not (tmp_path / "run").exists()


def test_without_a_query_nothing_is_asked_of_a_strategy(tmp_path: Path) -> None:
    run(tmp_path, BADGE(), model=Scaled(), num_rounds=0)
    assert len(rows(tmp_path)) == 1


ASKED: list[tuple[int, int, int]] = []


class Recording(QueryStrategy):
    """Draws from all generators, and records its arguments."""

    def __init__(self) -> None:
        self.num_queries = 0

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        ASKED.append((len(pool), len(pool.labeled_embeddings()), query_size))
        self.num_queries += 1
        torch.rand(3), np.random.rand(3), random.random()
        warnings.warn("the model is new", stacklevel=2)
        return torch.randperm(len(pool), generator=generator)[:query_size]


@pytest.mark.parametrize(("query_size", "expected"), [(3, 3), (100, 8)])
def test_the_query_is_small(query_size: int, expected: int) -> None:
    strategy = Recording()
    ASKED.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rehearse_query(strategy, DigitsMLP(), FlatDigits(), query_size)
    assert [(32, 8, expected)] == ASKED
    assert strategy.num_queries == 0  # what was asked is a copy


def test_model_and_generators_are_left_as_they_were() -> None:
    model = WithFeatureLayer()
    before = copy.deepcopy(model.state_dict())
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    for strategy in (Recording(), BADGE(), BALD(3), CoreSet(), Entropy()):
        check_model(model, FlatDigits())
        rehearse_query(strategy, model, FlatDigits(), 10)
    assert torch.get_rng_state().equal(states[0])
    assert (np.random.get_state()[1] == states[1]).all()
    assert random.getstate() == states[2]
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())


def test_a_model_that_writes_to_its_inputs_does_not_spoil_the_data() -> None:
    class InPlace(ForwardOnly):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.mul_(2))

    data = FlatDigits()
    before = data.source.train_inputs.clone()
    check_model(InPlace(), data)
    rehearse_query(Margin(), InPlace(), data, 10)
    assert data.source.train_inputs.equal(before)


# ------------------------------------------------------------------------------------------------- a test of its own
