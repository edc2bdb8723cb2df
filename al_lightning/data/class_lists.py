"""Whether datasets number their classes alike, as far as they say what the classes are called."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import ConcatDataset, Subset

from al_lightning.errors import InputError

LOG = logging.getLogger(__name__)

ClassList = tuple[str, tuple[str, ...]]
"""What a dataset is called in messages, and its names of classes in the order of their indices."""


def class_lists(dataset: Any, label_key: Any = None) -> list[ClassList]:
    """The lists of classes of a dataset and of what it is made of.

    Args:
        dataset: Has `classes` or `class_to_idx`, as data sets of torchvision have, or `features` of Hugging Face.
        label_key: Which column of a table of Hugging Face is the class.

    Returns:
        The lists; none if nothing says what the classes are called.

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

    A list may go on where another ends: then there are no samples of some classes.

    Args:
        parts: As :func:`class_lists` gives them, of each dataset whose classes are the numbers of its items.

    Raises:
        InputError: If two lists call one index by different names: the classes of one part are not those of the other.
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
    except Exception as error:  # a property of somebody else's that cannot be had says nothing of the classes
        LOG.debug("Attribute %s of %s could not be read: %r", name, type(dataset).__name__, error)
        return None


def _listed(names: Any) -> tuple[str, ...] | None:
    is_a_list = isinstance(names, Sequence | np.ndarray) and not isinstance(names, str) and len(names) > 0
    # a list of numbers is what the items have, whatever their places in it
    return tuple(map(str, names)) if is_a_list and all(isinstance(name, str) for name in names) else None


def _by_index(indices: Any) -> tuple[str, ...] | None:
    if not isinstance(indices, Mapping) or not all(isinstance(index, int) for index in indices.values()):
        return None
    if set(indices.values()) != set(range(len(indices))):
        return None
    return _listed(sorted(indices, key=lambda name: indices[name]))
