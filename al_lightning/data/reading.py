"""Reads items of a map-style dataset, in this process or ahead in others, without changing its random generators."""

import random
import signal
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from al_lightning.errors import InputError
from al_lightning.random_streams import seeded

NUM_SAMPLED = 64
"""Number of items to check if reading all of them would take too long."""


def num_samples(dataset: Dataset) -> int:
    """Number of samples of a map-style dataset.

    Raises:
        InputError: If the dataset is not map-style.
    """
    try:
        if isinstance(dataset, IterableDataset):  # may have a length, but has no items
            raise TypeError
        return len(dataset)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):
        raise InputError(
            f"Expected a map-style dataset, with `__len__` and `__getitem__`, but got {type(dataset).__name__}."
        ) from None


def sampled_positions(num: int, most: int = NUM_SAMPLED) -> list[int]:
    """Fixed positions of a few items: the first, the last, and some between them.

    Args:
        num: Number of items.
        most: Largest number of positions.

    Returns:
        Ascending positions, all of them if there are at most ``most``.

    Example:
        >>> sampled_positions(3)
        [0, 1, 2]
        >>> positions = sampled_positions(1000, 10)
        >>> positions[0], positions[-1], len(positions)
        (0, 999, 10)
    """
    if num <= most:
        return list(range(num))
    drawn = random.Random(0).sample(range(1, num - 1), max(0, most - 2))
    return sorted({0, num - 1, *drawn})


def read_items(dataset: Dataset, positions: list[int], seed: int = 0) -> list[Any]:
    """Reads items in this process; the global random generators are left as they were.

    Args:
        dataset: Map-style.
        positions: Which items.
        seed: Seed of the global generators while the items are read.

    Raises:
        InputError: If an item cannot be read.
    """
    with seeded(seed):
        return [read_item(dataset, position) for position in positions]


def read_item(dataset: Dataset, position: int) -> Any:
    """Reads one item.

    Raises:
        InputError: If the dataset raises any error.
    """
    try:
        return dataset[position]
    except InputError:
        raise
    except Exception as error:  # a user's dataset may raise anything
        name, text = type(dataset).__name__, " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"Expected {name} to have sample {position}, but got {text}.") from error


def load_batches(dataset: Dataset, batches: Iterator[Any], num_workers: int) -> Iterator[Any]:
    """Calls ``dataset.__getitem__`` with each element of a sequence, in this process or ahead in others.

    Args:
        dataset: Makes a whole batch of each element.
        batches: The elements.
        num_workers: Processes that read ahead; 0 reads in this process.
    """
    if num_workers == 0:
        yield from (dataset[batch] for batch in batches)
        return
    # Each element is a sample of this sampler, so torch passes it to the dataset unchanged.
    loader: DataLoader = DataLoader(
        dataset,
        batch_size=None,
        sampler=_Once(batches),
        num_workers=num_workers,
        worker_init_fn=_leave_signals_to_the_main_process,
        generator=torch.Generator(),  # otherwise it would use torch's global generator, like training
        collate_fn=_as_it_is,  # otherwise tuples would become lists
    )
    reader = iter(loader)
    try:
        yield from reader
    except InputError as error:
        raise InputError(str(error).rsplit("InputError: ", 1)[-1].strip()) from error  # without a worker's traceback
    finally:
        # Otherwise workers end when the reader is deleted, maybe only at exit.
        reader._shutdown_workers()  # type: ignore[attr-defined]


def short(value: Any) -> str:
    """A value for a message, or its type if the value is long."""
    return repr(value) if len(repr(value)) < 60 else type(value).__name__


def _as_it_is(batch: Any) -> Any:
    return batch


class _Once:
    """A sampler of torch's DataLoader that can be iterated once."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        return self._batches


def _leave_signals_to_the_main_process(worker: int) -> None:
    """Lets a worker ignore Ctrl-C, because its traceback would fill the screen. The main process ends the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
