"""Classes of a dataset's samples, from its items, or from an attribute that agrees with the items."""

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from al_lightning.data.class_lists import ClassList, class_lists
from al_lightning.data.items import LABEL_NAMES, ItemFormat, Key, format_of_items, is_same_class, plain
from al_lightning.data.labels import class_indices
from al_lightning.data.reading import load_batches, num_samples, read_item, read_items, sampled_positions, short
from al_lightning.errors import InputError
from al_lightning.random_streams import seeded

LOG = logging.getLogger(__name__)

TARGET_NAMES = ("targets", "labels", "_labels")
"""Attributes that hold the classes of the samples in datasets of torchvision."""

LIBRARIES = ("torch", "torchvision", "datasets")
"""Packages with datasets that have the same classes in attributes and items."""

ALL_UP_TO = 1000
"""A user's dataset with at most this many samples has all its items compared with the attribute."""

MANY_SAMPLED = 512
"""Number of items that are compared in a larger dataset."""

BATCH_SIZE = 256


def targets_of(dataset: Dataset, num_workers: int = 0, label_key: Key | None = None) -> Tensor:
    """Class indices of a dataset's samples.

    Args:
        dataset: Map-style. Its attribute ``targets`` or ``labels`` is used if it agrees with the items, also inside
            ``Subset`` and ``ConcatDataset``. Otherwise all items are read once.
        num_workers: Processes that read them.
        label_key: Which part of an item is the class, if this is not evident: a position, or a key of a mapping.

    Returns:
        Tensor of shape ``(N,)``, int64.

    Raises:
        InputError: If the classes are not class indices.

    Example:
        >>> data = TensorDataset(torch.zeros(3, 2), torch.tensor([2, 0, 1]))
        >>> targets_of(Subset(data, [2, 0]))
        tensor([1, 2])
    """
    (targets,), names, _ = class_indices([Labels(dataset, label_key).read(num_workers)], type(dataset).__name__)
    if names is not None:
        raise InputError(
            f"Expected the targets of {type(dataset).__name__} to be class indices, one integer for each sample, "
            f"but got the name {short(names[0])}."
        )
    return targets


class Labels:
    """Finds the classes of a dataset, and reads them.

    Args:
        dataset: Map-style.
        label_key: Which part of an item is the class, see :func:`targets_of`.
        input_key: Which part of an item is the input, if this is not evident.

    Attributes:
        format: Where the parts of an item are.
        class_names: Names of the classes in a dataset of Hugging Face; ``None`` for all other datasets.
        class_lists: Names that the dataset, and each dataset inside it, has for the numbers of classes in its items.
        differs: Whether an attribute disagrees with the items.

    Raises:
        InputError: If the class cannot be found, or changes each time an item is read.
    """

    format: ItemFormat
    class_names: tuple[str, ...] | None
    class_lists: list[ClassList]
    differs: bool

    def __init__(self, dataset: Dataset, label_key: Key | None = None, input_key: Key | None = None) -> None:
        self._dataset = dataset
        self._name = type(dataset).__name__
        known = _known(dataset, label_key)
        self._attribute: str = "" if known is None else known[0]
        self._known: Sequence[Any] | None = None if known is None else known[1]
        num = num_samples(dataset)
        self._positions = sampled_positions(num)
        items = read_items(dataset, self._positions)
        said = None if self._known is None else [plain(self._known[position]) for position in self._positions]
        self.format = format_of_items(items, self._name, self._positions, said, label_key, input_key)
        self._targets = [plain(self.format.target_of(item)) for item in items]
        self.differs = False
        self.class_names = _names_in_features(dataset, self.format.target_key)
        are_numbers = not any(isinstance(target, str) for target in self._targets)
        self.class_lists = class_lists(dataset, self.format.target_key) if are_numbers else []
        if self.format.target_key is not None:
            self._check_that_they_stay()

    def _check_that_they_stay(self) -> None:
        again = read_items(self._dataset, self._positions, seed=1)
        for position, one, item in zip(self._positions, self._targets, again, strict=True):
            other = plain(self.format.target_of(item))
            if not _is_same_or_nan(one, other):
                raise InputError(
                    f"Expected the classes of {self._name} to be the same each time they are read, but sample "
                    f"{position} has {short(one)} and then {short(other)}."
                )

    def read(self, num_workers: int = 0) -> Sequence[Any]:
        """The class of each sample in the dataset's own form, for example a number or a name.

        Args:
            num_workers: Processes that read the items, if that is necessary.
        """
        if not self._positions:
            return []
        if self.format.target_key is None and self._known is None:
            raise InputError(
                f"Expected samples of {self._name} to be pairs of input and target, but they have no class."
            )
        if self._known is None:
            return self._read_all(num_workers)
        # Items without a class cannot be compared.
        wrong = None if self.format.target_key is None else self._first_difference()
        if wrong is None:
            return [plain(known) for known in self._known]
        self.differs = True
        self.class_lists = []  # they belong to the attribute
        position, known, given = wrong
        warnings.warn(
            f"The classes of {self._name} are those of its items: {self._attribute} says {short(known)} where item "
            f"{position} says {short(given)}.",
            stacklevel=2,
        )
        return self._read_all(num_workers)

    def _first_difference(self) -> tuple[int, Any, Any] | None:
        """The first sample with a class that differs from the attribute: its position and both classes."""
        assert self._known is not None
        targets = dict(zip(self._positions, self._targets, strict=True))
        if not _is_of_a_library(self._dataset):
            num = num_samples(self._dataset)
            is_cheap = num <= ALL_UP_TO or isinstance(self._dataset, TensorDataset)
            more = range(num) if is_cheap else sampled_positions(num, MANY_SAMPLED)
            left = [position for position in more if position not in targets]
            read = (plain(self.format.target_of(item)) for item in read_items(self._dataset, left))
            targets |= dict(zip(left, read, strict=True))
        for position in sorted(targets):
            known = plain(self._known[position])
            if not is_same_class(known, targets[position]):
                return position, known, targets[position]
        return None

    def _read_all(self, num_workers: int) -> list[Any]:
        num = num_samples(self._dataset)
        if num == len(self._targets):
            return self._targets
        batches = torch.arange(num).split(BATCH_SIZE)
        reader = _Targets(self._dataset, self.format)
        return [target for batch in load_batches(reader, iter(batches), num_workers) for target in batch]


