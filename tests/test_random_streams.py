"""Streams are functions of (seed, purpose, round), different from each other, and the same everywhere."""

from itertools import product
from typing import get_args

import pytest
import torch
from scipy.stats import kstest

from al_lightning.random_streams import Purpose, stream, stream_seed

PURPOSES = get_args(Purpose)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0, "initial"), 8799583517682159850),
        ((0, "weights", 3), 5535668229246341152),
        ((1, "masks", 12), 1877658409725187266),
    ],
)
def test_seeds_are_the_same_for_ever(arguments, expected):
    """A change here means that no run recorded before can be continued or repeated.

    Python's own hash of a string differs from process to process.
    """
    assert stream_seed(*arguments) == expected


def test_round_is_0_if_not_given():
    assert stream_seed(5, "query") == stream_seed(5, "query", 0)


def test_all_streams_differ():
    seeds = {stream_seed(*key) for key in product(range(12), PURPOSES, range(120))}
    assert len(seeds) == 12 * len(PURPOSES) * 120


def test_devices_differ_and_the_first_is_what_a_single_one_is():
    assert stream_seed(5, "dropout", 3, rank=0) == stream_seed(5, "dropout", 3)
    seeds = {stream_seed(seed, "dropout", round, rank) for seed, round, rank in product(range(20), repeat=3)}
    assert len(seeds) == 20**3


def test_seeds_are_spread_over_63_bits():
    seeds = [stream_seed(*key) for key in product(range(10), PURPOSES, range(20))]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert kstest([seed / 2**63 for seed in seeds], "uniform").pvalue > 1e-3


def test_a_stream_is_fresh_each_time():
    first = torch.rand(5, generator=stream(0, "query", 1))
    assert torch.rand(5, generator=stream(0, "query", 1)).equal(first)
    assert not torch.rand(5, generator=stream(0, "query", 2)).equal(first)
    assert not torch.rand(5, generator=stream(0, "masks", 1)).equal(first)
    assert not torch.rand(5, generator=stream(1, "query", 1)).equal(first)


def test_the_global_generator_neither_matters_nor_moves():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = torch.rand(5, generator=stream(0, "query", 1))
    assert torch.get_rng_state().equal(state)
    torch.manual_seed(1)
    assert torch.rand(5, generator=stream(0, "query", 1)).equal(first)
