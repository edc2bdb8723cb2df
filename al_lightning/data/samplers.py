"""The samples that a loader reads: all samples of its dataset, or the ones that its sampler chooses."""

import warnings
from collections.abc import Iterable
from itertools import chain, islice
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from al_lightning.data.reading import num_samples
from al_lightning.errors import InputError
from al_lightning.random_streams import seeded


def chosen_indices(loader: DataLoader, name: str) -> list[int] | None:
    """The samples of its dataset that a loader reads, in ascending order.

    Args:
        loader: A loader of a map-style dataset. If its sampler gives the same part of the samples in each pass, it
            chooses this part. The order of a sampler is ignored, and so is a sampler that gives all samples.
        name: What the loader is called in messages.

    Returns:
        Indices of the chosen part; ``None`` for all samples.

    Raises:
        InputError: If the sampler gives something that is not the index of a sample.
    """
    batch_sampler: Any = loader.batch_sampler
    is_own = batch_sampler is not None and type(batch_sampler) is not BatchSampler
    sampler: Any = getattr(batch_sampler, "sampler", None) if type(batch_sampler) is BatchSampler else loader.sampler
    num = num_samples(loader.dataset)
    if not is_own:
        if isinstance(sampler, DistributedSampler):  # its shares for devices are replaced by this package's own
            return None
        if isinstance(sampler, SequentialSampler | RandomSampler) and len(sampler.data_source) == num:
            return None
        if type(sampler) is SubsetRandomSampler:
            return _checked([int(index) for index in sampler.indices], num, sampler, name)
        if type(sampler) is WeightedRandomSampler:
            _warn(sampler, name)
            kept = (torch.as_tensor(sampler.weights) > 0).nonzero().flatten().tolist()
            return None if len(kept) == num else _checked(kept, num, sampler, name)
    asked = batch_sampler if is_own else sampler
    given = [_given(asked, seed) for seed in (0, 1)]
    if not all(given) or set(given[0]) != set(given[1]):
        _warn(asked, name)
        return None
    if len(set(given[0])) < len(given[0]):
        _warn(asked, name)
    part = _checked(sorted(set(given[0])), num, asked, name)
    return None if len(part) == num else part


def subset(dataset: Dataset, indices: list[int] | None) -> Dataset:
    """The chosen samples of a dataset, or the dataset itself for ``None``."""
    return dataset if indices is None else Subset(dataset, indices)


def batch_size_of(loader: DataLoader) -> int | None:
    """Number of samples in a batch of this loader, if it is known."""
    size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None)
    return size if isinstance(size, int) and size > 0 else None


def _given(sampler: Any, seed: int) -> list[int]:
    """The indices of one pass; empty if the length of a pass is not known."""
    generator = getattr(sampler, "generator", None)
    state = generator.get_state() if isinstance(generator, torch.Generator) else None
    try:
        with seeded(seed):
            passed = list(islice(iter(sampler), len(sampler)))
    except (TypeError, NotImplementedError):
        return []
    finally:
        if isinstance(generator, torch.Generator) and state is not None:
            generator.set_state(state)
    parts = [part if isinstance(part, Iterable) else [part] for part in passed]  # batches, or single indices
    return [int(index) for index in chain.from_iterable(parts)]


def _checked(indices: list[int], num: int, sampler: Any, name: str) -> list[int]:
    odd = [index for index in indices if not 0 <= index < num]
    if odd or len(set(indices)) < len(indices) or not indices:
        got = f"{odd[0]}" if odd else "some of them twice" if indices else "none"
        raise InputError(
            f"Expected the sampler {type(sampler).__name__} of {name} to give distinct indices from 0 to {num - 1}, "
            f"but got {got}."
        )
    return indices


def _warn(sampler: Any, name: str) -> None:
    warnings.warn(
        f"The sampler {type(sampler).__name__} of {name} is not used: each sample is in the pool once, and a fit sees "
        "each labeled sample once in an epoch.",
        stacklevel=2,
    )
