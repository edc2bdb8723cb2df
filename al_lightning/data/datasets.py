"""Datasets that worker processes read sample by sample, for pools that do not fit in memory."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from al_lightning.data.alike import Part, check_alike
from al_lightning.data.class_lists import ClassList, check_class_lists
from al_lightning.data.collating import CollateFn, Collator
from al_lightning.data.disk_rows import DiskRows
from al_lightning.data.inputs import Inputs, take_rows
from al_lightning.data.items import ItemFormat, Key, is_same_class
from al_lightning.data.labels import class_indices
from al_lightning.data.reading import load_batches, num_samples, read_item
from al_lightning.data.targets import Labels, targets_of
from al_lightning.errors import InputError
from al_lightning.random_streams import seeded

__all__ = ["DatasetBlocks", "DatasetRows", "Datasets", "num_samples", "read", "targets_of"]

BLOCK_SIZE = 256


class DatasetBlocks:
    """Inputs of a dataset in order and in blocks. May be iterated any number of times.

    Args:
        dataset: Map-style.
        indices: Samples to read, int64, shape ``(M,)``; all of them if not given.
        block_size: Samples in a block; the last block may be shorter.
        num_workers: Processes that read ahead; 0 reads in this process.
        collator: Makes a block of the items. Without it, items must be inputs, or tuples that begin with an input.
    """

    def __init__(
        self,
        dataset: Dataset,
        indices: Tensor | None = None,
        block_size: int = BLOCK_SIZE,
        num_workers: int = 0,
        collator: Collator | None = None,
    ) -> None:
        self._collator = Collator.plain(dataset) if collator is None else collator
        self.is_ragged = self._collator.is_ragged
        """Whether blocks may be padded to different lengths."""
        self._dataset = dataset
        self._indices = torch.arange(num_samples(dataset)) if indices is None else indices
        self.block_size = block_size
        self._num_workers = num_workers

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[Inputs]:
        return self.shard(0, 1)

    def shard(self, rank: int, size: int) -> Iterator[Inputs]:
        """Every ``size``-th block, from the one numbered ``rank`` on; the others are not read."""
        batches = self._indices.split(self.block_size)[rank::size] if len(self) else ()
        return read(self._dataset, ((batch, None) for batch in batches), self._num_workers, self._collator)

    def whole_batches(self, targets: Sequence[Tensor]) -> Iterator[Any]:
        """Collated blocks, each with the given classes, int64, shape ``(b,)``."""
        batches = self._indices.split(self.block_size) if len(self) else ()
        asked = ((batch, None, of_batch) for batch, of_batch in zip(batches, targets, strict=True))
        return load_batches(_Batches(self._dataset, self._collator), asked, self._num_workers)


class DatasetRows:
    """Samples of a dataset by index.

    Args:
        train: The samples as they are trained on, see :class:`DatasetBlocks`. They may be augmented at random.
        pool: The same samples in the same order as they are scored.
        indices: Samples that are rows 0 to M - 1; all of them if not given.
        num_workers: Processes that read ahead.
        collators: Make batches of ``train`` and blocks of ``pool``; see :class:`DatasetBlocks`.
    """

    def __init__(
        self,
        train: Dataset,
        pool: Dataset,
        indices: Tensor | None = None,
        num_workers: int = 0,
        collators: tuple[Collator, Collator] | None = None,
    ) -> None:
        self._collators = (Collator.plain(train), Collator.plain(pool)) if collators is None else collators
        self._train = train
        self._pool = pool
        self._indices = torch.arange(num_samples(train)) if indices is None else indices
        self._num_workers = num_workers

    def __len__(self) -> int:
        return len(self._indices)

    def take(self, indices: Tensor) -> "DatasetRows":
        return DatasetRows(self._train, self._pool, self._indices[indices], self._num_workers, self._collators)

    def batches(self, order: Iterator[Tensor], generator: torch.Generator | None = None) -> Iterator[Inputs]:
        # Each batch has its own seed. So the result does not depend on the number of workers or on the worker that
        # reads it.
        first = int(torch.randint(2**62, (), generator=generator))
        numbered = ((self._indices[batch], first + number) for number, batch in enumerate(order))
        yield from read(self._train, numbered, self._num_workers, self._collators[0])

    def whole_batches(
        self, order: Iterator[tuple[Tensor, Tensor]], generator: torch.Generator | None = None
    ) -> Iterator[Any]:
        first = int(torch.randint(2**62, (), generator=generator))  # the same seeds as in `batches`
        asked = ((self._indices[batch], first + number, targets) for number, (batch, targets) in enumerate(order))
        yield from load_batches(_Batches(self._train, self._collators[0]), asked, self._num_workers)

    def blocks(self, indices: Tensor | None = None) -> DatasetBlocks:
        chosen = self._indices if indices is None else self._indices[indices]
        return DatasetBlocks(self._pool, chosen, num_workers=self._num_workers, collator=self._collators[1])


class Datasets:
    """A training and a test set that are read sample by sample; see :class:`~al_lightning.data.Arrays`.

    Args:
        train: Training samples as they are trained on, map-style. Items are inputs, or tuples or mappings that hold an
            input.
        test: Test samples.
        pool: The same samples in the same order, without random augmentations: strategies score these. By default
            ``train``.
        train_targets: Class indices, int64, shape ``(N,)``, -1 where unknown. By default found in ``train``.
        test_targets: Class indices, int64, shape ``(M,)``. By default found in ``test``.
        num_workers: Processes that read ahead; 0 reads in the main process.
        label_key: Which part of an item is the class, if this is not evident. Give a position in a tuple, from 0, or a
            key of a mapping.
        input_key: Which part of an item is the input, if this is not evident.
        collate_fn: Makes a batch of a list of items, like ``collate_fn`` of torch's DataLoader; see
            :class:`~al_lightning.data.collating.Collator`.
        pool_collate_fn: The same for ``pool``; ``collate_fn`` if not given.
        test_collate_fn: The same for ``test``; ``collate_fn`` if not given.
        class_names: Names of the classes in the order of their indices. By default the names that the items have,
            sorted.

    Raises:
        InputError: If ``pool`` has other samples than ``train``, or samples to score or to test are augmented at
            random. Also if targets are not class indices, or a sample is not a tensor.
    """

    def __init__(
        self,
        train: Dataset,
        test: Dataset,
        pool: Dataset | None = None,
        train_targets: Tensor | None = None,
        test_targets: Tensor | None = None,
        num_workers: int = 0,
        label_key: Key | None = None,
        input_key: Key | None = None,
        class_names: Sequence[str] | None = None,
        collate_fn: CollateFn | None = None,
        pool_collate_fn: CollateFn | None = None,
        test_collate_fn: CollateFn | None = None,
    ) -> None:
        self._train = train
        self._test = test
        self._pool = train if pool is None else pool
        self._num_workers = num_workers
        if num_samples(self._pool) != num_samples(train):
            raise InputError(
                f"Expected as many samples to score as to train on, {num_samples(train)}, "
                f"but got {num_samples(self._pool)}."
            )
        labels: list[Any] = [train_targets, test_targets]
        self.has_odd_attributes = False
        """Whether an attribute of the dataset and the items disagree on the classes."""
        formats: list[ItemFormat | None] = [None, None]
        lists: list[list[ClassList]] = []
        for i, (role, part) in enumerate((("training", train), ("test", test))):
            if labels[i] is None or collate_fn is not None:
                found = Labels(part, label_key, input_key)
                formats[i] = found.format
            if labels[i] is None:
                labels[i] = found.read(num_workers)
                self.has_odd_attributes |= found.differs
                lists.append([(f"{name} of the {role} part", names) for name, names in found.class_lists])
                if class_names is None and not found.differs:  # otherwise the names belong to other classes
                    class_names = found.class_names
        check_class_lists(lists)
        (self.train_targets, self.test_targets), names, _ = class_indices(labels, type(train).__name__, class_names)
        targets = (self.train_targets, self.test_targets)
        self.are_indices = all(is_same_class(*pair) for pair in zip(labels, targets, strict=True))
        """Whether the class indices equal the numbers in the items."""
        self.class_names = names
        """Names of the classes, if they were given or the items have names."""
        of_pool = formats[0]
        if of_pool is not None and pool is not None:
            of_pool = Labels(pool, label_key, input_key).format
        functions = [collate_fn if fn is None else fn for fn in (None, pool_collate_fn, test_collate_fn)]
        self._collators = [
            Collator.of(part, format, function, input_key, may_draw=number == 0)
            for number, (part, format, function) in enumerate(
                zip((train, self._pool, test), (formats[0], of_pool, formats[1]), functions, strict=True)
            )
        ]
        self.label_form = self._collators[0].label_form
        """Whether the classes of plain batches are floats, and whether they are a column."""
        parts = zip((train, self._pool, test), self._collators, (formats[0], of_pool, formats[1]), strict=True)
        check_alike(*(Part(*part) for part in parts))

    def rows(self) -> DatasetRows:
        """The training samples."""
        collators = self._collators[0], self._collators[1]
        return DatasetRows(self._train, self._pool, num_workers=self._num_workers, collators=collators)

    def test_blocks(self, indices: Tensor | None = None) -> DatasetBlocks:
        """The test samples, or the ones at these indices."""
        return DatasetBlocks(self._test, indices, num_workers=self._num_workers, collator=self._collators[2])


def read(
    dataset: Dataset,
    batches: Iterator[tuple[Tensor, int | None]],
    num_workers: int = 0,
    collator: Collator | None = None,
) -> Iterator[Inputs]:
    """Reads inputs batch by batch, in this process or ahead in others. It uses no random generator of this process.

    Args:
        dataset: Map-style.
        batches: Pairs: the indices of a batch, int64, shape ``(b,)``, and the seed of its random augmentations. The
            seed is ``None`` if the samples are not augmented.
        num_workers: Processes that read ahead.
        collator: Makes a block of the items, see :class:`DatasetBlocks`.

    Returns:
        Tensors of shape ``(b, ...)``, or another form of :data:`~al_lightning.data.inputs.Inputs`.

    Raises:
        InputError: If samples are not tensors of one shape, or if a sample cannot be read.
    """
    return load_batches(_Inputs(dataset, collator or Collator.plain(dataset)), batches, num_workers)


class _Inputs(Dataset):
    """Whole batches of inputs."""

    def __init__(self, dataset: Dataset, collator: Collator) -> None:
        self._dataset = dataset
        self._collator = collator

    def __getitem__(self, batch: tuple[Tensor, int | None]) -> Inputs:
        indices, seed = batch
        if len(indices) == 0:  # the pool is empty
            return take_rows(self[torch.tensor([0]), seed], slice(0))
        if isinstance(self._dataset, DiskRows):
            return self._dataset.take(indices)
        with nullcontext() if seed is None else seeded(seed):
            return self._collator.inputs([read_item(self._dataset, i) for i in indices.tolist()])


class _Batches(Dataset):
    """Whole collated batches, with classes."""

    def __init__(self, dataset: Dataset, collator: Collator) -> None:
        self._dataset = dataset
        self._collator = collator

    def __getitem__(self, batch: tuple[Tensor, int | None, Tensor]) -> Any:
        indices, seed, targets = batch
        if isinstance(self._dataset, DiskRows):
            return self._dataset.take(indices), targets
        with nullcontext() if seed is None else seeded(seed):
            return self._collator.batch([read_item(self._dataset, i) for i in indices.tolist()], targets)
