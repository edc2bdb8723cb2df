"""SimCLR: the same fit from the same seed, also after an interruption."""

from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from al_lightning import InputError, SimCLR
from al_lightning.data.blocks import TensorRows
from al_lightning.data.input_loader import InputLoader
from al_lightning.models.random_views import RandomViews
from al_lightning.models.simclr import rate_at
from tests.helpers import generator


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(5))


def small(seed: int = 0, **kwargs: object) -> SimCLR:
    L.seed_everything(seed)
    return SimCLR("small_cnn", projection_dim=8, **kwargs)


class Stop(L.Callback):
    """Ends a fit in the middle of an epoch, as a signal does."""

    def on_train_batch_end(self, trainer: L.Trainer, *args: object) -> None:
        if trainer.global_step == 6:  # of 4 in an epoch
            raise InterruptedError


def fit(folder: Path, model: SimCLR, stops: bool = False, ckpt_path: Path | None = None) -> SimCLR:
    saves = ModelCheckpoint(folder, "last", enable_version_counter=False, save_on_train_epoch_end=True)
    trainer = L.Trainer(
        max_epochs=3,
        accelerator="cpu",
        callbacks=[saves, *([Stop()] if stops else [])],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = InputLoader(TensorRows(images(64, 1, 16, 16)), torch.arange(64), batch_size=16, seed=1)
    trainer.fit(model, loader, ckpt_path=None if ckpt_path is None else str(ckpt_path))
    return model


def same(first: SimCLR, second: SimCLR) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(a.equal(b) for a, b in pairs)


def test_a_fit_that_goes_on_has_the_weights_of_a_fit_in_one_piece(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", small())
    with pytest.raises(InterruptedError):
        fit(tmp_path / "torn", small(), stops=True)
    goes_on = fit(tmp_path / "torn", small(seed=0), ckpt_path=tmp_path / "torn" / "last.ckpt")
    assert same(whole, goes_on)
    assert not same(whole, fit(tmp_path / "other", small(seed=1)))


def test_the_learning_rate_rises_on_a_line_and_falls_on_a_cosine() -> None:
    assert [rate_at(p, 0.25) for p in (0.0, 0.125, 0.25)] == [0.0, 0.5, 1.0]
    assert rate_at(0.625, 0.25) == pytest.approx(0.5)
    assert rate_at(1.0, 0.25) == rate_at(1.1, 0.25) == 0.0
    assert rate_at(0.0, 0.0) == 1.0


def test_grey_images_are_repeated_for_networks_that_need_colour() -> None:
    torch.manual_seed(0)
    model = SimCLR("shufflenet_v2_x0_5").eval()
    x = images(4, 32, 32)
    with torch.no_grad():
        expected = model.body(x[:, None].repeat(1, 3, 1, 1))
        torch.testing.assert_close(model(x), expected)
        torch.testing.assert_close(model(x[:, None]), expected)


def test_the_loss_compares_two_views_of_each_image() -> None:
    """Without change between the views, the two embeddings of an image are equal, and the loss is the least."""
    still = RandomViews(1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    losses = []
    for views in (still, RandomViews()):
        model = small(views=views, temperature=0.1)
        model.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
        model._trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, max_epochs=1)
        losses.append(float(model.training_step(images(16, 28, 28)).detach()))
    assert losses[0] < losses[1]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"projection_dim": 0}, "`model.projection_dim` to be at least 1, but got 0"),
        ({"temperature": 0.0}, "`model.temperature` to be greater than 0, but got 0.0"),
        ({"warmup": 1.0}, r"`model.warmup` to be in \[0, 1\), but got 1.0"),
        ({"name": "resnt18"}, "`resnt18`; did you mean resnet18"),
    ],
)
def test_arguments_that_cannot_be_are_refused(kwargs: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SimCLR(**{"name": "small_cnn"} | kwargs)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (torch.zeros(4, 784), r"images of shape \(B, H, W\).* but got shape \(4, 784\)"),
        (torch.zeros(4, 2, 28, 28), r"but got shape \(4, 2, 28, 28\)"),
        ({"a": torch.zeros(4, 2), "b": torch.zeros(4, 2)}, "but got several tensors"),
        (torch.zeros(1, 28, 28), "at least 2 images .* but got 1; raise `data.batch_size`"),
    ],
)
def test_minibatches_of_something_else_are_refused(batch: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        small().training_step(batch)
