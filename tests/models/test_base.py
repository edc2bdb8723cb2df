"""A model takes the sizes that its constructor was not given from the data, as if they had been given."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from al_lightning import InputError
from al_lightning.models import Backbone, Classifier, DropoutMLP, MixMatch, MonteCarloMLP
from al_lightning.models.base import SIZES, ClassifierModule

IMAGE = torch.zeros(1, 3, 4, 5)
FOUND = {"input_dim": 60, "num_classes": 3}
MLPS = (DropoutMLP, MixMatch, MonteCarloMLP)


def made(kind: type, seed: int = 0, **sizes: int) -> Any:
    torch.manual_seed(seed)
    return kind(**sizes)


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def is_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return list(first) == list(second) and all(value.equal(second[name]) for name, value in first.items())


def sizes_of(kind: type) -> dict[str, int]:
    return {name: FOUND[name] for name in FOUND if kind is not Backbone or name != "input_dim"}


@pytest.mark.parametrize("kind", [*MLPS, Backbone])
def test_a_model_without_sizes_becomes_the_model_of_the_sizes_of_its_data(kind: type) -> None:
    taken, given = made(kind), made(kind, **sizes_of(kind))
    state = torch.get_rng_state()
    taken.suit_data(3, IMAGE)
    assert torch.get_rng_state().equal(state)
    assert is_same(weights(taken), weights(given))
    assert dict(taken.hparams) == dict(given.hparams)
    assert sizes_of(kind).items() <= dict(taken.hparams).items()
    trained = [[name for name, part in one.named_parameters() if part.requires_grad] for one in (taken, given)]
    assert trained[0] == trained[1]
    assert taken(IMAGE).shape == (1, 3)


@pytest.mark.parametrize("kind", MLPS)
def test_a_model_that_has_met_no_data_is_the_one_of_the_protocol(kind: type) -> None:
    assert is_same(weights(made(kind)), weights(made(kind, input_dim=784, num_classes=10)))
    assert SIZES.items() <= dict(made(kind).hparams).items()


def test_trained_weights_stay_if_no_size_changes() -> None:
    model = DropoutMLP()
    model.suit_data(3, IMAGE)
    with torch.no_grad():
        model.hidden.weight += 1
    before = weights(model)
    model.suit_data(3, torch.zeros(2, 60))
    assert is_same(weights(model), before)
    model.suit_data(4, IMAGE)
    assert (model.hidden.weight.shape, model.head.weight.shape) == ((256, 60), (4, 256))
    assert not model.hidden.weight.equal(before["hidden.weight"])


def test_sizes_that_were_given_stay() -> None:
    model = DropoutMLP(num_classes=10)
    model.suit_data(3, IMAGE)
    assert (model.hparams["input_dim"], model.hparams["num_classes"]) == (60, 10)
    assert (model.hidden.in_features, model.head.out_features) == (60, 10)
    model = DropoutMLP(60)
    model.suit_data(3, torch.zeros(1, 64))
    assert (model.hidden.in_features, model.head.out_features) == (60, 3)


def test_there_are_at_least_two_outputs() -> None:
    model = DropoutMLP()
    model.suit_data(1, IMAGE)
    assert model.head.out_features == 2
    with pytest.raises(InputError, match=r"`model.num_classes` to be at least 2, but got 1\."):
        DropoutMLP(num_classes=1)


def test_inputs_of_several_tensors_decide_nothing() -> None:
    model = DropoutMLP()
    model.suit_data(3, {"ids": torch.zeros(1, 7), "mask": torch.zeros(1, 7)})
    assert (model.hidden.in_features, model.head.out_features) == (784, 3)


def test_a_layer_of_a_subclass_stays() -> None:
    class Deep(DropoutMLP):
        def __init__(self) -> None:
            super().__init__(hidden_dim=8)
            self.head = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 5))  # type: ignore[assignment]

    model = Deep()
    head = model.head
    model.suit_data(3, IMAGE)
    assert model.head is head
    assert model.hidden.in_features == 60


def test_a_subclass_may_save_its_arguments_last() -> None:
    class Own(DropoutMLP):
        def __init__(self, num_classes: int | None = None, input_dim: int | None = None) -> None:
            super().__init__(input_dim, 8, num_classes)
            self.save_hyperparameters()

    model = Own(num_classes=3)
    model.suit_data(3, torch.zeros(1, 784))
    assert (model.hparams["num_classes"], model.hparams["input_dim"]) == (3, 784)


def test_a_model_of_ones_own_may_leave_the_number_to_the_data() -> None:
    class Own(ClassifierModule):
        def __init__(self) -> None:
            super().__init__(None, torch.optim.Adam)

    model = Own()
    model.suit_data(3, IMAGE)
    logits = torch.eye(3)
    model.test_metrics.update(logits, torch.tensor([0, 1, 1]))
    assert float(model.test_metrics.compute()["test_balanced_acc"]) == 0.75


def test_the_metrics_of_a_network_take_the_number_and_the_network_stays() -> None:
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(60, 3)))
    before = weights(model)
    model.suit_data(3, IMAGE)
    assert model.hparams["num_classes"] == 3
    assert is_same(weights(model), before)


def test_new_layers_are_like_the_others() -> None:
    model = DropoutMLP().double().eval()
    model.suit_data(3, IMAGE.double())
    assert model(IMAGE.double()).dtype == torch.float64
    assert not any(module.training for module in model.modules())
    again = copy.deepcopy(model)
    again.suit_data(4, IMAGE)
    assert (again.head.out_features, model.head.out_features) == (4, 3)
