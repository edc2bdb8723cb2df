"""The head of a model by itself, and the weights of a linear one."""

import pytest
import torch
from torch import Tensor, nn

from al_lightning import Classifier, DropoutMLP
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor
from tests.helpers import fitted_model, generator, make_pool


class OneLogit(nn.Module):
    """Two classes by one logit, with a head that is a function."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def embed(self, x: Tensor) -> Tensor:
        return x

    def head(self, h: Tensor) -> Tensor:
        return self.layer(h)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))


class Bent(OneLogit):
    def head(self, h: Tensor) -> Tensor:
        return self.layer(h).relu()


def test_the_head_gives_the_logits_of_the_embeddings():
    pool = make_pool()
    expected = pool.map(lambda batch: batch.logits)
    torch.testing.assert_close(pool.head(pool.embeddings()), expected)
    assert pool.seconds > 0


def test_the_weights_of_a_layer_are_its_own():
    found = make_pool().linear_head()
    assert torch.equal(found.weight, fitted_model().head.weight)
    assert torch.equal(found.bias, fitted_model().head.bias)


@pytest.mark.parametrize("name", ["fc", None], ids=["named", "found"])
def test_a_model_in_one_part_has_the_head_that_makes_its_logits(name):
    torch.manual_seed(0)
    network = nn.Sequential()
    network.add_module("flatten", nn.Flatten())
    network.add_module("hidden", nn.Linear(64, 5))
    network.add_module("relu", nn.ReLU())
    network.add_module("fc", nn.Linear(5, 10, bias=False))
    pool = make_pool(model=Classifier(network, 10, feature_layer=name))
    weight, bias = pool.linear_head()
    assert torch.equal(weight, network.fc.weight)
    assert torch.equal(bias, torch.zeros(10))
    torch.testing.assert_close(pool.embeddings() @ weight.T, pool.map(lambda batch: batch.logits))


def test_one_logit_is_the_second_of_two_classes():
    model = OneLogit()
    pool = PoolPredictor(model, torch.randn(6, 3, generator=generator()))
    weight, bias = pool.linear_head()
    assert weight.shape == (2, 3)
    torch.testing.assert_close(weight, torch.cat([torch.zeros(1, 3), model.layer.weight]))
    torch.testing.assert_close(bias, torch.cat([torch.zeros(1), model.layer.bias]))
    assert pool.head(torch.zeros(4, 3)).shape == (4, 2)


def test_a_head_that_bends_has_logits_but_no_weights():
    pool = PoolPredictor(Bent(), torch.randn(6, 3, generator=generator()))
    assert pool.head(torch.zeros(4, 3)).shape == (4, 2)
    with pytest.raises(InputError, match="Expected the head of the model to be linear"):
        pool.linear_head()


def test_a_model_without_a_head_is_refused():
    with pytest.raises(InputError, match="for embeddings"):
        PoolPredictor(nn.Sequential(nn.Linear(3, 2), nn.Softplus()), torch.rand(6, 3)).head(torch.zeros(4, 3))


def test_a_head_in_training_mode_is_put_back():
    model = DropoutMLP(64, 8).train()
    pool = make_pool(model=model)
    assert torch.equal(pool.head(torch.ones(3, 8)), pool.head(torch.ones(3, 8)))
    assert model.training
