"""Checks that datasets number their classes in the same way, if the datasets have class names."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import ConcatDataset, Subset

from al_lightning.errors import InputError

LOG = logging.getLogger(__name__)

ClassList = tuple[str, tuple[str, ...]]
"""The name of a dataset in messages, and its names of classes in the order of their indices."""


def class_lists(dataset: Any, label_key: Any = None) -> list[ClassList]:
    """The lists of classes of a dataset and of the datasets inside it, for example of a ``ConcatDataset``.

    Args:
        dataset: May have `classes` or `class_to_idx`, like datasets of torchvision, or `features`, like datasets of
            Hugging Face.
        label_key: Column of the class in a dataset of Hugging Face.

    Returns:
        The lists; an empty list if the classes have no names.

    Example:
        >>> from types import SimpleNamespace
        >>> class_lists(Subset(SimpleNamespace(classes=["cat", "dog"]), [0]))
        [('SimpleNamespace', ('cat', 'dog'))]
    """
    if type(dataset) is Subset:
        return class_lists(dataset.dataset, label_key)
    if type(dataset) is ConcatDataset:
        return [found for part in dataset.datasets for found in class_lists(part, label_key)]
    features = _attribute(dataset, "features")
    if isinstance(features, Mapping):
        names = _listed(getattr(features.get(label_key), "names", None))
    else:
        names = _listed(_attribute(dataset, "classes")) or _by_index(_attribute(dataset, "class_to_idx"))
    return [(type(dataset).__name__, names)] if names else []


def check_class_lists(parts: Sequence[Sequence[ClassList]]) -> None:
    """Compares the lists of classes of all parts of a data set.

    One list may be longer than another: then some classes have no samples in one part.

    Args:
        parts: The result of :func:`class_lists` for each dataset that uses the numbers in its items as classes.

    Raises:
        InputError: If two lists have different names for the same index.
    """
    found = [one for part in parts for one in part]
    for name, names in found[1:]:
        first, others = found[0]
        for index, (one, other) in enumerate(zip(others, names, strict=False)):
            if one != other:
                raise InputError(
                    f"Expected all parts of the data to number their classes alike, but class {index} is `{one}` in "
                    f"{first} and `{other}` in {name}; give them one list of classes."
                )


def _attribute(dataset: Any, name: str) -> Any:
    try:
        return getattr(dataset, name, None)
    except Exception as error:  # a user's property that raises tells nothing about the classes
        LOG.debug("Attribute %s of %s could not be read: %r", name, type(dataset).__name__, error)
        return None


def _listed(names: Any) -> tuple[str, ...] | None:
    is_a_list = isinstance(names, Sequence | np.ndarray) and not isinstance(names, str) and len(names) > 0
    # A list of numbers repeats the numbers in the items; the order of the list has no meaning.
    return tuple(map(str, names)) if is_a_list and all(isinstance(name, str) for name in names) else None


def _by_index(indices: Any) -> tuple[str, ...] | None:
    if not isinstance(indices, Mapping) or not all(isinstance(index, int) for index in indices.values()):
        return None
    if set(indices.values()) != set(range(len(indices))):
        return None
    return _listed(sorted(indices, key=lambda name: indices[name]))
