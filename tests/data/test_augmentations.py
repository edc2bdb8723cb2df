"""Augmentations: the shifts of an image, the same or different ones in a batch, chosen by a seed."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from al_lightning.data.augmentations import RandomShift, augment_all, augment_each, first_alike
from al_lightning.errors import InputError
from tests.helpers import digits, generator


def images(size: int = 40) -> Tensor:
    return digits().train_inputs[:size].view(-1, 8, 8)


def all_shifts(image: Tensor, max_shift: int, mirror: bool) -> list[Tensor]:
    """All shifted versions of one image, by padding and cropping."""
    padded = nn.functional.pad(image[None, None], [max_shift] * 4, mode="reflect")[0, 0]
    height, width = image.shape
    steps = range(2 * max_shift + 1)
    shifted = [padded[top : top + height, left : left + width] for top in steps for left in steps]
    return shifted + [s.flip(1) for s in shifted] if mirror else shifted


@pytest.mark.parametrize(("max_shift", "mirror"), [(0, 0.5), (1, 0.0), (2, 0.5)])
def test_each_image_becomes_one_of_its_shifts_and_all_shifts_occur(max_shift, mirror):
    shift = RandomShift(max_shift, mirror)
    image = images(1)
    expected = all_shifts(image[0], max_shift, mirror > 0)
    changed = shift.each(image.expand(2000, 8, 8), generator())
    counts = [int((changed == version).flatten(1).all(dim=1).sum()) for version in expected]
    assert sum(counts) == 2000
    least = 2000 / len(expected) / 2
    assert min(counts) > least


@pytest.mark.parametrize("shape", [(30, 8, 8), (30, 3, 9, 12)])
def test_each_image_is_shifted_by_its_own_draw(shape):
    """Compares with a loop over images, also for a batch that is not contiguous."""
    shift = RandomShift(2, 0.5)
    batch = torch.randn(shape, generator=generator()).transpose(-1, -2)
    stream = generator(3)
    tops, lefts = torch.randint(5, (2, 30, 1), generator=stream)
    mirrored = torch.rand(30, 1, generator=stream) < 0.5
    rows = []
    for image, top, left, mirror in zip(batch, tops, lefts, mirrored, strict=True):
        padded = nn.functional.pad(image.reshape(1, -1, *image.shape[-2:]), [2] * 4, mode="reflect")[0]
        row = padded[:, top : top + image.shape[-2], left : left + image.shape[-1]].reshape(image.shape)
        rows.append(row.flip(-1) if mirror else row)
    assert shift.each(batch, generator(3)).equal(torch.stack(rows))


def test_called_as_a_transform_it_changes_all_images_alike():
    shift = RandomShift(2, 0.5)
    seen = set()
    for seed in range(200):
        changed = augment_all(shift, images(), seed)
        versions = [k for k in range(50) if changed[0].equal(all_shifts(images()[0], 2, True)[k])]
        assert any(all(changed[i].equal(all_shifts(images()[i], 2, True)[k]) for i in (5, 17, 39)) for k in versions)
        seen.add(versions[0])
    assert len(seen) == 50


@pytest.mark.parametrize("shape", [(30, 8, 8), (30, 1, 8, 8), (30, 3, 8, 8), (30, 3, 9, 12)])
def test_images_of_any_number_of_channels(shape):
    batch = torch.randn(shape, generator=generator())
    shift = RandomShift(2, 0.5)
    for changed in (augment_all(shift, batch, 3), augment_each(shift, batch, generator())):
        assert changed.shape == batch.shape
        assert changed.dtype == batch.dtype
        assert not changed.equal(batch)
    # channels move together
    stacked = batch[:, :1].expand(-1, 3, *shape[2:]) if batch.dim() == 4 else batch[:, None].expand(-1, 3, -1, -1)
    changed = shift.each(stacked, generator())
    assert changed[:, 0].equal(changed[:, 1])
    assert changed[:, 0].equal(changed[:, 2])


def test_what_is_the_same_for_all_does_not_depend_on_the_batch():
    shift = RandomShift()
    parts = [augment_all(shift, part, 7) for part in images().split(9)]
    assert torch.cat(parts).equal(augment_all(shift, images(), 7))


@pytest.mark.parametrize(("max_shift", "mirror", "most"), [(1, 0.0, 9), (1, 0.5, 18), (2, 0.0, 25)])
def test_seeds_are_alike_where_what_they_do_is(max_shift, mirror, most):
    shift = RandomShift(max_shift, mirror)
    seeds = list(range(300))
    changed = [augment_all(shift, images(3), seed) for seed in seeds]
    expected = [next(i for i in seeds if changed[i].equal(changed[seed])) for seed in seeds]
    assert first_alike(shift, seeds) == expected
    assert len(set(expected)) == most


def test_a_transform_that_does_not_tell_is_never_alike():
    assert first_alike(v2.RandomHorizontalFlip(0.5), [5, 6, 5]) == [5, 6, 5]
    assert first_alike(v2.Compose([RandomShift(0)]), [1, 2]) == [1, 2]


class Darkened(RandomShift):
    """Also draws a brightness."""

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:
        return super().transform(inpt, params) * torch.rand(())


class Drawn(v2.RandomHorizontalFlip):
    """Has methods with the names of RandomShift's methods and another meaning."""

    def draw(self) -> str:
        return "a picture"

    def each(self) -> str:
        return "a word"


