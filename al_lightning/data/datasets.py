"""Datasets that are read sample by sample, from disk for instance, by worker processes: pools larger than memory."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from al_lightning.data.items import Key
from al_lightning.data.labels import class_indices
from al_lightning.data.reading import load_batches, num_samples, read_item, seeded
from al_lightning.data.targets import Labels, targets_of
from al_lightning.errors import InputError

__all__ = ["DatasetBlocks", "DatasetRows", "Datasets", "num_samples", "read", "targets_of"]

BLOCK_SIZE = 256
NUM_TRIES = 8  # of whether a sample is augmented: half of them may be mirrored, or not


class DatasetBlocks:
    """Inputs of a dataset in order and in blocks. May be iterated any number of times.

    Args:
        dataset: Map-style; its items are inputs or tuples that begin with them, tensors of one shape.
        indices: Samples to read, int64, shape ``(M,)``; all of them if not given.
        block_size: Samples in a block; the last block may be shorter.
        num_workers: Processes that read ahead; 0 reads in this process.
    """

    def __init__(
        self, dataset: Dataset, indices: Tensor | None = None, block_size: int = BLOCK_SIZE, num_workers: int = 0
    ) -> None:
        self._dataset = dataset
        self._indices = torch.arange(num_samples(dataset)) if indices is None else indices
        self.block_size = block_size
        self._num_workers = num_workers

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[Tensor]:
        return self.shard(0, 1)

    def shard(self, rank: int, size: int) -> Iterator[Tensor]:
        """Every ``size``-th block, from the one numbered ``rank`` on; the others are not read."""
        batches = self._indices.split(self.block_size)[rank::size] if len(self) else ()
        return read(self._dataset, ((batch, None) for batch in batches), self._num_workers)


class DatasetRows:
    """Samples of a dataset by index.

    Args:
        train: As they are trained on, as of :class:`DatasetBlocks`; may be augmented at random.
        pool: The same samples in the same order as they are scored.
        indices: Which of them are rows 0 to M - 1; all of them if not given.
        num_workers: Processes that read ahead.
    """

    def __init__(self, train: Dataset, pool: Dataset, indices: Tensor | None = None, num_workers: int = 0) -> None:
        self._train = train
        self._pool = pool
        self._indices = torch.arange(num_samples(train)) if indices is None else indices
        self._num_workers = num_workers

    def __len__(self) -> int:
        return len(self._indices)

    def take(self, indices: Tensor) -> "DatasetRows":
        return DatasetRows(self._train, self._pool, self._indices[indices], self._num_workers)

    def batches(self, order: Iterator[Tensor], generator: torch.Generator | None = None) -> Iterator[Tensor]:
        # a seed for each batch: then the number of workers, and which of them reads it, do not matter
        first = int(torch.randint(2**62, (), generator=generator))
        numbered = ((self._indices[batch], first + number) for number, batch in enumerate(order))
        yield from read(self._train, numbered, self._num_workers)

    def blocks(self, indices: Tensor | None = None) -> DatasetBlocks:
        return DatasetBlocks(
            self._pool, self._indices if indices is None else self._indices[indices], num_workers=self._num_workers
        )


class Datasets:
    """A training and a test set that are read sample by sample; see :class:`~al_lightning.data.Arrays`.

    Args:
        train: Training samples as they are trained on, map-style; items are inputs, or tuples or mappings that hold
            them.
        test: Test samples.
        pool: The same samples as ``train``, in the same order, as they are scored: without random augmentations. These
            are ``train`` if not given.
        train_targets: Class indices, int64, shape ``(N,)``, -1 where unknown; found in ``train`` if not given.
        test_targets: Likewise.
        num_workers: Processes that read ahead; 0 reads in the main process.
        label_key: Which part of an item is the class, if that cannot be seen: a position in a tuple, from 0, or a key
            of a mapping.
        input_key: Which part of an item is the input, if that cannot be seen.
        class_names: Names of the classes in the order of their indices, if items have names; sorted if not given.

    Raises:
        InputError: If ``pool`` is of another size or augmented at random, targets are not class indices, or a sample is
            not a tensor.
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
        self._check_scoring()
        labels: list[Any] = [train_targets, test_targets]
        self.has_odd_attributes = False
        """Whether an attribute says something else of the classes than the items do."""
        for i, part in enumerate((train, test)):
            if labels[i] is None:
                found = Labels(part, label_key, input_key)
                labels[i] = found.read(num_workers)
                self.has_odd_attributes |= found.differs
                if class_names is None:
                    class_names = found.class_names
        (self.train_targets, self.test_targets), names, _ = class_indices(labels, type(train).__name__, class_names)
        self.class_names = names
        """What the classes are called, if that was given or items have names."""

    def _check_scoring(self) -> None:
        """Raises :class:`InputError` if a sample is not the same each time it is scored."""
        if num_samples(self._pool) == 0:
            return
        first, *others = read(self._pool, ((torch.tensor([0]), seed) for seed in range(NUM_TRIES)))
        if not all(other.allclose(first, rtol=0, atol=0, equal_nan=True) for other in others):
            raise InputError(
                f"Expected samples of {type(self._pool).__name__} to be the same each time they are scored, but they "
                "are augmented at random; give them without that, too: `pool`, or `pool_dataloader` of a data module."
            )

    def rows(self) -> DatasetRows:
        """The training samples."""
        return DatasetRows(self._train, self._pool, num_workers=self._num_workers)

    def test_blocks(self, indices: Tensor | None = None) -> DatasetBlocks:
        """The test samples, or those of these indices."""
        return DatasetBlocks(self._test, indices, num_workers=self._num_workers)


def read(dataset: Dataset, batches: Iterator[tuple[Tensor, int | None]], num_workers: int = 0) -> Iterator[Tensor]:
    """Reads inputs, batch by batch, in this process or ahead in others; no random generator of this process is used.

    Args:
        dataset: Map-style.
        batches: Indices of each batch, int64, shape ``(b,)``, and the seed of its random augmentations, ``None`` for
            samples that have none.
        num_workers: Processes that read ahead.

    Returns:
        Tensors of shape ``(b, ...)``.

    Raises:
        InputError: If samples are no tensors of one shape, or reading one raises it.
    """
    return load_batches(_Inputs(dataset), batches, num_workers)


class _Inputs(Dataset):
    """Whole batches of inputs."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __getitem__(self, batch: tuple[Tensor, int | None]) -> Tensor:
        indices, seed = batch
        if seed is None:
            items = [read_item(self._dataset, i) for i in indices.tolist()]
        else:
            with seeded(seed):
                items = [read_item(self._dataset, i) for i in indices.tolist()]
        inputs = [item[0] if isinstance(item, tuple | list) else item for item in items]
        name = type(self._dataset).__name__
        for value in inputs:
            if not isinstance(value, Tensor):
                raise InputError(
                    f"Expected samples of {name} to be tensors, but got {type(value).__name__}; "
                    "give it a transform that makes them, such as torchvision.transforms.ToTensor."
                )
            if value.shape != inputs[0].shape:
                raise InputError(
                    f"Expected samples of {name} of one shape, but got {tuple(inputs[0].shape)} and "
                    f"{tuple(value.shape)}; give it a transform that resizes them."
                )
        if not inputs:  # of an empty pool
            return torch.empty(0, *self[torch.tensor([0]), seed].shape[1:])
        stacked = torch.stack(inputs)
        return stacked if stacked.is_floating_point() else stacked.float()