class _Targets(Dataset):
    """Whole batches of targets."""

    def __init__(self, dataset: Dataset, format: ItemFormat) -> None:
        self._dataset = dataset
        self._format = format

    def __getitem__(self, indices: Tensor) -> list[Any]:
        with seeded(0):  # items may be augmented at random
            return [plain(self._format.target_of(read_item(self._dataset, i))) for i in indices.tolist()]


def _known(dataset: Any, label_key: Key | None) -> tuple[str, Sequence[Any]] | None:
    """The classes that a dataset has in an attribute, and the name of the attribute; ``None`` if there is none."""
    if type(dataset) is Subset:
        known = _known(dataset.dataset, label_key)
        return None if known is None else (known[0], [known[1][i] for i in dataset.indices])
    if type(dataset) is ConcatDataset:
        parts = [_known(part, label_key) for part in dataset.datasets]
        if any(part is None for part in parts):
            return None
        return parts[0][0] if parts and parts[0] else "", [t for part in parts if part for t in part[1]]
    if isinstance(dataset, TensorDataset):
        if len(dataset.tensors) != 2:  # the items show which tensor is the class
            return None
        return "its tensor of classes", dataset.tensors[1].tolist()
    if _is_hugging_face(dataset):
        return _column(dataset, label_key)
    for name in TARGET_NAMES:
        try:
            known = getattr(dataset, name, None)
        except Exception as error:  # a user's property raises: the items are read then
            LOG.debug("Attribute %s of %s could not be read: %r", name, type(dataset).__name__, error)
            continue
        listed = known.tolist() if isinstance(known, np.ndarray | Tensor) else known
        if isinstance(listed, Sequence) and not isinstance(listed, str) and len(listed) == num_samples(dataset):
            return f"its attribute `{name}`", listed
    return None


def _column(dataset: Any, label_key: Key | None) -> tuple[str, Sequence[Any]] | None:
    """The classes in a column of a Hugging Face dataset."""
    found = [key for key in LABEL_NAMES if key in dataset.column_names] if label_key is None else [label_key]
    if len(found) != 1 or found[0] not in dataset.column_names:
        return None
    return f"its column `{found[0]}`", list(dataset.with_format(None)[found[0]])  # without its transform


def _names_in_features(dataset: Any, key: Key | None) -> tuple[str, ...] | None:
    """The names of classes in the features of a Hugging Face dataset."""
    while type(dataset) is Subset:
        dataset = dataset.dataset
    if key is None or not _is_hugging_face(dataset):
        return None
    names = getattr((dataset.features or {}).get(key), "names", None)
    return tuple(names) if names else None


def _is_hugging_face(dataset: Any) -> bool:
    return all(hasattr(dataset, name) for name in ("column_names", "features", "with_format"))


def _is_of_a_library(dataset: Any) -> bool:
    """Whether a dataset and its inner datasets read items by the code of a library that keeps the classes unchanged."""
    if type(dataset) is Subset:
        return _is_of_a_library(dataset.dataset)
    if type(dataset) is ConcatDataset:
        return all(_is_of_a_library(part) for part in dataset.datasets)
    if _is_hugging_face(dataset) and dataset.format["type"] == "custom":  # a transform that the user wrote
        return False
    is_changed = getattr(dataset, "target_transform", None) is not None or (
        type(getattr(dataset, "transforms", None)).__module__.split(".")[0] not in (*LIBRARIES, "builtins")
    )
    return type(dataset).__module__.split(".")[0] in LIBRARIES and not is_changed


def _is_same_or_nan(one: Any, other: Any) -> bool:
    are_floats = isinstance(one, float) and isinstance(other, float)
    return is_same_class(one, other) or (are_floats and one != one and other != other)
