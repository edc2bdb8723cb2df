"""Turns labels into class indices. Labels are numbers, names, columns, or rows with a single 1."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from al_lightning.data.class_names import check_class_names
from al_lightning.data.items import plain
from al_lightning.data.reading import short
from al_lightning.errors import InputError, composed

UNKNOWN = -1
"""Target of a training sample of unknown class."""


class ClassIndices(NamedTuple):
    """Classes as indices."""

    targets: list[Tensor]
    """Class indices of each part, int64, shape ``(N,)``, -1 where unknown."""
    names: tuple[str, ...] | None
    """Names of the classes; ``None`` if they are numbers without names."""
    num_classes: int | None
    """Number of classes, if the labels show it: the width of rows with a single 1."""


def class_indices(parts: Sequence[Any], owner: str, names: Sequence[str] | None = None) -> ClassIndices:
    """Turns labels into class indices, for the training set and the test set together.

    Args:
        parts: Labels of each set, as a tensor, an array or a sequence. Labels are whole numbers of any type, of shape
            ``(N,)`` or ``(N, 1)``, rows of 0 with a single 1, or names. -1 and the empty name are unknown classes.
        owner: Name of the data set in messages.
        names: Names of the classes in the order of their indices. Numbers that are not indices of names are looked up
            among the names. If they are not found, and there is one number for each name, ascending numbers belong to
            the names in order.

    Returns:
        The indices. If names are not given, the names in the labels are sorted.

    Raises:
        InputError: If labels have another form, or are not among the names.

    Example:
        >>> class_indices([["cat", "dog"], ["dog", ""]], "pets")
        ClassIndices(targets=[tensor([0, 1]), tensor([ 1, -1])], names=('cat', 'dog'), num_classes=2)
    """
    read = [_numbers_or_names(part, owner) for part in parts]
    of_names = [part for part in read if isinstance(part, list)]
    if of_names:
        for part in read:
            if isinstance(part, Tensor) and len(part):
                raise InputError(
                    f"Expected the targets of {owner} to be all numbers or all names, but got {int(part[0])} and "
                    f"{short(of_names[0][0])}."
                )
        return _of_names(of_names, read, owner, names)
    widths = {part.shape[1] for part in read if isinstance(part, Tensor) and part.dim() == 2}
    if len(widths) > 1:
        raise InputError(
            f"Expected the targets of {owner} to be rows of one length, but got {' and '.join(map(str, widths))}."
        )
    targets = [part.argmax(dim=1) if part.dim() == 2 else part for part in read if isinstance(part, Tensor)]
    if names is None:
        return ClassIndices(targets, None, next(iter(widths), None))
    return ClassIndices(_among(targets, tuple(names), owner), tuple(names), len(names))


def numbers_with_gaps(targets: Sequence[Tensor]) -> tuple[int, ...] | None:
    """The classes, if they are numbers with gaps or do not begin at 0, such as 1 to K; otherwise ``None``.

    Args:
        targets: Classes of each part, int64, shape ``(N,)``. If a class is unknown, a gap may be its number: then all
            numbers are taken for indices.

    Example:
        >>> numbers_with_gaps([torch.tensor([1, 5, 5]), torch.tensor([3])])
        (1, 3, 5)
        >>> numbers_with_gaps([torch.tensor([1, 2, -1])])
    """
    found = torch.cat(list(targets)).unique()
    if len(found) == 0 or int(found[0]) < 0 or int(found[-1]) == len(found) - 1:
        return None
    return tuple(found.tolist())


def _numbers_or_names(labels: Any, owner: str) -> Tensor | list[str]:
    """Labels of one part: integers ``(N,)``, rows with a single 1 ``(N, C)``, or names."""
    if isinstance(labels, Tensor):
        return _integers(labels.detach().cpu(), owner)
    if isinstance(labels, np.ndarray):
        if labels.dtype.kind in "biuf":
            return _integers(_tensor(labels, owner), owner)
        labels = labels.reshape(-1).tolist() if labels.size == len(labels) else list(labels)
    values = [plain(value) for value in labels]
    if not values:
        return torch.empty(0, dtype=torch.int64)
    if all(isinstance(value, str) for value in values):
        return values
    if all(isinstance(value, int | float) for value in values):
        return _integers(_tensor(np.asarray(values), owner), owner)
    odd = next(value for value in values if not isinstance(value, int | float))
    if isinstance(odd, str) or any(isinstance(value, str) for value in values):
        other = next(value for value in values if not isinstance(value, str))
        raise InputError(
            f"Expected the targets of {owner} to be all numbers or all names, but got "
            f"{short(next(value for value in values if isinstance(value, str)))} and {short(other)}; an unknown class "
            "is -1 or an empty name."
        )
    try:
        rows = torch.stack([torch.as_tensor(np.asarray(value)) for value in values])
    except (TypeError, ValueError, RuntimeError):
        raise _refused(owner, odd) from None
    return _integers(rows, owner)


def _tensor(array: np.ndarray, owner: str) -> Tensor:
    if array.dtype.kind not in "biuf":  # integers beyond 64 bits
        raise _refused(owner, "a number that is too large")
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise _refused(owner, int(array.max()))
    return torch.from_numpy(array.astype(np.float64 if array.dtype.kind == "f" else np.int64))


def _integers(labels: Tensor, owner: str) -> Tensor:
    """Labels as int64, of shape ``(N,)``, or ``(N, C)`` for rows with a single 1."""
    if labels.is_complex() or labels.dim() == 0:
        raise _refused(owner, labels)
    if labels.dim() > 1 and labels.numel() == len(labels):
        labels = labels.reshape(-1)
    if labels.dim() == 2 and len(labels):
        is_binary = bool(((labels == 0) | (labels == 1)).all())
        if is_binary and bool((labels.long().sum(dim=1) == 1).all()):
            return labels.long()
        if is_binary:
            raise _refused(owner, "rows with several ones or none, as of several labels for a sample")
        sums = labels.double().sum(dim=1)
        if bool((labels >= 0).all()) and bool(torch.isclose(sums, torch.ones_like(sums), atol=1e-3).all()):
            raise _refused(owner, "rows that sum to 1, as of soft labels")
    if labels.dim() > 1:
        raise _refused(owner, f"rows of shape {tuple(labels.shape[1:])}")
    if labels.is_floating_point():
        odd = labels[~(labels == labels.round()) | labels.isinf()]
        if len(odd):
            raise _refused(owner, float(odd[0]))
    labels = labels.long()
    if len(labels) and int(labels.min()) < UNKNOWN:
        raise InputError(
            f"Expected the targets of {owner} to be class indices, one integer for each sample, or -1 where the class "
            f"is unknown, but got {int(labels.min())}."
        )
    return labels


def _of_names(
    of_names: list[list[str]], read: list[Tensor | list[str]], owner: str, names: Sequence[str] | None
) -> ClassIndices:
    spelled: dict[str, str] = {}  # Unicode may compose the same name in two ways
    for name in sorted({name for part in of_names for name in part if name}):
        spelled.setdefault(composed(name), name)
    classes = check_class_names(list(spelled.values())) if names is None else tuple(names)
    index_of = {composed(name): index for index, name in enumerate(classes)} | {"": UNKNOWN}
    unknown = [name for key, name in spelled.items() if key not in index_of]
    if unknown:
        raise InputError(f"Expected targets of {owner} to be among the names of its classes, but got `{unknown[0]}`.")
    targets = [torch.tensor([index_of[composed(str(name))] for name in part], dtype=torch.int64) for part in read]
    return ClassIndices(targets, classes, len(classes))


def _among(targets: list[Tensor], names: tuple[str, ...], owner: str) -> list[Tensor]:
    """Turns numbers into indices of these names."""
    found = torch.cat(targets).unique()
    if len(found) == 0 or int(found[-1]) < len(names):
        return targets
    numbers = [number for number in found.tolist() if number != UNKNOWN]
    if {str(number) for number in numbers} <= set(names):
        index_of = {number: names.index(str(number)) for number in numbers}
    elif len(numbers) == len(found) == len(names):
        index_of = {number: index for index, number in enumerate(numbers)}
    else:
        raise InputError(
            f"Expected the targets of {owner} to be class indices from 0 to {len(names) - 1}, for its {len(names)} "
            f"names of classes, but got {numbers[-1]}."
        )
    return [renumbered(part, index_of) for part in targets]


def renumbered(targets: Tensor, index_of: dict[int, int]) -> Tensor:
    """Turns numbers of classes into indices; unknown classes stay -1.

    Example:
        >>> renumbered(torch.tensor([5, -1, 3]), {3: 0, 5: 1})
        tensor([ 1, -1,  0])
    """
    numbers = torch.tensor([UNKNOWN, *sorted(index_of)])
    indices = torch.tensor([UNKNOWN, *(index_of[number] for number in sorted(index_of))])
    return indices[torch.searchsorted(numbers, targets)]


def _refused(owner: str, got: Any) -> InputError:
    if isinstance(got, Tensor | np.ndarray):
        text = f"{type(got).__name__} of shape {tuple(got.shape)}"
    else:
        text = got if isinstance(got, str) else short(got)
    return InputError(
        f"Expected the targets of {owner} to be class indices, one integer for each sample, but got {text}."
    )