@pytest.mark.parametrize("transform", [Darkened(0), Drawn()])
def test_what_is_quicker_for_a_shift_is_not_done_to_what_only_looks_like_one(transform):
    assert first_alike(transform, [1, 2]) == [1, 2]
    copies = images(1).expand(20, -1, -1)
    assert len(augment_each(transform, copies, generator()).unique(dim=0)) > 1


def test_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    augment_all(RandomShift(), images(), 1)
    augment_each(RandomShift(), images(), generator())
    augment_each(v2.RandomHorizontalFlip(), images(), generator())
    first_alike(RandomShift(), [1, 2])
    assert torch.get_rng_state().equal(before)


def test_any_transform_of_torchvision_changes_each_image_in_its_own_way():
    flip = v2.RandomHorizontalFlip(0.5)
    changed = augment_each(flip, images(), generator())
    flipped = (changed == images().flip(2)).flatten(1).all(dim=1)
    assert 5 < int(flipped.sum()) < 35
    assert changed[~flipped].equal(images()[~flipped])
    assert augment_each(flip, images(), generator()).equal(changed)
    assert augment_each(flip, images()[:0], generator()).shape == (0, 8, 8)


def test_it_goes_into_a_composition():
    both = v2.Compose([RandomShift(1), v2.RandomHorizontalFlip(1.0)])
    changed = augment_all(both, images(), 0)
    assert any(changed[3].flip(1).equal(version) for version in all_shifts(images()[3], 1, False))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_shift": -1}, "`max_shift` of RandomShift to be at least 0, but got -1"),
        ({"mirror": 1.5}, r"`mirror` of RandomShift to be in \[0, 1\], but got 1.5"),
    ],
)
def test_arguments_out_of_range_raise(arguments, message):
    with pytest.raises(InputError, match=message):
        RandomShift(**arguments)


@pytest.mark.parametrize("shape", [(5, 64), (5, 2, 8)])
def test_rows_that_are_no_images_raise(shape):
    with pytest.raises(InputError, match="images of shape"):
        RandomShift(2)(torch.zeros(shape))
    with pytest.raises(InputError, match="images of shape"):
        RandomShift(2).each(torch.zeros(shape), generator())


@pytest.mark.parametrize("augment", [augment_all, lambda t, x, seed: augment_each(t, x, generator(seed))])
def test_transforms_of_colour_take_images_without_channels_for_grey(augment):
    changed = augment(v2.ColorJitter(brightness=0.5), images().sigmoid(), 1)
    assert changed.shape == images().shape
    assert not changed.equal(images().sigmoid())


def test_a_transform_that_changes_the_shape_raises():
    with pytest.raises(InputError, match=r"shape \(8, 8\) of images, but Resize made it \(4, 4\)"):
        augment_all(v2.Resize(4), images(), 0)
    with pytest.raises(InputError, match="Resize"):
        augment_each(v2.Resize(4), images(), generator())
