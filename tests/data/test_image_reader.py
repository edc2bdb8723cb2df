"""Images that are decoded once, and not at all where a cache has them."""

import copy
import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from al_lightning.data import Arrays, Datasets, ImageFolder
from al_lightning.data.images import ImageTransform
from al_lightning.errors import InputError
from tests.data.test_images import make, save_digits, truncate

HELD, ON_DISK = {}, {"max_memory": 0}


def load(folder: Path, **options) -> ImageFolder:
    """Begins or goes on with the data of a run in a folder, as the loop does."""
    data = make(folder / "photos", **options)
    data.use_cache(str(folder / "cache"))
    data.setup()
    data.write_cache(folder / "cache")
    return data


def same(one: ImageFolder, other: ImageFolder) -> bool:
    assert isinstance(one.source, Arrays)
    assert isinstance(other.source, Arrays)
    pairs = zip(one.source, other.source, strict=True)
    return all(first.equal(second) for first, second in pairs)


@pytest.mark.parametrize("options", [{}, {"corrupt": "trust"}, {"corrupt": "skip"}, {"channels": 3}, {"image_size": 5}])
def test_the_second_start_decodes_nothing_and_has_the_same_bits(
    tmp_path: Path, opened: list[object], options: dict
) -> None:
    count = save_digits(tmp_path / "photos")
    first = load(tmp_path, **options)
    assert len(opened) == count
    opened.clear()
    assert same(load(tmp_path, **options), first)
    assert not opened
    assert same(make(tmp_path / "photos", **options), first)


@pytest.mark.parametrize("options", [{"max_memory": 0}, {"train_transform": nn.Identity()}])
def test_images_that_are_not_held_are_not_decoded_again_to_check_them(
    tmp_path: Path, opened: list[object], options: dict
) -> None:
    count = save_digits(tmp_path / "photos")
    load(tmp_path, **options)
    checked = len(opened)
    assert checked >= count
    opened.clear()
    data = load(tmp_path, **options)
    assert isinstance(data.source, Datasets)
    # a few are read to see whether training and test images are alike
    assert len(opened) == checked - count
    assert (tmp_path / "cache" / "images.bin").stat().st_size < 100 + count * 64


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "tiff", "webp", "ppm"])
def test_images_of_all_formats_have_the_same_bits(tmp_path: Path, suffix: str) -> None:
    draws = np.random.default_rng(0)
    for number in range(6):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = draws.integers(0, 256, (20 + number, 31, 3), np.uint8)
        pixels[:, :16] = 255 * (number % 2)  # both ends of the range
        Image.fromarray(pixels).save(path)
    for channels in (1, 3):
        (tmp_path / str(channels)).mkdir()
        (tmp_path / str(channels) / "photos").symlink_to(tmp_path / "photos")
        options = {"channels": channels, "image_size": 16, "test_fraction": 0.0}
        first, second = (load(tmp_path / str(channels), **options) for _ in range(2))
        assert same(first, second)
        assert isinstance(second.source, Arrays)
        for i in range(6):
            with Image.open(str(second.file_of(i))) as image:
                assert ImageTransform(16, channels)(image).equal(second.source.train_inputs[i])


def test_each_pixel_is_found_again() -> None:
    for channels in (1, 3):
        transform = ImageTransform(16, channels)
        pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(2, channels, 1, 1)
        assert transform.bytes_of(transform.standardized(pixels)).equal(pixels)


def test_a_file_with_new_content_is_decoded_anew_though_size_and_time_stay(
    tmp_path: Path, opened: list[object]
) -> None:
    for number in range(8):  # of 200 KB: `file_digest` does not see the middle
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (450, 450), 20 * number).save(path)
    load(tmp_path)
    changed = tmp_path / "photos" / "a" / "4.bmp"
    content, times = bytearray(changed.read_bytes()), changed.stat()
    content[90_000:110_000] = bytes([255]) * 20_000
    changed.write_bytes(content)
    os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))
    opened.clear()
    second = load(tmp_path)
    assert len(opened) == 1
    assert same(second, make(tmp_path / "photos"))
    opened.clear()
    load(tmp_path)  # the cache has the new content
    assert not opened


def test_new_and_renamed_files(tmp_path: Path, opened: list[object]) -> None:
    save_digits(tmp_path / "photos")
    load(tmp_path, test_fraction=0.0)
    one = sorted((tmp_path / "photos").rglob("*.png"))[0]
    one.rename(one.with_name("renamed.png"))
    Image.new("L", (8, 8)).save(one.with_name("new.png"))
    opened.clear()
    second = load(tmp_path, test_fraction=0.0)
    assert len(opened) == 1
    assert same(second, make(tmp_path / "photos", test_fraction=0.0))
    opened.clear()
    load(tmp_path, test_fraction=0.0)
    assert not opened


def test_copies_of_an_image_share_their_pixels(tmp_path: Path, opened: list[object]) -> None:
    count = save_digits(tmp_path / "photos")
    one = sorted((tmp_path / "photos").rglob("*.png"))[0]
    one.with_name("copy.png").write_bytes(one.read_bytes())
    first = load(tmp_path)
    assert len(opened) == count + 1
    opened.clear()
    assert same(load(tmp_path), first)
    assert not opened


