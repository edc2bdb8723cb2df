"""reset_parameters removes everything that a model learned."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from al_lightning.errors import InputError
from al_lightning.models.reset import reset_parameters
from tests.digits import DigitsMLP
from tests.helpers import digits, fitted_model


def same(first: nn.Module, second: nn.Module) -> bool:
    states = first.state_dict(), second.state_dict()
    return states[0].keys() == states[1].keys() and all(states[0][name].equal(states[1][name]) for name in states[0])


def test_a_fitted_model_is_as_new():
    torch.manual_seed(3)
    new = DigitsMLP()
    model = copy.deepcopy(fitted_model())
    assert not same(model, new)
    torch.manual_seed(3)
    reset_parameters(model)
    assert same(model, new)


def test_weights_come_from_the_global_generator():
    model = DigitsMLP()
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        reset_parameters(model)
        states.append(copy.deepcopy(model))
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


def make_normalised() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Sequential(nn.ReLU(), nn.Dropout(), nn.Linear(16, 10))
    )


def test_statistics_of_normalisation_layers_are_reset():
    torch.manual_seed(0)
    new = make_normalised()
    model = copy.deepcopy(new)
    F.cross_entropy(model(digits().train_inputs[:50]), digits().train_targets[:50]).backward()
    assert model[1].num_batches_tracked == 1
    torch.manual_seed(0)
    reset_parameters(model)
    assert same(model, new)


def test_parameters_stay_the_same_objects():
    """An optimizer made before holds them."""
    model = make_normalised()
    before = [id(p) for p in model.parameters()]
    reset_parameters(model)
    assert [id(p) for p in model.parameters()] == before


class Scaled(nn.Module):
    """Has a parameter of its own, and no way to reset it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.linear = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("model", "name"), [(Scaled(), "Scaled `model`"), (nn.Sequential(nn.ReLU(), Scaled()), "Scaled `1`")]
)
def test_a_parameter_that_cannot_be_reset_raises(model, name):
    with pytest.raises(InputError, match=f"`reset_parameters` of {name}, which has parameters of its own"):
        reset_parameters(model)


class Resettable(Scaled):
    """Knows how to reset itself, and keeps its linear layer."""

    def reset_parameters(self) -> None:
        nn.init.constant_(self.scale, 7)


def linear_weight(model: nn.Module) -> Tensor:
    return next(module for module in model.modules() if isinstance(module, nn.Linear)).weight.detach().clone()


def test_a_model_that_resets_itself_has_the_last_word():
    model = Resettable()
    before = linear_weight(model)
    reset_parameters(model)
    assert model.scale == 7
    assert linear_weight(model).equal(before)


def test_a_submodule_that_resets_itself_is_asked():
    model = nn.Sequential(Resettable())
    reset_parameters(model)
    assert model[0].scale == 7


def test_what_a_module_does_to_its_children_stays():
    class ZeroHead(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)
            self.reset_parameters()

        def reset_parameters(self):
            nn.init.zeros_(self.linear.weight)

    model = nn.Sequential(nn.Linear(4, 3), ZeroHead())
    reset_parameters(model)
    assert (model[1].linear.weight == 0).all()
    assert (model[0].weight != 0).all()
