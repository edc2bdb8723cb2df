"""Backbone: torchvision's networks, with their last layer, dropout, weights and statistics."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from al_lightning import Backbone, InputError
from al_lightning.models.bodies import make_body
from al_lightning.models.reset import reset_parameters
from tests.helpers import digits, generator, make_pool


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(5))


def small() -> Backbone:
    torch.manual_seed(0)
    return Backbone("shufflenet_v2_x0_5")


def same(first: nn.Module, second: nn.Module) -> bool:
    states = first.state_dict(), second.state_dict()
    return states[0].keys() == states[1].keys() and all(states[0][name].equal(states[1][name]) for name in states[0])


# ------------------------------------------------------------------------------------------------------- the network


@pytest.mark.parametrize(
    ("name", "last", "fast"),
    [
        ("resnet18", "fc", True),
        ("mobilenet_v3_small", "classifier.3", True),
        ("efficientnet_b0", "classifier.1", True),
        ("vgg11", "classifier.6", False),
        ("alexnet", "classifier.6", False),
        ("convnext_tiny", "classifier.2", True),
        ("densenet121", "classifier", True),
        ("vit_b_32", "heads.head", True),
        ("swin_t", "head", True),
        ("googlenet", "fc", True),
        ("maxvit_t", "classifier.5", True),
    ],
)
def test_the_last_layer_of_any_family_is_found(name: str, last: str, fast: bool) -> None:
    """On the meta device, which has shapes and no numbers: networks of 100 million weights take no time."""
    with torch.device("meta"):
        model = Backbone(name, num_classes=7).eval()
        theirs = models.get_model(name, weights=None).eval().get_submodule(last)
        features = model.embed(torch.zeros(2, 3, 224, 224))
        logits = model(torch.zeros(2, 224, 224))
    assert isinstance(model.body.get_submodule(last), nn.Identity)
    assert features.shape == (2, theirs.in_features)
    assert model.head.in_features == theirs.in_features
    assert logits.shape == (2, 7)
    assert model.samples_from_embeddings == fast


def test_features_are_those_that_torchvision_gives_to_its_last_layer() -> None:
    torch.manual_seed(3)
    theirs = models.get_model("shufflenet_v2_x0_5", weights=None).eval()
    torch.manual_seed(3)
    body, num_features = make_body("shufflenet_v2_x0_5")
    x = images(4, 3, 32, 32)
    with torch.no_grad():
        features = body.eval()(x)
        assert theirs.fc(features).equal(theirs(x))
    assert features.shape == (4, num_features)


def test_dropout_before_the_last_layer_is_that_of_the_model_alone() -> None:
    def probabilities(name: str) -> list[float]:
        return [m.p for m in Backbone(name, dropout=0.3).modules() if isinstance(m, nn.Dropout)]

    with torch.device("meta"):
        assert probabilities("efficientnet_b0") == [0.0, 0.3]  # torchvision's was 0.2
        assert probabilities("vgg11") == [0.5, 0.0, 0.3]
        assert probabilities("resnet18") == [0.3]


def test_grey_images_are_repeated_to_three_channels() -> None:
    model = small().eval()
    x = images(4, 32, 32)
    with torch.no_grad():
        expected = model(x[:, None].repeat(1, 3, 1, 1))
        assert model(x).equal(expected)
        assert model(x[:, None]).equal(expected)
        assert not model(images(4, 3, 32, 32)).equal(expected)


def test_it_is_the_head_of_dropout_of_the_features() -> None:
    model = small().eval()
    x = images(4, 32, 32)
    with torch.no_grad():
        assert model(x).equal(model.head(model.embed(x)))
        assert not model.sample(model.embed(x), model.draw_masks(2, generator()))[:, 0].equal(model(x))


# ----------------------------------------------------------------------------------------------------- its statistics


def test_scoring_leaves_the_statistics_of_batch_normalisation_alone() -> None:
    model = small()
    model(images(8, 32, 32))  # in training mode, so that there are some
    before = copy.deepcopy(model)
    pool = make_pool(images(20, 32, 32), model, labeled=images(5, 32, 32), block_size=6)
    pool.map(lambda batch: (batch.probs, batch.embeddings, batch.mc_log_probs(3)))
    pool.labeled_embeddings()
    assert same(model, before)
    assert model.training
    assert all(module.training for module in model.modules())


def test_a_single_image_is_trained_on_with_the_running_statistics() -> None:
    """A single image that has shrunk to one pixel has no variance: torch refuses it."""
    model = small()
    model(images(8, 8, 8))
    before = copy.deepcopy(model)
    x = images(1, 8, 8)
    features = model.embed(x)
    features.sum().backward()
    assert next(model.body.parameters()).grad is not None
    assert same(model, before)
    assert all(module.training for module in model.modules())
    torch.testing.assert_close(features, before.eval().embed(x))


# -------------------------------------------------------------------------------------------------------- its weights


def test_weights_drawn_anew_are_those_of_a_new_model() -> None:
    model = small()
    model(images(8, 32, 32))
    torch.manual_seed(4)
    reset_parameters(model)
    torch.manual_seed(4)
    body, _ = make_body("shufflenet_v2_x0_5")
    assert same(model.body, body)
    assert not same(model.body, small().body)
    assert model.head.weight.std() > 0


def test_weights_of_a_file_are_loaded_but_for_the_last_layer(tmp_path: Path) -> None:
    torch.manual_seed(9)
    theirs = models.get_model("shufflenet_v2_x0_5", weights=None, num_classes=3)
    theirs(images(8, 3, 32, 32))
    torch.save(theirs.state_dict(), tmp_path / "weights.pt")
    model = Backbone("shufflenet_v2_x0_5", num_classes=5, weights=str(tmp_path / "weights.pt"))
    state = model.body.state_dict()
    assert state.keys() == {name for name in theirs.state_dict() if not name.startswith("fc.")}
    assert all(value.equal(theirs.state_dict()[name]) for name, value in state.items())
    assert model.pretrained
    assert not small().pretrained


@pytest.mark.parametrize("content", ["text", "tensor", "other network"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "weights.pt"
    if content == "text":
        file.write_text("no weights")
    else:
        torch.save(digits().test_inputs if content == "tensor" else nn.Linear(2, 2).state_dict(), file)
    with pytest.raises(InputError, match="`model.weights` .*weights.pt to be a state_dict of shufflenet_v2_x0_5, but"):
        Backbone("shufflenet_v2_x0_5", weights=str(file))


def test_weights_that_cannot_be_downloaded_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(InputError, match="weights DEFAULT of resnet18 in torch's cache or by download.* no route"):
        Backbone(weights="DEFAULT")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"name": "resnt18"}, "`model.name` to be a classification network .*`resnt18`; did you mean resnet18?"),
        ({"name": "fcn_resnet50"}, "`model.name` to be a classification network"),
        ({"name": "squeezenet1_1"}, "whose last layer is linear, but got `squeezenet1_1`"),
        ({"weights": "nope.pt"}, "`model.weights` to be one of IMAGENET1K_V1, DEFAULT, or the path.* `nope.pt`"),
        ({"dropout": 1.0}, r"`model.dropout` to be in \[0, 1\), but got 1.0"),
        ({"num_classes": 1}, "`model.num_classes` to be at least 2, but got 1"),
    ],
)
def test_arguments_that_cannot_be_are_refused(kwargs: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Backbone(**kwargs)
