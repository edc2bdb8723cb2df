"""Rows of a table in the order of a run that goes on, found by the names and digests of their samples."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from al_lightning.data.growth import TEST, Begun, Growth, KnownFile, place
from al_lightning.data.splits import draw_test_set


class ArrangedRows(NamedTuple):
    """The places of rows in a run."""

    names: list[str]
    """Name of each training sample, by index. A sample that is not there has its last name."""
    digests: list[str]
    rows: Tensor
    """Row of each training sample, by index, int64, shape ``(N,)``; -1 if the sample is not there."""
    test: Tensor
    """Rows of a drawn test set, int64."""
    growth: Growth


def arrange_named_rows(
    names: Sequence[str],
    digests: Sequence[str],
    targets: Tensor,
    begun: Begun | None,
    is_drawn: bool,
    test_fraction: float,
) -> ArrangedRows:
    """Divides rows with names into training and test samples, and gives training samples their indices.

    A run that goes on keeps its test set and the indices of its samples. New samples come after them.

    Args:
        names: Name of each row.
        digests: Digest of each row's content.
        targets: Class index of each row, int64, -1 where unknown.
        begun: What the run knows of its samples; ``None`` for a new run.
        is_drawn: Whether the test set is drawn from the rows.
        test_fraction: Share of the rows of known class that a new run tests on.
    """
    every = torch.arange(len(names))
    known = () if begun is None else begun.files
    if not known:
        train, test = draw_test_set(targets, test_fraction) if is_drawn else (every, every[:0])
        return ArrangedRows(_of(names, train), _of(digests, train), train, test, Growth())
    test = torch.tensor(place(known, names, digests).test if is_drawn else [], dtype=torch.int64)
    is_test = torch.isin(every, test)
    train = every[~is_test]
    # A drawn test set is not among the rows any more: a copy of a test sample is a sample of its own.
    known = tuple(sample for sample in known if sample.index != TEST or not is_drawn)
    placed = place(known, _of(names, train), _of(digests, train))
    found = torch.tensor(placed.found, dtype=torch.int64)
    rows = torch.where(found < 0, -1, train[found.clamp(min=0)]) if len(train) else found
    return ArrangedRows(placed.names, placed.digests, rows, test, placed.growth)


def arrange_rows(targets: Tensor, begun: Begun | None, is_drawn: bool, test_fraction: float) -> tuple[Tensor, Tensor]:
    """Divides rows without names into training and test rows. Rows of a run that goes on may be followed by new ones.

    Returns:
        The row of each training sample, by index, and the rows of a drawn test set, int64.
    """
    every = torch.arange(len(targets))
    if not is_drawn:
        return every, every[:0]
    num_first = len(targets) if begun is None else min(len(targets), begun.num_first + begun.num_test)
    train, test = draw_test_set(targets[:num_first], test_fraction)
    return torch.cat([train, every[num_first:]]), test


def known_rows(
    names: Sequence[str], digests: Sequence[str], is_there: Sequence[bool], test: Sequence[tuple[str, str]] = ()
) -> list[KnownFile]:
    """The samples of a run, those of a drawn test set first.

    Args:
        names: Name of each training sample, by index.
        digests: Their digests.
        is_there: Whether each is there.
        test: Name and digest of each sample of a drawn test set.
    """
    rows = [KnownFile(TEST, name, digest) for name, digest in test]
    return rows + [
        KnownFile(index, *of_sample) for index, of_sample in enumerate(zip(names, digests, is_there, strict=True))
    ]


def digest_of(text: str) -> str:
    """SHA-256 of a text, as hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def names_of_texts(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names and digests of samples that are texts."""
    digests = [digest_of(text) for text in texts]
    return [f"text {digest[:16]}" for digest in digests], digests


def _of(values: Sequence[str], rows: Tensor) -> list[str]:
    return [values[row] for row in rows.tolist()]
