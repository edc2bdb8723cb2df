"""Networks of timm, and of one's own, as bodies: features, normalisation, weights, and what is refused."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from al_lightning import Backbone, InputError
from al_lightning.models.bodies import make_body
from al_lightning.models.timm_bodies import Restandardize
from tests.helpers import generator, hide_packages

timm = pytest.importorskip("timm")


class Mean(nn.Module):
    """The mean of each colour."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(3))

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3)) * self.scale


class Counted(Mean):
    """Says how many features it has; an image of zeros would not do."""

    num_features = 3

    def forward(self, x: Tensor) -> Tensor:
        assert x.abs().sum() > 0
        return super().forward(x)


class Small(Mean):
    """Takes small images only."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] > 32:
            raise ValueError("images of 32 pixels, please")
        return super().forward(x)


class Picky(Mean):
    """Takes no image."""

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("never")


class Maps(nn.Module):
    """Returns images."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def seven() -> int:
    return 7


def needs_size(size: int) -> nn.Module:
    return Mean()


# ---------------------------------------------------------------------------------------------------------------- timm


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
def test_features_of_timm_are_those_before_its_last_layer(name: str) -> None:
    torch.manual_seed(0)
    body, num_features = make_body(f"timm/{name}")
    images = torch.rand(2, 3, 160, 160, generator=generator(1))  # from 0 to 1
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    whole = timm.create_model(name)
    whole.load_state_dict({**whole.state_dict(), **body.state_dict()})
    with torch.no_grad():
        found = body.eval()((images - mean) / std)
        exact = whole.eval().forward_head(whole.forward_features((images - 0.5) / 0.5), pre_logits=True)
    assert found.shape == (2, num_features)
    torch.testing.assert_close(found, exact, atol=1e-4, rtol=1e-4)


def test_a_layer_after_the_features_that_timm_counts_is_counted() -> None:
    body, num_features = make_body("timm/mobilenetv3_small_050")
    with torch.no_grad():
        assert body.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, num_features) == (1, 1024)


def test_images_are_brought_to_the_mean_of_the_network() -> None:
    black = torch.tensor([(0 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0 - 0.406) / 0.225])[:, None, None]
    (images,) = Restandardize((0.5, 0.4, 0.3), (0.5, 0.2, 0.1))(nn.Identity(), (black.expand(1, 3, 2, 2),))
    torch.testing.assert_close(images[0, :, 0, 0], torch.tensor([-1.0, -2.0, -3.0]))


@pytest.mark.parametrize("form", ["pt", "safetensors"])
def test_weights_of_a_whole_network_of_timm(tmp_path: Path, form: str) -> None:
    torch.manual_seed(7)
    whole = timm.create_model("test_vit", num_classes=5)
    path = tmp_path / f"net.{form}"
    if form == "pt":
        torch.save(whole.state_dict(), path)
    else:
        from safetensors.torch import save_file

        save_file(whole.state_dict(), path)
    model = Backbone("timm/test_vit", weights=str(path))
    assert all(value.equal(whole.state_dict()[name]) for name, value in model.body.state_dict().items())
    assert model.pretrained
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="net.* to be a state_dict of timm/test_vit, but got"):
        make_body("timm/test_vit", str(path))


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("timm/test_vitt", None, "a network of timm, but got `timm/test_vitt`; did you mean timm/test_vit"),
        (
            "timm/test_vit",
            "IMAGENET1K_V1",
            "`model.weights` of timm/test_vit to be DEFAULT, or the path of a file, but",
        ),
        ("timm/test_vit.no_tag", "DEFAULT", "the weights of timm/test_vit.no_tag in the cache .* but got: .*no_tag"),
        ("resnet19", None, "torchvision, small_cnn, timm/NAME, or the dotted path .* but got `resnet19`; did you mean"),
    ],
)
def test_what_timm_does_not_have(name: str, weights: str | None, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        make_body(name, weights)
    assert "\n" not in str(error.value)


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_packages(monkeypatch, "timm")
    with pytest.raises(InputError, match=r"timm for `model.name` timm/x, .* pip install 'al-lightning\[timm\]'"):
        make_body("timm/x")


# ---------------------------------------------------------------------------------------------------------- one's own


@pytest.mark.parametrize("cls", [Mean, Counted, Small])
def test_a_network_of_ones_own_is_a_body(cls: type[nn.Module], tmp_path: Path) -> None:
    name = f"{__name__}.{cls.__name__}"
    body, num_features = make_body(name)
    assert type(body) is cls
    assert body.training
    assert num_features == 3
    torch.save({"scale": torch.tensor([1.0, 2.0, 3.0])}, tmp_path / "own.pt")
    model = Backbone(name, num_classes=4, weights=str(tmp_path / "own.pt"))
    embedded = model.embed(torch.ones(2, 8, 8))
    torch.testing.assert_close(embedded, torch.tensor([[1.0, 2.0, 3.0]] * 2))
    assert model(torch.ones(2, 3, 8, 8)).shape == (2, 4)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module.Net", "`no_such_module` to be a module that can be imported, but got: No module named"),
        (f"{__name__}.Meen", "`Meen` to be a class or a function in .*, but there is none; did you mean Mean"),
        (f"{__name__}.seven", "to make a torch.nn.Module, but got int"),
        (f"{__name__}.needs_size", "needs_size to need no arguments, but got: .*size"),
        (f"{__name__}.Maps", r"Maps to map an image to features \(1, D\), but got \(1, 3, 224, 224\)"),
        (f"{__name__}.Picky", "Picky to have `num_features`, or to take images of 3 colours, but got: never"),
    ],
)
def test_what_is_no_body(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_body(name)


def test_weights_of_ones_own_network_have_no_name() -> None:
    with pytest.raises(InputError, match=r"`model.weights` of .*Mean to be the path of a file, but got `DEFAULT`"):
        make_body(f"{__name__}.Mean", "DEFAULT")
