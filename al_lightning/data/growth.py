"""Growth: how the samples of a data set differ from the samples that a run knows.

A run refers to samples by training-set indices. These indices are permanent: a sample that leaves the data set keeps
its index, and a new sample gets the next one.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

TEST = -1
"""Index of a sample that was drawn for the test set."""
END = 2**16  # bytes of the beginning and of the end of a file that its digest covers


@dataclass(frozen=True)
class KnownFile:
    """A sample of a run that has a file of its own."""

    index: int
    """Training-set index, or :data:`TEST`."""
    file: str
    """Path relative to the folder of the data, with slashes."""
    digest: str
    """See :func:`file_digest`."""
    is_there: bool = True
    """Whether the file was there when the run looked last."""


@dataclass(frozen=True)
class Begun:
    """What a run knows of its samples, see :meth:`~al_lightning.data.PoolDataModule.arrange`."""

    samples: str
    """Fingerprint of the samples, see :meth:`~al_lightning.data.PoolDataModule.fingerprint`."""
    num_known: int
    """Number of training samples that the fingerprints of the run cover."""
    num_first: int
    """Number of training samples when the run began."""
    num_test: int
    """Number of test samples."""
    num_initial: int = 0
    """Number of samples that round 0 trained on."""
    has_begun: bool = True
    """Whether the run has labels or open questions."""
    content: str | None = None
    """Exact digest of the samples, see :meth:`~al_lightning.data.PoolDataModule.content`."""
    files: tuple[KnownFile, ...] = ()
    """All samples, by index, if they have files of their own and the run keeps a list of them."""
    initial: tuple[int, ...] = ()
    """Training-set indices of the samples that round 0 trained on, in the order of queries.csv."""


@dataclass(frozen=True)
class Growth:
    """The samples that joined, left or changed, by training-set index."""

    new: Sequence[int] = ()
    left: Sequence[int] = ()
    changed: Sequence[int] = ()
    """Files with another content than before."""
    renamed: Mapping[int, str] = field(default_factory=dict)
    """Files with another name than before, with their earlier name."""

    def __bool__(self) -> bool:
        return bool(self.new or self.left or self.changed or self.renamed)


class Placed(NamedTuple):
    """The places of files among the samples of a run."""

    names: list[str]
    """Name of each training sample, by index. A sample that is not there has its last name."""
    digests: list[str]
    found: list[int]
    """Position of each training sample among the files that were found; -1 if it is not there."""
    test: list[int]
    """Positions of the test samples among the files that were found, in their order."""
    growth: Growth


def place(known: Sequence[KnownFile], names: Sequence[str], digests: Sequence[str]) -> Placed:
    """Finds the samples of a run among files.

    A file is a known sample if its name and its content agree; if its content agrees, because it was renamed; or if its
    name agrees, because its content changed. All other files are new samples.

    Args:
        known: The samples of the run, training samples by index without gaps.
        names: Paths of the files relative to the folder of the data, in the order in which new ones join.
        digests: Their digests.

    Example:
        >>> run = [KnownFile(0, "a.png", "A"), KnownFile(1, "b.png", "B"), KnownFile(2, "c.png", "C")]
        >>> placed = place(run, ["a.png", "d.png", "x.png"], ["A", "C", "X"])
        >>> placed.found, placed.growth
        ([0, -1, 1, 2], Growth(new=[3], left=[1], changed=[], renamed={2: 'c.png'}))
    """
    free = dict(enumerate(zip(names, digests, strict=True)))
    found: dict[int, int] = {}  # row of `known` -> position among the files

    def match(rows: Sequence[int], of_row: Mapping[int, object], of_file: Mapping[int, object]) -> None:
        """Pairs rows and files with equal keys, in order."""
        files: dict[object, list[int]] = {}
        for position in free:
            files.setdefault(of_file[position], []).append(position)
        for row in rows:
            if row not in found and files.get(of_row[row]):
                found[row] = files[of_row[row]].pop(0)
                del free[found[row]]

    there = [row for row, sample in enumerate(known) if sample.is_there]
    everything = range(len(known))
    keys = (
        lambda name, digest: (name, digest),
        lambda name, digest: (PurePosixPath(name).name, digest),
        lambda name, digest: digest,
        lambda name, digest: name,
    )
    for number, key in enumerate(keys):
        of_row = {row: key(sample.file, sample.digest) for row, sample in enumerate(known)}
        of_file = {position: key(name, digest) for position, (name, digest) in free.items()}
        match(there, of_row, of_file)
        if number < len(keys) - 1:  # a sample that left comes back only with its content
            match(everything, of_row, of_file)
    return _placed(known, names, digests, found, sorted(free))


def _placed(
    known: Sequence[KnownFile], names: Sequence[str], digests: Sequence[str], found: Mapping[int, int], new: list[int]
) -> Placed:
    training = [row for row, sample in enumerate(known) if sample.index != TEST]
    found_at = [found.get(row, -1) for row in training]
    joined: list[int] = []
    left: list[int] = []
    changed: list[int] = []
    renamed: dict[int, str] = {}
    all_names, all_digests = [], []
    for index, (row, position) in enumerate(zip(training, found_at, strict=True)):
        sample = known[row]
        is_there = position >= 0
        all_names.append(names[position] if is_there else sample.file)
        all_digests.append(digests[position] if is_there else sample.digest)
        if is_there != sample.is_there:
            (joined if is_there else left).append(index)
        elif is_there and digests[position] != sample.digest:
            changed.append(index)
        elif is_there and names[position] != sample.file:
            renamed[index] = sample.file
    joined += range(len(training), len(training) + len(new))
    return Placed(
        all_names + [names[position] for position in new],
        all_digests + [digests[position] for position in new],
        found_at + new,
        [found[row] for row, sample in enumerate(known) if sample.index == TEST and row in found],
        Growth(joined, left, changed, renamed),
    )


def file_digest(path: Path) -> str:
    """Digest of a file's size, beginning and end: 64 KiB of each, so that a large folder is read fast."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(f"{size} ".encode())
        digest.update(file.read(END))
        if size > END:
            file.seek(max(END, size - END))
            digest.update(file.read(END))
    return digest.hexdigest()


def relative_name(path: Path, root: Path) -> str:
    """Path of a file relative to the folder of the data, with slashes, as a table can hold it."""
    path = path.relative_to(root) if path.is_relative_to(root) else path
    return path.as_posix().encode("utf-8", "backslashreplace").decode()
