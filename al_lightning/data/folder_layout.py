"""Finds out which folders of images are parts of the data set, which are classes, and which are neither."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from al_lightning.data.image_suffixes import is_image, is_no_data
from al_lightning.errors import InputError, composed

TRAIN, TEST, VAL, UNLABELED = "train", "test", "val", "unlabeled"
PARTS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("test", "testing"), TEST),
    **dict.fromkeys(("val", "valid", "validation", "eval", "evaluation"), VAL),
    **dict.fromkeys(("unlabeled", "unlabelled"), UNLABELED),
}
"""Names of folders that are parts of a data set, in lower case and without the ending `set` or `data`."""
OLD_ORDER = ("test", "val", "valid", "validation")  # of folders that may be the test set


@dataclass
class Layout:
    """The folders of the parts of a data set."""

    root: Path
    """The folder that has the parts or classes: the given folder, or a folder inside it."""
    train: Path
    """The folder that has a folder for each class."""
    test: Path | None = None
    unlabeled: list[Path] = field(default_factory=list)
    """Folders of unlabeled images beside the training part."""
    left_out: dict[Path, str] = field(default_factory=dict)
    """Folders that are not read, each with the reason."""


def find_layout(root: Path, classes: Iterable[str] = ()) -> Layout:
    """Finds the parts of a data set.

    Two layouts are known:

    - folders of classes, with or without a folder of test images beside them.
    - a folder of training images, with folders of test or validation images beside it.

    Parts are recognised by their names in upper or lower case. If one folder contains all others, the search goes on
    inside it.

    Args:
        root: The folder.
        classes: Names that are certainly classes.

    Raises:
        InputError: If a folder may be either a part or a class.
    """
    named = {composed(name) for name in classes}
    root = descended(root, named)
    found: dict[str, list[Path]] = {TRAIN: [], TEST: [], VAL: [], UNLABELED: []}
    layout, others = Layout(root, root), []
    for folder in _sorted_folders(root):
        part = part_of(folder.name)
        if is_no_data(folder.name):
            layout.left_out[folder] = "no data"
        elif part is not None and (composed(folder.name) not in named or _holds(folder, named)):
            found[part].append(folder)
        else:
            others.append(folder)
    classlike = [folder for folder in others if has_images(folder)]
    train = _the_one(found[TRAIN], "train")
    if train is not None:
        if classlike:
            raise InputError(
                f"Expected the classes of {root} in its folder {train.name}, where there is one, but got "
                f"`{classlike[0].name}` beside it{_or_class(train)}"
            )
        layout.train = descended(train, named)
        layout.unlabeled = found[UNLABELED]
        layout.left_out |= {folder: "no images" for folder in others if folder not in classlike}
    _refuse_parts_by_other_names(root, [folder for folder in others if composed(folder.name) not in named])
    tests = [folder for folder in found[TEST] if _folders(folder)]
    vals = [folder for folder in found[VAL] if _folders(folder)]
    if _the_one(tests, "test") is None:
        tests = sorted(vals, key=_preference)
    layout.test = tests[0] if tests else None
    for folder in (*found[TEST], *found[VAL]):
        if folder == layout.test:
            continue
        if _folders(folder):
            layout.left_out[folder] = f"{layout.test and layout.test.name} is tested on"
        elif not has_images(folder):
            layout.left_out[folder] = "no images"
        elif train is not None:
            layout.left_out[folder] = "its images are in no folder of a class"
        else:
            raise InputError(
                f"Expected the test images in {folder} in folders of classes, but they are not{_or_class(folder)}"
            )
    return layout


def descended(folder: Path, named: Iterable[str] = ()) -> Path:
    """Enters a folder that contains all others: `dataset` in photos/dataset/cat and photos/dataset/dog.

    Args:
        folder: The folder to begin in.
        named: Names of classes. Their folders are not entered.
    """
    while True:
        inner = [path for path in _sorted_folders(folder) if not is_no_data(path.name) and has_images(path)]
        if len(inner) != 1 or _has_own_images(folder) or _has_own_images(inner[0]):
            return folder
        if part_of(inner[0].name) is not None or composed(inner[0].name) in named or not _folders(inner[0]):
            return folder
        folder = inner[0]


def part_of(name: str) -> str | None:
    """The part of a data set that a folder's name stands for: ``train``, ``test``, ``val`` or ``unlabeled``.

    Example:
        >>> part_of("Training"), part_of("test_set"), part_of("cat")
        ('train', 'test', None)
    """
    plain = re.sub(r"[\s_.-]", "", composed(name).lower())
    return PARTS.get(plain) or PARTS.get(re.sub(r"(set|data|images)$", "", plain))


def has_images(folder: Path) -> bool:
    """Whether there are images in a folder or its subfolders."""
    seen = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        folders[:] = [] if real in seen else [name for name in folders if not is_no_data(name)]
        seen.add(real)
        if any(is_image(name) and not name.startswith(".") for name in names):
            return True
    return False


def _refuse_parts_by_other_names(root: Path, folders: list[Path]) -> None:
    """Refuses `seg_train` and `seg_test`, which would become two classes."""
    kinds: dict[str, Path] = {}
    for folder in folders:
        words = re.split(r"[\s_.-]+|(?<=[a-z])(?=[A-Z])", folder.name)
        for kind in {PARTS.get(word.lower()) for word in words} & {TRAIN, TEST, VAL}:
            if kind is not None and any(has_images(inner) for inner in _folders(folder)):
                kinds.setdefault(kind, folder)
    if TRAIN in kinds and len(kinds) > 1 and len(set(kinds.values())) > 1:
        names = " and ".join(f"`{folder.name}`" for folder in sorted(set(kinds.values())))
        raise InputError(
            f"Expected folders of classes in {root}, or the folders train and test, but got {names}, which may be "
            "either; rename them, or name the classes by `data.classes`."
        )


def _the_one(folders: list[Path], name: str) -> Path | None:
    if len(folders) > 1:
        names = " and ".join(f"`{folder.name}`" for folder in folders)
        raise InputError(f"Expected one folder {name} in {folders[0].parent}, but got {names}.")
    return folders[0] if folders else None


def _or_class(folder: Path) -> str:
    return f"; if `{folder.name}` is a class, name all classes by `data.classes`."


def _preference(folder: Path) -> int:
    return OLD_ORDER.index(folder.name) if folder.name in OLD_ORDER else len(OLD_ORDER)


def _holds(folder: Path, named: set[str]) -> bool:
    return any(composed(inner.name) in named for inner in _folders(folder))


def _has_own_images(folder: Path) -> bool:
    return any(is_image(path.name) and not path.name.startswith(".") and path.is_file() for path in folder.iterdir())


def _folders(folder: Path) -> list[Path]:
    """The folders inside a folder that may be classes or parts."""
    return [path for path in _sorted_folders(folder) if not is_no_data(path.name)]


def _sorted_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())  # a link to itself is not a folder