@pytest.mark.parametrize("options", [HELD, ON_DISK])
def test_broken_images_are_named_at_each_start(tmp_path: Path, opened: list[object], options: dict) -> None:
    count = save_digits(tmp_path / "photos")
    broken = sorted((tmp_path / "photos").rglob("*.png"))[:2]
    truncate(broken[0])
    broken[1].write_text("no image")
    said = []
    for _ in range(2):
        with pytest.warns(UserWarning, match="Left out 2 images that cannot be read") as caught:
            data = load(tmp_path, corrupt="skip", **options)
        said.append(str(caught[0].message))
        assert len(data.train_targets) + len(data.test_targets) == count - 2
    assert said[0] == said[1]
    assert all(str(path) in said[0] for path in broken)
    assert "BytesIO" not in said[0]
    with pytest.raises(InputError, match="2 that cannot"):
        load(tmp_path, **options)
    truncate(sorted((tmp_path / "photos").rglob("*.png"))[5])  # after it was cached
    with pytest.warns(UserWarning, match="Left out 3 images"):
        load(tmp_path, corrupt="skip", **options)


def test_another_size_or_another_cap_decodes_again(tmp_path: Path, opened: list[object]) -> None:
    count = save_digits(tmp_path / "photos")
    load(tmp_path)
    for options in ({"image_size": 9}, {"channels": 3}):
        opened.clear()
        second = load(tmp_path, **options)
        assert len(opened) == count
        assert same(second, make(tmp_path / "photos", **options))
    load(tmp_path)
    opened.clear()
    load(tmp_path, max_memory=0)  # pixels prove that a file can be read
    assert len(opened) <= 2
    opened.clear()
    load(tmp_path)
    assert not opened


@pytest.mark.parametrize("damage", ["cut", "text", "byte", "gone", "pipe"])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, opened: list[object], damage: str) -> None:
    count = save_digits(tmp_path / "photos")
    first = load(tmp_path)
    path = tmp_path / "cache" / "images.bin"
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[:-20])
    elif damage == "text":
        path.write_text("something else")
    elif damage == "byte":
        path.write_bytes(content[:60] + bytes([content[60] ^ 255]) + content[61:])
    else:
        path.unlink()
        if damage == "pipe":
            os.mkfifo(path)
    opened.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(load(tmp_path), first)
    assert len(opened) == (1 if damage == "byte" else count)
    opened.clear()
    assert same(load(tmp_path), first)
    assert not opened


def test_a_cache_that_cannot_be_written_is_said_once_and_stops_nothing(tmp_path: Path) -> None:
    save_digits(tmp_path / "photos")
    (tmp_path / "cache").write_text("a file in the place of the folder")
    with pytest.warns(UserWarning, match=r"Expected to write decoded images to .*cache, but got: .*; the next") as said:
        data = load(tmp_path)
    assert len(said) == 1
    assert same(data, make(tmp_path / "photos"))


def test_nothing_is_written_twice(tmp_path: Path) -> None:
    save_digits(tmp_path / "photos")
    load(tmp_path)
    before = (tmp_path / "cache" / "images.bin").stat()
    load(tmp_path)
    after = (tmp_path / "cache" / "images.bin").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


class Sorted(ImageFolder):
    """Holds its images in an order of its own."""

    def load(self) -> Arrays | Datasets:
        held = super().load()
        assert isinstance(held, Arrays)
        return held._replace(train_inputs=held.train_inputs.flip(0), train_targets=held.train_targets.flip(0))


class Fewer(ImageFolder):
    """Leaves out the first image."""

    def load(self) -> Arrays | Datasets:
        held = super().load()
        assert isinstance(held, Arrays)
        return held._replace(train_inputs=held.train_inputs[1:], train_targets=held.train_targets[1:])


@pytest.mark.parametrize("subclass", [Sorted, Fewer])
def test_inputs_that_a_subclass_has_changed_are_never_those_of_a_file(tmp_path: Path, subclass: type) -> None:
    save_digits(tmp_path / "photos")
    options = {"root": str(tmp_path / "photos"), "image_size": 8, "channels": 1}
    first = subclass(**options)
    first.setup()
    first.write_cache(tmp_path / "cache")
    second = subclass(**options)
    second.use_cache(tmp_path / "cache")
    assert same(first, second)


def test_data_can_be_copied_and_pickled_after_they_were_read(tmp_path: Path) -> None:
    save_digits(tmp_path / "photos")
    data = load(tmp_path)
    assert same(copy.deepcopy(data), data)
    assert same(pickle.loads(pickle.dumps(data)), data)


class Inverted(ImageTransform):
    """Pixels that another setting changes, while the files stay the same."""

    is_inverted = False

    def pixels(self, image: Image.Image) -> torch.Tensor:
        values = super().pixels(image)
        return 255 - values if self.is_inverted else values


class WithOwnTransform(ImageFolder):
    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self._transform = Inverted(8, 1)


def test_a_transform_of_a_subclass_has_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_digits(tmp_path / "photos")
    means = []
    for is_inverted in (False, True):
        monkeypatch.setattr(Inverted, "is_inverted", is_inverted)
        data = WithOwnTransform(root=str(tmp_path / "photos"), image_size=8, channels=1, num_initial=10)
        data.use_cache(tmp_path / "cache")
        data.setup()
        data.write_cache(tmp_path / "cache")
        assert isinstance(data.source, Arrays)
        means.append(float(data.source.train_inputs.mean()))
    assert means[0] < means[1]  # digits are dark, and their negatives are bright
    assert not (tmp_path / "cache").exists()
