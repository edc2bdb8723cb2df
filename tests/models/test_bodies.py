"""Bodies: the small network of this package, and its weights."""

from pathlib import Path

import pytest
import torch

from al_lightning import Backbone, InputError
from al_lightning.models.bodies import make_body
from al_lightning.models.small_cnn import SmallCNN
from tests.helpers import generator


def test_a_grey_image_has_the_features_of_three_equal_channels() -> None:
    body, num_features = make_body("small_cnn")
    x = torch.randn(4, 1, 28, 28, generator=generator(5))
    with torch.no_grad():
        grey, colour = body.eval()(x), body(x.expand(-1, 3, -1, -1))
        other = body(torch.randn(4, 3, 28, 28, generator=generator(5)))
    assert grey.shape == (4, num_features)
    torch.testing.assert_close(grey, colour)
    assert not torch.allclose(grey, other)


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (64, 64)])
def test_images_have_any_size(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, generator=generator(5))
    assert SmallCNN()(x).shape == (2, SmallCNN.num_features)


def test_features_are_the_mean_of_the_last_map() -> None:
    body = SmallCNN().eval()
    x = torch.randn(2, 3, 28, 28, generator=generator(5))
    with torch.no_grad():
        torch.testing.assert_close(body(x), body.others(body.first(x)).flatten(2).mean(2))


def test_backbone_takes_the_small_network_and_its_weights(tmp_path: Path) -> None:
    torch.manual_seed(1)
    body = SmallCNN()
    body(torch.randn(8, 1, 28, 28, generator=generator(5)))  # so that there are statistics
    torch.save(body.state_dict(), tmp_path / "net.pt")
    model = Backbone("small_cnn", num_classes=4, weights=str(tmp_path / "net.pt")).eval()
    x = torch.randn(2, 28, 28, generator=generator(6))
    with torch.no_grad():
        torch.testing.assert_close(model.embed(x), body.eval()(x[:, None]))
        assert model(x).shape == (2, 4)


def test_weights_drawn_again_are_those_of_a_new_network() -> None:
    model = Backbone("small_cnn")
    torch.manual_seed(4)
    model.reset_parameters()
    torch.manual_seed(4)
    expected = SmallCNN().state_dict()
    assert all(value.equal(expected[name]) for name, value in model.body.state_dict().items())


def test_names_of_weights_are_refused() -> None:
    with pytest.raises(InputError, match="`model.weights` of small_cnn to be the path of a file, but got `DEFAULT`"):
        make_body("small_cnn", "DEFAULT")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"first.weight": torch.zeros(2)}, tmp_path / "net.pt")
    with pytest.raises(InputError, match="`model.weights` .*net.pt to be a state_dict of small_cnn, but got"):
        make_body("small_cnn", str(tmp_path / "net.pt"))
