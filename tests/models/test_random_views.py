"""RandomViews: each strength does what it says, and 0 of all strengths does nothing."""

from dataclasses import fields

import pytest
import torch
from torch import Tensor

from al_lightning import InputError
from al_lightning.models.random_views import GREY, RandomViews
from tests.helpers import generator

SAME = dict.fromkeys((field.name for field in fields(RandomViews)), 0.0) | {"min_area": 1.0, "max_stretch": 1.0}


def views(images: Tensor, seed: int = 0, **strengths: float) -> Tensor:
    return RandomViews(**SAME | strengths)(images, generator(seed))


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(7))


@pytest.mark.parametrize("shape", [(4, 1, 28, 28), (4, 3, 17, 32), (0, 3, 16, 16)])
def test_without_strengths_images_stay(shape: tuple[int, ...]) -> None:
    x = images(*shape)
    torch.testing.assert_close(views(x), x, rtol=1e-4, atol=1e-4)


def test_views_are_those_of_the_generator_and_differ_between_images() -> None:
    x = images(1, 1, 28, 28).expand(5, -1, -1, -1)
    first = RandomViews()(x, generator(3))
    assert first.equal(RandomViews()(x, generator(3)))
    assert not torch.allclose(first, RandomViews()(x, generator(4)))
    assert all(not torch.allclose(first[0], other) for other in first[1:])


def test_the_number_of_draws_depends_on_nothing_but_the_number_of_images() -> None:
    after = []
    for strengths in ({}, {"blur": 1.0, "erase": 1.0, "mirror": 0.5}):
        source = generator(3)
        RandomViews(**SAME | strengths)(images(4, 3, 16, 16), source)
        after.append(torch.rand(3, generator=source))
    assert after[0].equal(after[1])


def test_a_mirrored_image_is_flipped() -> None:
    x = images(6, 1, 20, 24)
    torch.testing.assert_close(views(x, mirror=1.0), x.flip(-1), rtol=1e-4, atol=1e-4)
    halves = views(x, mirror=0.5)
    flipped = [torch.allclose(a, b, atol=1e-4) for a, b in zip(halves, x.flip(-1), strict=True)]
    assert 0 < sum(flipped) < 6


def test_a_crop_is_a_part_of_the_image() -> None:
    """An image whose values are its coordinates: the values of a view tell the place of the crop."""
    down, right = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    x = (down * 100 + right).expand(200, 1, 64, 64)
    crops = views(x, min_area=0.25)[:, 0]
    widths = (crops[:, 32, 48] - crops[:, 32, 16]) / 32  # parts of the image's width, away from the edge
    heights = (crops[:, 48, 32] - crops[:, 16, 32]) / 3200
    torch.testing.assert_close(widths, heights, rtol=1e-3, atol=1e-3)  # no stretch
    areas = heights**2
    assert 0.24 < float(areas.min()) < 0.3
    assert 0.95 < float(areas.max()) < 1.01
    assert float(areas.mean()) == pytest.approx(0.625, abs=0.05)  # uniform from 0.25 to 1
    assert float(crops.min()) >= 0
    assert float(crops.max()) <= 6363 + 1e-2


def test_a_stretched_crop_keeps_its_area() -> None:
    down, right = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    x = (down * 100 + right).expand(200, 1, 64, 64)
    crops = RandomViews(**SAME | {"min_area": 0.25, "max_stretch": 2.0})(x, generator(1))[:, 0]
    widths = (crops[:, 32, 48] - crops[:, 32, 16]) / 32
    heights = (crops[:, 48, 32] - crops[:, 16, 32]) / 3200
    ratios = widths / heights
    assert 0.45 < float(ratios.min()) < 0.7
    assert 1.4 < float(ratios.max()) < 2.05


def test_light_changes_mean_and_spread_alone() -> None:
    x = images(50, 1, 16, 16)
    means = x.mean((1, 2, 3))
    shifted = views(x, brightness=0.5)
    changes = shifted - x
    torch.testing.assert_close(changes.amax((1, 2, 3)), changes.amin((1, 2, 3)), rtol=1e-3, atol=1e-4)
    assert 0.3 < float(changes.abs().max() / x.std()) <= 0.51
    spread = views(x, contrast=0.5)
    torch.testing.assert_close(spread.mean((1, 2, 3)), means, rtol=1e-3, atol=1e-4)
    factors = spread.std((1, 2, 3)) / x.std((1, 2, 3))
    assert 0.49 < float(factors.min()) < 0.7
    assert 1.3 < float(factors.max()) < 1.51


def test_a_grey_view_has_equal_channels() -> None:
    x = images(4, 3, 16, 16)
    grey = views(x, greyscale=1.0)
    luma = (x * torch.tensor(GREY).view(1, 3, 1, 1)).sum(1)
    for channel in range(3):
        torch.testing.assert_close(grey[:, channel], luma, rtol=1e-3, atol=1e-4)


def test_colour_changes_colour_images_alone() -> None:
    x = images(4, 3, 16, 16)
    assert not torch.allclose(views(x, colour=0.5), x, atol=0.05)
    grey = images(4, 1, 16, 16)
    torch.testing.assert_close(views(grey, colour=0.5, greyscale=1.0), grey, rtol=1e-4, atol=1e-4)


def test_blur_takes_from_the_contrast_of_neighbours() -> None:
    x = images(8, 1, 16, 16)
    blurred = views(x, blur=1.0)
    step = (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3))
    assert ((blurred[..., 1:] - blurred[..., :-1]).abs().mean((1, 2, 3)) < step).all()
    flat = torch.full((2, 3, 16, 16), 1.5)
    torch.testing.assert_close(views(flat, blur=1.0), flat)


def test_an_erased_rectangle_has_the_mean_of_the_image() -> None:
    x = images(300, 1, 40, 40)
    erased = views(x, erase=1.0)
    changed = (erased - x).abs() > 1e-3
    values = erased[changed]
    means = x.mean((1, 2, 3), keepdim=True).expand_as(x)[changed]
    torch.testing.assert_close(values, means)
    parts = changed.float().mean((1, 2, 3))
    assert 0.01 < float(parts.min()) < 0.05
    assert 0.2 < float(parts.max()) < 0.28
    assert views(x, erase=0.5).sub(x).abs().amax((1, 2, 3)).gt(1e-3).float().mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("strengths", "message"),
    [
        ({"min_area": 0.0}, r"`model.views.min_area` to be in \(0, 1\], but got 0.0"),
        ({"max_stretch": 0.5}, "`model.views.max_stretch` to be a number of at least 1, but got 0.5"),
        ({"mirror": 1.5}, r"`model.views.mirror` to be in \[0, 1\], but got 1.5"),
        ({"brightness": -1.0}, "`model.views.brightness` to be a number of at least 0, but got -1.0"),
        ({"contrast": float("nan")}, r"`model.views.contrast` to be in \[0, 1\], but got nan"),
    ],
)
def test_strengths_out_of_range_are_refused(strengths: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RandomViews(**strengths)


@pytest.mark.parametrize("x", [torch.zeros(2, 28, 28), torch.zeros(2, 1, 28, 28, dtype=torch.uint8)])
def test_other_shapes_and_integers_are_refused(x: Tensor) -> None:
    with pytest.raises(InputError, match=r"images as floats of shape \(B, C, H, W\)"):
        RandomViews()(x, generator())
