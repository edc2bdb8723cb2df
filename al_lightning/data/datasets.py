"""Datasets that are read sample by sample, from disk for instance, by worker processes: pools larger than memory."""

import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset

from al_lightning.errors import InputError

BLOCK_SIZE = 256
NUM_TRIES = 8  # of whether a sample is augmented: half of them may be mirrored, or not
TARGET_NAMES = ("targets", "labels", "_labels")  # of torchvision's data sets


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
        train: Training samples as they are trained on, map-style; items are inputs, or tuples that begin with them.
        test: Test samples.
        pool: The same samples as ``train``, in the same order, as they are scored: without random augmentations. These
            are ``train`` if not given.
        train_targets: Class indices, int64, shape ``(N,)``, -1 where unknown; found in ``train`` if not given.
        test_targets: Likewise.
        num_workers: Processes that read ahead; 0 reads in the main process.

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
        self.train_targets = targets_of(train, num_workers) if train_targets is None else train_targets
        self.test_targets = targets_of(test, num_workers) if test_targets is None else test_targets

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

    def test_blocks(self) -> DatasetBlocks:
        """The test samples."""
        return DatasetBlocks(self._test, num_workers=self._num_workers)


def num_samples(dataset: Dataset) -> int:
    """Number of samples of a map-style dataset.

    Raises:
        InputError: If it is none.
    """
    try:
        return len(dataset)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(
            f"Expected a map-style dataset, with `__len__` and `__getitem__`, but got {type(dataset).__name__}."
        ) from None


def targets_of(dataset: Dataset, num_workers: int = 0) -> Tensor:
    """Class indices of a dataset's samples, read from what it knows of them, or else from each sample.

    Args:
        dataset: Map-style. Its attribute ``targets`` or ``labels`` is used if there is one, also through ``Subset`` and
            ``ConcatDataset``; otherwise all samples are read once.
        num_workers: Processes that read them.

    Returns:
        Tensor of shape ``(N,)``, int64.

    Raises:
        InputError: If they are not class indices.

    Example:
        >>> data = TensorDataset(torch.zeros(3, 2), torch.tensor([2, 0, 1]))
        >>> targets_of(Subset(data, [2, 0]))
        tensor([1, 2])
    """
    found = _known_targets(dataset)
    if found is None:
        batches = torch.arange(num_samples(dataset)).split(BLOCK_SIZE) if num_samples(dataset) else ()
        found = [t for batch in _load(_Targets(dataset), iter(batches), num_workers) for t in batch]
    if len(found) == 0:
        return torch.empty(0, dtype=torch.int64)
    try:
        targets = torch.as_tensor(np.asarray(found))
    except (TypeError, ValueError):  # of names, or of tensors of several values
        targets = torch.empty(0)
    if targets.dim() != 1 or targets.is_floating_point() or targets.is_complex() or int(targets.min()) < -1:
        raise InputError(
            f"Expected the targets of {type(dataset).__name__} to be class indices, one integer for each sample, "
            f"but got {_short(found[0])} for the first."
        )
    return targets.long()


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
    return _load(_Inputs(dataset), batches, num_workers)


def _load(dataset: Dataset, batches: Iterator[Any], num_workers: int) -> Iterator[Any]:
    # a sampler whose samples are whole batches: torch then passes each on to the dataset as it is
    loader: DataLoader = DataLoader(
        dataset,
        batch_size=None,
        sampler=_Once(batches),
        num_workers=num_workers,
        worker_init_fn=_leave_signals_to_the_main_process,
        generator=torch.Generator(),  # otherwise torch's global one, which training uses
    )
    reader = iter(loader)
    try:
        yield from reader
    except InputError as error:
        raise InputError(str(error).rsplit("InputError: ", 1)[-1].strip()) from error  # of a worker: with its traceback
    finally:
        if hasattr(reader, "_shutdown_workers"):  # or it ends them when it is forgotten, which may be at exit
            reader._shutdown_workers()


class _Once:
    """A sampler of torch's DataLoader that is gone over once."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        return self._batches


class _Inputs(Dataset):
    """Whole batches of inputs."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __getitem__(self, batch: tuple[Tensor, int | None]) -> Tensor:
        indices, seed = batch
        if seed is None:
            items = [self._item(i) for i in indices.tolist()]
        else:
            with _seeded(seed):
                items = [self._item(i) for i in indices.tolist()]
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

    def _item(self, index: int) -> Any:
        try:
            return self._dataset[index]
        except InputError:
            raise
        except Exception as error:  # whatever a dataset of somebody else's runs into
            name, text = type(self._dataset).__name__, " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(f"Expected {name} to have sample {index}, but got {text}.") from error


class _Targets(Dataset):
    """Whole batches of targets."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __getitem__(self, indices: Tensor) -> list[Any]:
        targets = []
        for i in indices.tolist():
            item = self._dataset[i]
            if not isinstance(item, tuple | list) or len(item) < 2:
                raise InputError(
                    f"Expected samples of {type(self._dataset).__name__} to be pairs of input and target, "
                    f"but got {type(item).__name__}."
                )
            targets.append(item[1].item() if isinstance(item[1], Tensor) and item[1].numel() == 1 else item[1])
        return targets


def _known_targets(dataset: Any) -> Sequence[Any] | None:
    """What a dataset says of its targets, without reading a sample; ``None`` if it says nothing."""
    if isinstance(dataset, Subset):
        known = _known_targets(dataset.dataset)
        return None if known is None else [known[i] for i in dataset.indices]
    if isinstance(dataset, ConcatDataset):
        parts = [_known_targets(part) for part in dataset.datasets]
        return None if any(part is None for part in parts) else [t for part in parts for t in part or ()]
    if isinstance(dataset, TensorDataset) and len(dataset.tensors) > 1:
        return dataset.tensors[1].tolist()
    if getattr(dataset, "target_transform", None) is not None:  # what it knows is not what it gives
        return None
    for name in TARGET_NAMES:
        known = getattr(dataset, name, None)
        if isinstance(known, Sequence | np.ndarray | Tensor) and len(known) == num_samples(dataset):
            return known.tolist() if isinstance(known, np.ndarray | Tensor) else known
    return None


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds the global generators that augmentations use, and puts them back."""
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        random.setstate(before[1])
        np.random.set_state(before[2])


def _leave_signals_to_the_main_process(worker: int) -> None:
    """A worker that is stopped by Ctrl-C on its own would fill the screen; the main process ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _short(value: Any) -> str:
    return repr(value) if len(repr(value)) < 60 else type(value).__name__
