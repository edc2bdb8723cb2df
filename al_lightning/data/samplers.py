"""Which samples of its dataset a loader gives: all of them, or those of a sampler that leaves some out."""

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
    """Which samples of its dataset a loader gives, whatever their order.

    Args:
        loader: Of a map-style dataset. Samplers that give all samples are not used here, and neither is the order of
            others; a sampler that gives the same part of the samples each time chooses this part.
        name: What the loader is called in messages.

    Returns:
        Indices of the part; ``None`` for all samples.

    Raises:
        InputError: If the sampler gives no index of a sample.
    """
    batch_sampler: Any = loader.batch_sampler
    is_own = batch_sampler is not None and type(batch_sampler) is not BatchSampler
    sampler: Any = getattr(batch_sampler, "sampler", None) if type(batch_sampler) is BatchSampler else loader.sampler
    num = num_samples(loader.dataset)
    if not is_own:
        if isinstance(sampler, DistributedSampler):  # a share for each device, which is made here
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
    """The chosen samples of a dataset; the dataset itself for ``None``."""
    return dataset if indices is None else Subset(dataset, indices)


def batch_size_of(loader: DataLoader) -> int | None:
    """Number of samples in its batches, if it can be known."""
    size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None)
    return size if isinstance(size, int) and size > 0 else None


def _given(sampler: Any, seed: int) -> list[int]:
    """The indices of one pass; none if it is not known how long a pass is."""
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
