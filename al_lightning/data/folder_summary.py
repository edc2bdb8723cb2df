"""The classes that were found in a folder of images, and a summary of a few lines for the user."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from torch import Tensor

from al_lightning.data.folder_layout import UNLABELED, Layout, part_of
from al_lightning.data.image_suffixes import HEIF, is_no_data, should_be_image, suffix_of
from al_lightning.data.images import MOST_NAMED, FoundFiles, is_image_inside
from al_lightning.errors import InputError

MOST_CLASSES = 20  # at most so many classes are named in the summary


def class_folders(layout: Layout, found: FoundFiles) -> list[str]:
    """Sorted names of the folders that have images: these are the classes. Other folders are noted as left out.

    Args:
        layout: The parts of the data set.
        found: Files of the training part.

    Raises:
        InputError: If a folder may be a class but has no readable image, or if a folder contains the other classes.
    """
    train = layout.train
    images = {path.relative_to(train).parts[0] for path in found.images if path.parent != train}
    others: dict[str, list[Path]] = {}
    for path in found.others:
        if path.parent != train:
            others.setdefault(path.relative_to(train).parts[0], []).append(path)
    classes = []
    for folder in sorted(path for path in train.iterdir() if path.is_dir()):
        if is_no_data(folder.name) or (part_of(folder.name) is not None and folder.name not in images):
            continue
        if folder.name in images:
            if part_of(folder.name) != UNLABELED:
                classes.append(folder.name)
            continue
        held = others.get(folder.name, [])
        lost = Counter(suffix_of(path.name) for path in held if should_be_image(path.name))
        lost += Counter(suffix_of(path.name) or "no suffix" for path in held[:MOST_NAMED] if is_image_inside(path))
        if lost or not held:
            why = f"has only files that are not read, {', '.join(lost)}" if lost else "is empty"
            raise InputError(
                f"Expected images in {folder}, but it {why}; remove it, or name all classes by `data.classes`."
            )
        layout.left_out[folder] = "no images"
    inside = _inner_folders(train, found.images)
    for name in classes:
        if inside[name] and inside[name] <= {*classes} - {name}:
            raise InputError(
                f"Expected a folder for each class in {train}, but `{name}` holds the folders of others, "
                f"{listed(sorted(inside[name]))}; if it is a part of the data, call it train, test or val; if it is a "
                "class, name all classes by `data.classes`."
            )
    if len(classes) == 1:
        hint = ""
        if len(inside[classes[0]]) > 1:
            hint = f"; if its folders {listed(sorted(inside[classes[0]]))} are the classes, it is `data.root`"
        raise InputError(
            f"Expected a folder for each class in {train}, two at least, but got `{classes[0]}` alone{hint}; "
            "`data.classes` names classes that have no images yet."
        )
    return classes


def _inner_folders(train: Path, images: Sequence[Path]) -> dict[str, set[str]]:
    """Maps each folder of the training part to its inner folders with images.

    A folder with images of its own maps to none.
    """
    inside: dict[str, set[str]] = {}
    direct = set()
    for path in images:
        name, *inner = path.relative_to(train).parts
        if len(inner) == 1:
            direct.add(name)
        inside.setdefault(name, set()).update(inner[:-1][:1])
    return {name: set() if name in direct else names for name, names in inside.items()}


def describe(
    root: Path,
    layout: Layout,
    names: Sequence[str],
    files: Sequence[Path],
    targets: Tensor,
    num_test: int,
    others: Iterable[Path],
    num_unreadable: int,
) -> str:
    """Describes the classes and files that were found or left out, in one line each.

    Args:
        root: The folder as the user named it.
        layout: Its parts.
        names: The classes.
        files: The training images.
        targets: Their class indices, int64, -1 where unknown.
        num_test: Number of test images.
        others: Files that are not images.
        num_unreadable: Number of images that were left out because they are broken.
    """
    known = [int((targets == index).sum()) for index in range(len(names))]
    counts = [f"{name} {count}" if sum(known) else name for name, count in zip(names, known, strict=True)]
    parts = [f"{sum(known)} training images"] if sum(known) else []
    if sum(known) < len(targets):
        parts.append(f"{len(targets) - sum(known)} unlabeled images")
    drawn = f"in {layout.test.name}" if layout.test is not None else "drawn from the labeled ones"
    parts.append(f"{num_test} test images {drawn}" if num_test or layout.test is not None else "no test images")
    place = root if layout.root == root else f"{layout.root}, the one folder with images in {root}"
    classes = f"{len(names)} classes ({listed(counts, MOST_CLASSES)})" if names else "no classes"
    lines = [f"Found in {place}: {classes}, {', '.join(parts)}."]
    left = [f"{folder.name} ({why})" for folder, why in layout.left_out.items()]
    suffixes = Counter(suffix_of(path.name) or "no suffix" for path in others)
    images = {name: count for name, count in suffixes.items() if should_be_image(f"x{name}")}
    rest = {name: count for name, count in suffixes.items() if name not in images}
    if num_unreadable:
        left.append(f"{num_unreadable} images that cannot be read")
    if images:
        hint = "; al-lightning[heif] reads pictures of phones" if HEIF & images.keys() else ""
        left.append(f"{sum(images.values())} images of kinds that are not read ({', '.join(images)}{hint})")
    if rest:
        left.append(f"{sum(rest.values())} other files ({listed(sorted(rest))})")
    if left:
        lines.append(f"Left out: {listed(left, MOST_CLASSES)}.")
    if (same := _same_inside(layout.train, files)) is not None:
        lines.append(f"Note: all classes hold the same folders, {listed(same)}.")
    if alike := _alike(names):
        lines.append(f"Note: {alike[0]} and {alike[1]} are two classes.")
    return "\n".join(lines).encode(errors="backslashreplace").decode()


def listed(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """The names, separated by commas. Of a long list, only the first names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _same_inside(train: Path, images: Sequence[Path]) -> list[str] | None:
    """The inner folders, if all classes have the same ones and more than one. Then these may be the real classes."""
    folders = list(_inner_folders(train, [path for path in images if train in path.parents]).values())
    same = len(folders) > 1 and len(folders[0]) > 1 and all(names == folders[0] for names in folders)
    return sorted(folders[0]) if same else None


def _alike(names: Sequence[str]) -> tuple[str, str] | None:
    """Two names that differ only in upper and lower case."""
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(name.casefold(), name)) != name:
            return other, name
    return None
