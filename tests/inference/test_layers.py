"""Layers by name."""

import pytest
from torch import nn

from al_lightning.errors import InputError
from al_lightning.inference.layers import named_layer
from tests.own_models import ForwardOnly


def test_a_layer_within_another_has_a_dotted_name():
    model = ForwardOnly()
    assert named_layer(model, "net.body.1") is model.net.body[1]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("net.fcc", "did you mean net.fc?"), ("xyz", "did you mean net.fc?"), ("", "did you mean net.fc?")],
    ids=["near", "far from all: the last one", "the model itself"],
)
def test_a_name_of_no_layer_raises_with_one_that_is(name, hint):
    with pytest.raises(InputError, match=f"`feature_layer` to be a layer of ForwardOnly, but got `{name}`; {hint}"):
        named_layer(ForwardOnly(), name)


def test_a_model_without_layers_raises():
    with pytest.raises(InputError, match="a layer of ReLU, but got `fc`.$"):
        named_layer(nn.ReLU(), "fc")
