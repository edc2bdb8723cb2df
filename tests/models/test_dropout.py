"""FastDropout: the distribution of nn.Dropout, in training and only there."""

import pytest
import torch
from scipy.stats import binomtest
from torch import nn

from al_lightning.models.dropout import FastDropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_units_are_dropped_with_probability_p_and_the_others_scaled(p):
    torch.manual_seed(0)
    dropped = FastDropout(p)(torch.full((200, 300), 3.0))
    assert dropped.unique().tolist() == pytest.approx([0, 3 / (1 - p)])
    kept = dropped > 0
    assert binomtest(int(kept.sum()), kept.numel(), 1 - p).pvalue > 1e-3
    for dim in (0, 1):  # no row and no column is kept as a whole
        assert (kept.float().mean(dim=dim) - (1 - p)).abs().max() < 0.2


def test_each_call_and_each_unit_has_a_draw_of_its_own():
    torch.manual_seed(0)
    first, second = (FastDropout(0.5)(torch.ones(100, 100)) > 0 for _ in range(2))
    for a, b in [(first, second), (first[1:], first[:-1]), (first[:, 1:], first[:, :-1])]:
        assert binomtest(int((a == b).sum()), a.numel(), 0.5).pvalue > 1e-3


def test_the_global_seed_says_which():
    masks = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        masks.append(FastDropout(0.5)(torch.ones(10, 10)))
    assert masks[0].equal(masks[1])
    assert not masks[0].equal(masks[2])


def test_gradients_go_through_what_is_kept():
    values = torch.randn(50, 40, requires_grad=True)
    torch.manual_seed(0)
    dropped = FastDropout(0.25)(values)
    dropped.sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad, (dropped != 0) / 0.75)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_dtype_is_kept(dtype):
    dropped = FastDropout(0.5)(torch.ones(100, 100, dtype=dtype))
    assert dropped.dtype == dtype
    assert dropped.unique().tolist() == [0, 2]


def test_what_needs_no_mask_draws_none():
    state = torch.get_rng_state()
    values = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    assert FastDropout(0.5).eval()(values).equal(values)
    assert FastDropout(0.0)(values).equal(values)
    assert torch.get_rng_state().equal(state)


def test_p_of_one_and_in_place_are_as_of_torch():
    assert not FastDropout(1.0)(torch.ones(5, 5)).any()
    values = torch.ones(50, 50)
    assert FastDropout(0.5, inplace=True)(values) is values
    assert values.unique().tolist() == [0, 2]


def test_it_counts_as_dropout():
    assert isinstance(FastDropout(), nn.Dropout)
