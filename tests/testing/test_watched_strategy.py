"""A strategy is asked under watch: nothing of it gets out, and what it raises is told with its own line."""

import random
import warnings

import numpy as np
import pytest
import torch

from al_lightning.strategies import BADGE, CoreSet, Margin, QueryStrategy, Random, ScoreStrategy
from al_lightning.testing.small_models import POOL, images
from al_lightning.testing.small_pools import make_pool
from al_lightning.testing.watched_strategy import Subject, Violation
from tests.testing import faulty


class Exits(QueryStrategy):
    def query(self, pool, query_size, generator):
        raise SystemExit(3)


class WrongScores(ScoreStrategy):
    def score(self, batch):
        return batch.probs


def ask(strategy: type[QueryStrategy], query_size: int = 3) -> object:
    return Subject(strategy).ask(make_pool(images(POOL, 5)), query_size)


def test_what_a_strategy_raises_is_told_with_the_last_line_of_its_own() -> None:
    with pytest.raises(Violation) as violation:
        ask(faulty.NeverAll, 5)
    first, line = str(violation.value).splitlines()
    assert first == "pool of 5 samples, query of 5: raised IndexError: list index out of range"
    assert line.startswith("faulty.py, line ")
    assert line.endswith("if query_size < max(len(pool), 1) else [][query_size]")
    assert isinstance(violation.value.error, IndexError)


def test_what_is_raised_outside_of_its_file_has_no_line() -> None:
    with pytest.raises(
        Violation, match=r"query of 3: raised InputError: Expected WrongScores.score to return"
    ) as violation:
        ask(WrongScores)
    assert "\n" not in str(violation.value)


def test_a_strategy_cannot_end_the_check() -> None:
    with pytest.raises(Violation, match="raised SystemExit: 3"):
        ask(Exits)


def test_global_generators_are_put_back() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    for strategy in (faulty.GlobalTorch, faulty.GlobalNumpy, faulty.GlobalRandom):
        assert len(ask(strategy).moved) == 1
    assert torch.get_rng_state().equal(before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert random.getstate() == before[2]


def test_it_prints_and_warns_to_nobody(capfd: pytest.CaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask(faulty.Faultless)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("strategy", "stochastic", "reads", "asks"),
    [
        (Random, True, False, False),
        (BADGE, True, True, True),
        (CoreSet, False, True, True),
        (Margin, False, True, True),
        (faulty.First, False, False, False),
        (faulty.GlobalNumpy, True, False, False),
        (faulty.Brightest, False, True, False),
    ],
)
def test_what_a_strategy_is_like_is_observed(strategy, stochastic: bool, reads: bool, asks: bool) -> None:
    subject = Subject(strategy)
    assert (subject.is_stochastic, subject.reads_the_pool, subject.asks_the_model) == (stochastic, reads, asks)
