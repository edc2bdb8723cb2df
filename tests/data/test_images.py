"""Images in files, and folders of them."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from al_lightning.data import Arrays, Datasets, ImageFolder, images
from al_lightning.data.images import ImageTransform, image_files, unreadable
from al_lightning.errors import InputError


def save_digits(folder: Path, num: int = 60, start: int = 0, classes: tuple[int, ...] = (0, 1, 2)) -> int:
    """Writes digits as images into a folder for each class; returns how many."""
    images, targets = load_digits().images, load_digits().target
    count = 0
    for index in range(start, start + num):
        if targets[index] in classes:
            path = folder / f"digit{targets[index]}" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((images[index] * 15).astype(np.uint8)).save(path)
            count += 1
    return count


def make(root: Path, **kwargs) -> ImageFolder:
    return ImageFolder(str(root), **{"image_size": 8, "channels": 1, "num_workers": 0, **kwargs})


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


# ------------------------------------------------------------------------------------------------------------ transform


def test_pixels_become_standardised_values() -> None:
    transform = ImageTransform(None, 3)
    image = Image.fromarray(np.array([[[255, 0, 51]]], np.uint8))
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]
    assert transform(image).flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_images_are_resized_and_cut_in_the_middle() -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    result = ImageTransform(10, 1)(Image.fromarray(wide))
    assert result.shape == (1, 10, 10)
    assert (result > 1).all()


def test_the_orientation_of_a_photo_is_respected(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (30, 10)).save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as image:
        assert ImageTransform(None)(image).shape == (3, 30, 10)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_images_of_16_bits_are_scaled(tmp_path: Path, suffix: str) -> None:
    gradient = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(gradient).save(tmp_path / f"a.{suffix}")
    Image.fromarray((gradient // 257).astype(np.uint8)).save(tmp_path / "b.png")
    transform = ImageTransform(None, 1)
    with Image.open(tmp_path / f"a.{suffix}") as wide, Image.open(tmp_path / "b.png") as narrow:
        torch.testing.assert_close(transform(wide), transform(narrow), atol=0.02, rtol=0)


def test_images_whose_range_is_not_known_are_unreadable(tmp_path: Path) -> None:
    Image.fromarray(np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)).save(tmp_path / "a.tiff")
    assert unreadable([tmp_path / "a.tiff"]) == {
        tmp_path / "a.tiff": "its pixels are of mode F, whose range is not known."
    }


def test_transparent_parts_are_white() -> None:
    image = Image.fromarray(np.array([[[0, 0, 0, 0], [0, 0, 0, 255]]], np.uint8), "RGBA")
    clear, black = ImageTransform(None, 1)(image).flatten().tolist()
    white = ImageTransform(None, 1)(Image.new("L", (1, 1), 255)).item()
    assert clear == pytest.approx(white)
    assert black < 0


def test_a_link_that_leads_back_is_refused(tmp_path: Path) -> None:
    save_digits(tmp_path / "photos")
    (tmp_path / "photos" / "digit1" / "loop").symlink_to(tmp_path / "photos")
    with pytest.raises(InputError, match=r"Expected each folder in .* once, but .*loop is a link to"):
        image_files(tmp_path / "photos")


def test_what_is_no_file_and_names_that_are_no_text_are_unreadable(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    odd = Path(os.fsdecode(bytes(tmp_path) + b"/\xff.png"))
    Image.new("L", (2, 2)).save(odd)
    reasons = unreadable([tmp_path / "gone.png", odd])
    assert reasons == {tmp_path / "gone.png": "it is no file", odd: "its name is not UTF-8"}


def test_image_files_are_found_by_name_sorted_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/c.png", "a/notes.txt", ".hidden.png", ".cache/d.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert [path.relative_to(tmp_path).as_posix() for path in image_files(tmp_path)] == ["a/c.png", "b.JPG"]


def test_files_that_cannot_be_decoded_are_found(tmp_path: Path) -> None:
    save_digits(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(tmp_path / "cut.jpg")
    truncate(tmp_path / "cut.jpg")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    found = unreadable(image_files(tmp_path))
    assert {path.name for path in found} == {"cut.jpg", "text.png", "empty.png"}
    assert all(found.values())


# --------------------------------------------------------------------------------------------------------- ImageFolder


def test_a_test_set_is_drawn_and_is_the_same_each_time(tmp_path: Path) -> None:
    total = save_digits(tmp_path)
    first, second = make(tmp_path, test_fraction=0.25), make(tmp_path, test_fraction=0.25)
    assert isinstance(first.source, Arrays)
    assert len(first.test_targets) == round(total / 4)
    assert len(first.train_targets) == total - round(total / 4)
    assert first.source.test_inputs.equal(second.source.test_inputs)
    assert first.class_names == ("digit0", "digit1", "digit2")
    assert first.sample_inputs(2).shape == (2, 1, 8, 8)
    files = [Path(str(first.file_of(i))) for i in range(len(first.train_targets))]
    assert [first.class_names.index(path.parent.name) for path in files] == first.train_targets.tolist()
    for i in (0, 7):
        with Image.open(files[i]) as image:
            assert ImageTransform(8, 1)(image).equal(first.source.train_inputs[i])


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_test_set_that_is_given_is_used(tmp_path: Path, name: str) -> None:
    num_train, num_test = save_digits(tmp_path / "train"), save_digits(tmp_path / name, start=100)
    data = make(tmp_path)
    assert (len(data.train_targets), len(data.test_targets)) == (num_train, num_test)


def test_classes_beside_a_test_folder(tmp_path: Path) -> None:
    num_train, num_test = save_digits(tmp_path), save_digits(tmp_path / "test", start=100)
    data = make(tmp_path)
    data.setup()
    assert data.class_names == ("digit0", "digit1", "digit2")
    assert (len(data.train_targets), len(data.test_targets)) == (num_train, num_test)


def test_images_of_no_class_are_unknown(tmp_path: Path) -> None:
    num = save_digits(tmp_path / "train")
    save_digits(tmp_path / "test", start=100)
    (tmp_path / "unlabeled").mkdir()
    for folder in (tmp_path / "unlabeled", tmp_path / "train"):
        Image.new("L", (8, 8)).save(folder / "new.png")
    targets = make(tmp_path).train_targets
    assert len(targets) == num + 2
    assert (targets == -1).sum() == 2


def test_only_unlabeled_images_need_names_of_classes(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "new.png")
    with pytest.raises(InputError, match=r"`data.classes` to name the classes"):
        make(tmp_path).setup()
    data = make(tmp_path, classes=["cat", "dog"])
    assert data.train_targets.tolist() == [-1]
    assert data.count_classes() == 2
    assert len(data.test_targets) == 0


def test_classes_may_be_put_in_order(tmp_path: Path) -> None:
    save_digits(tmp_path)
    data = make(tmp_path, classes=["digit2", "digit1", "digit0"])
    assert data.train_targets.equal(2 - make(tmp_path).train_targets)
    with pytest.raises(InputError, match=r"to be classes, digit0, digit1, but got `digit2`"):
        make(tmp_path, classes=["digit0", "digit1"]).setup()


def test_corrupt_images_are_named_and_refused_or_left_out(tmp_path: Path) -> None:
    num = save_digits(tmp_path)
    broken = sorted(tmp_path.rglob("*.png"))[:2]
    for path in broken:
        truncate(path)
    with pytest.raises(InputError, match=f"2 that cannot: {broken[0]} .*{broken[1]} .*`data.corrupt` skip"):
        make(tmp_path).setup()
    data = make(tmp_path, corrupt="skip", test_fraction=0.0)
    with pytest.warns(UserWarning, match=f"Left out 2 images that cannot be read: {broken[0]}"):
        data.setup()
    assert len(data.train_targets) == num - 2
    assert str(broken[0]) not in {data.file_of(i) for i in range(num - 2)}


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_trusted_image_that_is_corrupt_is_named_when_it_is_needed(tmp_path: Path, num_workers: int) -> None:
    save_digits(tmp_path)
    broken = sorted(tmp_path.rglob("*.png"))[3]
    truncate(broken)
    data = make(tmp_path, corrupt="trust", max_memory=0, num_workers=num_workers, test_fraction=0.0)
    data.setup()
    with pytest.raises(InputError, match=f"Expected {broken} to be an image, but it cannot be read") as error:
        list(data.pool_blocks())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_images_on_disk_are_those_in_memory(tmp_path: Path, num_workers: int) -> None:
    save_digits(tmp_path)
    memory, disk = make(tmp_path), make(tmp_path, max_memory=0, num_workers=num_workers)
    assert isinstance(disk.source, Datasets)
    for data in (memory, disk):
        data.set_labeled(torch.tensor([1, 4, 5]))
    for name in ("pool_blocks", "labeled_blocks", "test_blocks"):
        assert torch.cat(list(getattr(memory, name)())).equal(torch.cat(list(getattr(disk, name)())))
    for data in (memory, disk):
        data.shuffle_generator = torch.Generator().manual_seed(0)
    for (a, b), (c, d) in zip(memory.train_dataloader(), disk.train_dataloader(), strict=True):
        assert a.equal(c)
        assert b.equal(d)
    assert memory.fingerprint() == disk.fingerprint()


class Invert(nn.Module):
    """An augmentation that cannot be missed."""

    def forward(self, image):
        assert image.dtype == torch.uint8
        return 255 - image


def test_scoring_and_testing_see_no_augmentation(tmp_path: Path) -> None:
    save_digits(tmp_path)
    plain, augmented = make(tmp_path), make(tmp_path, train_transform=Invert())
    for data in (plain, augmented):
        data.set_labeled(torch.tensor([1, 4, 5]))
        data.shuffle_generator = torch.Generator().manual_seed(0)
    for name in ("pool_blocks", "labeled_blocks", "test_blocks"):
        assert torch.cat(list(getattr(plain, name)())).equal(torch.cat(list(getattr(augmented, name)())))
    (a, _), (b, _) = next(iter(plain.train_dataloader())), next(iter(augmented.train_dataloader()))
    mean, std = (0.485 + 0.456 + 0.406) / 3, (0.229 + 0.224 + 0.225) / 3
    torch.testing.assert_close((a * std + mean) + (b * std + mean), torch.ones_like(a))


def test_another_file_changes_the_fingerprint(tmp_path: Path) -> None:
    save_digits(tmp_path)
    before = make(tmp_path, test_fraction=0.0).fingerprint()
    Image.new("L", (8, 8)).save(tmp_path / "digit1" / "new.png")
    assert make(tmp_path, test_fraction=0.0).fingerprint() != before


def test_a_folder_that_is_not_there_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"there is no {tmp_path / 'none'}"):
        make(tmp_path / "none").setup()
    with pytest.raises(InputError, match=f"images to train on in {tmp_path}, but got none"):
        make(tmp_path, classes=["a", "b"]).setup()


@pytest.mark.parametrize(
    "arguments", [{"image_size": 0}, {"num_workers": -1}, {"test_fraction": 1.0}, {"test_fraction": -0.1}]
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, arguments: dict) -> None:
    save_digits(tmp_path)
    (name,) = arguments
    with pytest.raises(InputError, match=f"`data.{name}`"):
        make(tmp_path, **arguments).setup()


@pytest.mark.parametrize("names", [["a", "a"], ["a", ""], ["a", " b"], ["a", "Skip"], ["unlabeled", "b"]])
def test_names_that_are_none_of_classes_are_refused(tmp_path: Path, names: list[str]) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "new.png")
    with pytest.raises(InputError, match="Expected distinct names of classes"):
        make(tmp_path, classes=names).setup()


def test_folders_of_classes_beside_a_train_folder_are_refused(tmp_path: Path) -> None:
    save_digits(tmp_path / "train")
    save_digits(tmp_path, classes=(4,))
    with pytest.raises(InputError, match=r"in its folder train, where there is one, but got `digit4` beside it"):
        make(tmp_path).setup()


def test_an_empty_test_folder_is_refused(tmp_path: Path) -> None:
    save_digits(tmp_path / "train")
    (tmp_path / "test" / "digit1").mkdir(parents=True)
    with pytest.raises(InputError, match=r"images to test on in .*test, but got none"):
        make(tmp_path).setup()


@pytest.mark.parametrize(
    "options", [{}, {"corrupt": "trust"}, {"max_memory": 1e-6}, {"train_transform": nn.Identity()}]
)
def test_images_are_decoded_once(options: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = save_digits(tmp_path)
    decoded: list[object] = []
    as_bytes = images.as_bytes
    monkeypatch.setattr(images, "as_bytes", lambda image, mode: decoded.append(image) or as_bytes(image, mode))
    data = make(tmp_path, **options)
    held = data.load()
    # of images on disk, one more is read to see whether training and test images are alike
    assert len(decoded) - count in ([0] if isinstance(held, Arrays) else [0, 1, 2])
    trusted = make(tmp_path, corrupt="trust").load()
    assert isinstance(trusted, Arrays)
    if isinstance(held, Arrays):
        assert held.train_inputs.equal(trusted.train_inputs)
        assert held.test_inputs.equal(trusted.test_inputs)


def test_an_image_that_cannot_be_read_is_left_out_where_others_are_decoded_once(tmp_path: Path) -> None:
    count = save_digits(tmp_path)
    truncate(next(iter(sorted(tmp_path.rglob("*.png")))))
    with pytest.warns(UserWarning, match="Left out 1 image that cannot be read"):
        held = make(tmp_path, corrupt="skip").load()
    assert isinstance(held, Arrays)
    assert len(held.train_inputs) + len(held.test_inputs) == count - 1
