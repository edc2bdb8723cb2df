"""Folders of images in all usual layouts: parts with many names, junk, deep folders, classes without images."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from al_lightning.data import ImageFolder
from al_lightning.data.folder_layout import part_of
from al_lightning.data.image_suffixes import SUFFIXES, readable_suffixes
from al_lightning.data.images import ImageTransform
from al_lightning.errors import InputError


def make(root: Path, *paths: str, num: int = 3) -> Path:
    """Makes ``num`` images in each folder, or one file of that name; returns the root."""
    for path in paths:
        if path.endswith("/"):  # an empty folder
            (root / path).mkdir(parents=True, exist_ok=True)
        elif Path(path).suffix:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text("no image")
        else:
            (root / path).mkdir(parents=True, exist_ok=True)
            for i in range(num):
                Image.new("L", (4, 4), 10 * i).save(root / path / f"{i}.png")
    return root


def load(root: Path, **kwargs) -> ImageFolder:
    data = ImageFolder(str(root), **{"image_size": 4, "channels": 1, "num_workers": 0, "test_fraction": 0.0, **kwargs})
    data.setup()
    return data


def found(data: ImageFolder) -> tuple[list[str], list[str], list[str]]:
    """Classes, and the folders of training and test images, relative to the root, each once."""
    train = [Path(str(data.file_of(i))) for i in range(len(data.train_targets))]
    assert [data.class_names[t] if t >= 0 else None for t in data.train_targets.tolist()] == [
        next((part for part in path.relative_to(data.root).parts[:-1] if part in data.class_names), None)
        for path in train
    ]
    test = [Path(file) for file in data.test_files()]
    parts = [sorted({path.parent.relative_to(data.root).as_posix() for path in paths}) for paths in (train, test)]
    return list(data.class_names or ()), parts[0], parts[1]


UNDERSTOOD = {
    "Kaggle": (["Training/a", "Training/b", "Testing/a"], ["Training/a", "Training/b"], ["Testing/a"]),
    "capitals": (["Train/a", "Train/b", "Test/a"], ["Train/a", "Train/b"], ["Test/a"]),
    "shouted": (["TRAIN/a", "TRAIN/b", "VAL/a"], ["TRAIN/a", "TRAIN/b"], ["VAL/a"]),
    "sets": (["training_set/a", "training_set/b", "test-set/b"], ["training_set/a", "training_set/b"], ["test-set/b"]),
    "three parts": (["train/a", "train/b", "valid/a", "test/a"], ["train/a", "train/b"], ["test/a"]),
    "test without classes": (["train/a", "train/b", "val/b", "test"], ["train/a", "train/b"], ["val/b"]),
    "only a flat test": (["train/a", "train/b", "test"], ["train/a", "train/b"], []),
    "classes beside Test": (["a", "b", "Test/a", "Test/b"], ["a", "b"], ["Test/a", "Test/b"]),
    "classes beside both": (["a", "b", "test/a", "val/b"], ["a", "b"], ["test/a"]),
    "one folder too deep": (["data/a", "data/b"], ["data/a", "data/b"], []),
    "two folders too deep": (["x/y/a", "x/y/b"], ["x/y/a", "x/y/b"], []),
    "parts too deep": (["x/Train/a", "x/Train/b", "x/test/a"], ["x/Train/a", "x/Train/b"], ["x/test/a"]),
    "classes too deep": (["train/x/a", "train/x/b", "test/y/b"], ["train/x/a", "train/x/b"], ["test/y/b"]),
    "folders in classes": (["a/1", "a/2", "b/1"], ["a/1", "a/2", "b/1"], []),
    "junk": (
        ["a", "b", "__MACOSX/a", ".git/a", "@eaDir/a", "a/@eaDir", "b/.ipynb_checkpoints", "$RECYCLE.BIN"],
        ["a", "b"],
        [],
    ),
    "junk beside one": (["data/a", "data/b", "__MACOSX/data/a"], ["data/a", "data/b"], []),
    "other folders": (["a", "b", "labels/1.xml", "labels/2.xml", "docs/read.txt"], ["a", "b"], []),
    "other folders beside train": (["train/a", "train/b", "labels/1.xml"], ["train/a", "train/b"], []),
    "unlabeled": (["train/a", "train/b", "Unlabeled"], ["Unlabeled", "train/a", "train/b"], []),
    "unlabelled": (["a", "b", "unlabelled"], ["a", "b", "unlabelled"], []),
}  # fmt: skip


@pytest.mark.parametrize("case", UNDERSTOOD)
def test_layouts_that_are_understood(tmp_path: Path, case: str) -> None:
    folders, train, test = UNDERSTOOD[case]
    data = load(make(tmp_path, *folders))
    assert found(data) == (["a", "b"], train, test)


REFUSED = {
    "a flat val beside classes": (["a", "b", "val"], "the test images in .*val in folders .*`val` is a class"),
    "a flat Test beside classes": (["a", "b", "Test"], "the test images in .*Test in folders of classes"),
    "classes beside train": (["a", "train/a", "train/b"], "in its folder train, .*but got `a` beside it"),
    "classes beside Training": (["a", "Training/a", "Training/b"], "in its folder Training, .*but got `a` beside it"),
    "two to train on": (["train/a", "training/b"], "one folder train in .*, but got `train` and `training`"),
    "two to test on": (["train/a", "train/b", "test/a", "Testing/b"], "one folder test in .*`Testing` and `test`"),
    "parts by other names": (["seg_train/a", "seg_train/b", "seg_test/a"], "but got `seg_test` and `seg_train`"),
    "words in one": (["imagesTrain/a", "imagesTrain/b", "imagesVal/a"], "`imagesTrain` and `imagesVal`"),
    "one class": (["a"], "two at least, but got `a` alone"),
    "one class and others": (["a", "unlabeled"], "two at least, but got `a` alone"),
    "one class and a dataset": (["data/a", "data/b", "unlabeled"], "`data` alone; if its folders a, b are the"),
    "a part by any name": (["a", "b", "later/a", "later/b"], "`later` holds the folders of others, a, b; if it is"),
    "classes in another case": (["train/a", "train/b", "test/A"], "got `A`; see `data.classes`; did you mean a?"),
    "an empty class": (["a", "b", "c/"], "images in .*c, but it is empty; .*`data.classes`"),
    "an empty class in train": (["train/a", "train/b", "train/c/", "test/a"], "images in .*train/c, but it is empty"),
    "a class of other files": (["a", "b", "c/1.dng", "c/2.cr2"], "images in .*c, but it has only files that are not"),
    "another class to test on": (["train/a", "train/b", "test/c"], "to be classes, a, b, but got `c`"),
    "nothing": ([], "`data.classes` to name the classes"),
    "a test part alone": (["test/a", "test/b"], "`data.classes` to name the classes"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_layouts_that_are_refused_by_name(tmp_path: Path, case: str) -> None:
    folders, words = REFUSED[case]
    with pytest.raises(InputError, match=words) as error:
        load(make(tmp_path, *folders))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("folders", "classes", "counts"),
    [
        (["a", "b", "val"], ["a", "b", "val"], [3, 3, 3]),
        (["a", "Test"], ["a", "Test"], [3, 3]),
        (["train", "bus"], ["train", "bus"], [3, 3]),
        (["a", "b", "c/"], ["a", "b", "c"], [3, 3, 0]),
        (["a"], ["a", "b"], [3, 0]),
        (["seg_train/x", "seg_train/y", "seg_test/x"], ["seg_train", "seg_test"], [6, 3]),
        (["a/x", "a/y"], ["a", "b"], [6, 0]),
        (["a", "unlabelled"], ["a", "unlabelled"], [3, 3]),
        (["train/train", "train/bus"], ["bus", "train"], [3, 3]),
    ],
)
def test_names_that_are_given_are_classes(
    tmp_path: Path, folders: list[str], classes: list[str], counts: list[int]
) -> None:
    data = load(make(tmp_path, *folders), classes=classes)
    assert data.class_names == tuple(classes)
    assert [int((data.train_targets == index).sum()) for index in range(len(classes))] == counts
    assert (data.train_targets >= 0).all()


# ---------------------------------------------------------------------------------------------------------- file types


def test_the_pillow_that_is_here_reads_all_that_is_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    expected = ImageTransform(8)(Image.fromarray(pixels))
    can_be_written = {s for s in readable_suffixes() if Image.registered_extensions().get(s) in Image.SAVE}
    lossless = {".png", ".bmp", ".tga", ".ppm", ".tif", ".dib", ".pcx", ".sgi", ".apng", ".jp2", ".ico"}
    assert {".jfif", ".jpe", ".tga", ".jp2", ".ico"} | SUFFIXES <= can_be_written
    for suffix in sorted(can_be_written):
        for name in ("a", "b"):
            path = tmp_path / name / f"x{suffix.upper()}"
            path.parent.mkdir(exist_ok=True)
            image = Image.fromarray(pixels).convert("1" if suffix in (".xbm",) else "RGB")
            image.save(path, **({"sizes": [(8, 8)]} if suffix == ".ico" else {}))
    data = load(tmp_path, image_size=8, channels=3)
    assert len(data.train_targets) == 2 * len(can_be_written)
    for index in range(len(can_be_written)):
        suffix = Path(str(data.file_of(index))).suffix.lower()
        if suffix in lossless:
            torch.testing.assert_close(data.inputs_at(torch.tensor([index]))[0], expected, msg=suffix)


def test_a_class_of_images_without_a_suffix_is_not_dropped(tmp_path: Path) -> None:
    make(tmp_path, "a", "b", "c")
    for path in (tmp_path / "c").iterdir():
        path.rename(path.with_suffix(""))
    with pytest.raises(InputError, match="c, but it has only files that are not read, no suffix"):
        load(tmp_path)


def test_a_class_that_loses_all_its_images_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "a", "b", "c/1.png", "c/2.png")
    with (
        pytest.warns(UserWarning, match="Left out 2 images"),
        pytest.raises(InputError, match="images of class `c` in"),
    ):
        load(tmp_path, corrupt="skip")


# ------------------------------------------------------------------------------------------------- what is said of it


def test_what_was_found_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = tmp_path / "data"
    make(root, "Train/cat", "Train/dog", "test/cat", "val/dog", "unlabeled", "../__MACOSX/data/a", "@eaDir/")
    make(root, "Train/cat/a.cr2", "Train/dog/b.CR2", "test/cat/c.svg", "Train/notes.txt", "labels/x.xml")
    (root / "Train/cat/README").write_text("x")
    data = load(tmp_path)
    data.setup()
    data.prepare_data()
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"Found in {tmp_path / 'data'}, the one folder with images in {tmp_path}: 2 classes (cat 3, dog 3), "
        "6 training images, 3 unlabeled images, 3 test images in test.",
        "Left out: @eaDir (no data), labels (no images), val (test is tested on), "
        "3 images of kinds that are not read (.cr2, .svg), 2 other files (.txt, no suffix).",
    ]  # fmt: skip


def test_a_plain_folder_has_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    load(make(tmp_path, "cat", "dog", num=5), test_fraction=0.2)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert f"Found in {tmp_path}: 2 classes (cat " in out
    assert "8 training images, 2 test images drawn from the labeled ones." in out


def test_a_folder_without_labels_counts_no_labels(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make(tmp_path, ".", num=5)
    load(tmp_path, classes=["T-Shirt grün", "b c"])
    said = f"Found in {tmp_path}: 2 classes (T-Shirt grün, b c), 5 unlabeled images, no test images.\n"
    assert capsys.readouterr().out == said


def test_folders_that_are_the_same_in_all_classes_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    load(make(tmp_path, "fold1/a", "fold1/b", "fold2/a", "fold2/b"))
    assert "2 classes (fold1 6, fold2 6)" in (out := capsys.readouterr().out)
    assert "Note: all classes hold the same folders, a, b.\n" in out


def test_a_link_to_itself_is_no_folder(tmp_path: Path) -> None:
    (make(tmp_path, "a", "b") / "loop").symlink_to("loop")
    assert load(tmp_path).class_names == ("a", "b")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read all folders")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (make(tmp_path, "a", "b") / "b").chmod(0)
    with pytest.raises(PermissionError, match="b"):
        load(tmp_path)


def test_a_long_list_of_classes_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    load(make(tmp_path, *(f"c{i:03}" for i in range(130)), num=1))
    out = capsys.readouterr().out
    assert "130 classes (c000 1, " in out
    assert "c019 1 and 110 more)" in out


def test_classes_that_differ_in_case_alone_are_two_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    make(tmp_path, "Cat", "cat")
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("the file system takes no notice of case")
    assert load(tmp_path).class_names == ("Cat", "cat")
    assert "Note: Cat and cat are two classes." in capsys.readouterr().out


def test_broken_images_count_as_left_out(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.warns(UserWarning, match="Left out 1 image"):
        load(make(tmp_path, "a", "b", "b/9.png"), corrupt="skip")
    assert "Left out: 1 images that cannot be read." in capsys.readouterr().out


# --------------------------------------------------------------------------------------------------------------- names


def test_accents_may_be_composed_in_another_way(tmp_path: Path) -> None:
    one, two = "caf\u00e9", "cafe\u0301"
    make(tmp_path, f"train/{one}", "train/tea", f"test/{two}")
    data = load(tmp_path)
    assert data.class_names == (one, "tea")
    assert data.test_targets.tolist() == [0, 0, 0]
    given = load(tmp_path, classes=["tea", two])
    assert given.class_names == ("tea", two)
    assert given.train_targets.tolist() == [1, 1, 1, 0, 0, 0]
    if (tmp_path / "train" / two).exists():
        return  # a file system that composes names itself
    make(tmp_path, f"train/{two}")
    with pytest.raises(InputError, match="Expected distinct names of classes"):
        load(tmp_path)


@pytest.mark.parametrize("name", [b"a\nb", b"\xff", b"tab\t", b"blank "])
def test_folders_whose_names_are_no_text_are_refused(tmp_path: Path, name: bytes) -> None:
    make(tmp_path, "a", "b")
    os.rename(tmp_path / "b", os.fsencode(tmp_path) + b"/" + name)
    with pytest.raises(InputError, match="names of classes|not UTF-8"):
        load(tmp_path)


def test_files_with_odd_names_are_read(tmp_path: Path) -> None:
    make(tmp_path, "a", "b", num=1)
    for name in ("line\nbreak.png", "  blank .png", "a;b,c'\".png", "-.png", "\u00e9\U0001f600.png", "%d.png"):
        Image.new("L", (4, 4)).save(tmp_path / "a" / name)
    data = load(tmp_path)
    assert len(data.train_targets) == 8
    assert len(data.fingerprint()) == 64


def test_a_trusted_name_that_is_no_text_ends_in_no_traceback(tmp_path: Path) -> None:
    make(tmp_path, "a", "b")
    os.rename(tmp_path / "a" / "0.png", os.fsencode(tmp_path / "a") + b"/\xff.png")
    assert len(load(tmp_path, corrupt="trust").fingerprint()) == 64


def test_a_root_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").touch()
    with pytest.raises(InputError, match=r"photos.zip is a file"):
        load(tmp_path / "photos.zip")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", "train"),
        ("Training Set", "train"),
        ("testdata", "test"),
        ("VALIDATION", "val"),
        ("val_images", "val"),
        ("Unlabelled", "unlabeled"),
        ("trainer", None),
        ("contest", None),
        ("set", None),
        ("valve", None),
    ],
)
def test_parts_are_known_by_name(name: str, part: str | None) -> None:
    assert part_of(name) == part


# ------------------------------------------------------------------------------------------------------------ old runs


def test_a_folder_that_worked_before_has_the_same_samples(tmp_path: Path) -> None:
    """The fingerprint comes from the sorted relative paths of the files that commit 5fd74a8 read."""
    make(tmp_path, "train/b", "train/a/x", "train", "test/a", "test/b", "val/a", "unlabeled", "train/a/note.txt")
    data = load(tmp_path)
    files = [f"train/{name}" for name in ("0.png", "1.png", "2.png")]
    files += [f"train/a/x/{i}.png" for i in range(3)] + [f"train/b/{i}.png" for i in range(3)]
    files += [f"unlabeled/{i}.png" for i in range(3)]
    assert [Path(str(data.file_of(i))).relative_to(tmp_path).as_posix() for i in range(12)] == files
    assert data.train_targets.tolist() == [-1] * 3 + [0] * 3 + [1] * 3 + [-1] * 3
    assert [Path(file).relative_to(tmp_path).as_posix() for file in data.test_files()] == [
        f"test/{name}/{i}.png" for name in "ab" for i in range(3)
    ]
