"""The quick step of Adam has the bits of Adam.step, and others take their own step."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from al_lightning.models.adam_step import quick_step
from tests.helpers import generator


def steps(make: Callable[..., Optimizer], is_quick: bool) -> tuple[list[torch.Tensor], bool]:
    """Weights after ten steps, and whether the last of them was quick."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3))
    optimizer = make(layers.parameters())
    draws = generator()
    own = True
    for i in range(10):
        for parameter in layers.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=draws)
        if i == 5:
            optimizer.param_groups[0]["lr"] *= 0.5  # as a scheduler does
        step = quick_step(optimizer) if is_quick else optimizer.step
        own = step == optimizer.step
        step()
    state = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    return [*map(copy.deepcopy, layers.parameters()), *state], not own


@pytest.mark.parametrize(
    ("make", "has_quick"),
    [
        (lambda params: Adam(params, fused=True), True),
        (lambda params: Adam(params, lr=1e-2, betas=(0.8, 0.9), eps=1e-4, weight_decay=0.1, fused=True), True),
        (lambda params: Adam(params, maximize=True, fused=True), True),
        (lambda params: Adam(params, lr=torch.tensor(1e-2), fused=True), True),
        (lambda params: AdamW(params, weight_decay=0.3, fused=True), True),
        (lambda params: Adam(params, amsgrad=True, fused=True), False),
        (lambda params: Adam(params, betas=(torch.tensor(0.8), torch.tensor(0.9)), fused=True), False),
        (lambda params: Adam(params), False),
        (lambda params: SGD(params, lr=0.1, momentum=0.9), False),
        (lambda params: Adam([{"params": [param]} for param in params], fused=True), False),
    ],
)
def test_steps_have_the_same_bits(make: Callable[..., Optimizer], has_quick: bool) -> None:
    (found, is_quick), (expected, _) = steps(make, True), steps(make, False)
    assert is_quick == has_quick
    for one, other in zip(found, expected, strict=True):
        assert one.equal(other)


def test_hooks_of_an_optimizer_are_called() -> None:
    layer = nn.Linear(2, 2)
    optimizer = Adam(layer.parameters(), fused=True)
    for parameter in layer.parameters():
        parameter.grad = torch.ones_like(parameter)
    assert quick_step(optimizer) == optimizer.step  # the first step makes the state
    optimizer.step()
    assert quick_step(optimizer) != optimizer.step
    optimizer.register_step_post_hook(lambda *args: None)
    assert quick_step(optimizer) == optimizer.step


def test_parameters_of_several_types_take_the_step_of_torch() -> None:
    layers = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())
    optimizer = Adam(layers.parameters(), fused=True)
    for parameter in layers.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert quick_step(optimizer) == optimizer.step
