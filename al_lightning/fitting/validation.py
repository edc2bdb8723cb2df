"""Keeps Lightning's validation from changing the training."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as L
import torch
from torch.utils.data import DataLoader

from al_lightning.random_streams import seeded


@contextmanager
def steady_validation(trainer: L.Trainer, seed: int) -> Iterator[None]:
    """Gives each validation during a fit its own random generators.

    A validation draws random numbers: a DataLoader for the seeds of its workers, a shuffle for its order, a
    ``validation_step`` for any purpose. After the validation, the generators are put back. So the fit makes the same
    updates as a fit without validation. Each validation of a run draws the same numbers. Lightning's sanity check
    before each fit is left out.

    Args:
        trainer: The trainer. Its fits within this context are meant.
        seed: Seed of all generators at the beginning of each validation.
    """
    # Lightning's `validate` has no hook before it creates the iterators of its loaders, which draws already.
    loop: Any = trainer.fit_loop.epoch_loop.val_loop
    run, sanity = loop.run, trainer.num_sanity_val_steps
    generators = _Generators()

    def run_with_own_generators() -> Any:
        with seeded(seed, with_gpus=True):
            loop.setup_data()
            generators.rewind(loop._combined_loader)
            return run()

    loop.run, trainer.num_sanity_val_steps = run_with_own_generators, 0
    try:
        with warnings.catch_warnings():
            # A user's data module may have validation loaders that the model does not need.
            warnings.filterwarnings("ignore", ".*but have no `validation_step`.*")
            # It may also have no validation loader, or none that works.
            warnings.filterwarnings("ignore", ".*Total length of `list` across ranks is zero.*")
            yield
    finally:
        del loop.run
        trainer.num_sanity_val_steps = sanity


class _Generators:
    """The loaders' own generators, each with the state in which it was first seen."""

    def __init__(self) -> None:
        self._first: list[tuple[torch.Generator, torch.Tensor]] = []

    def rewind(self, loaders: Any) -> None:
        for loader in [] if loaders is None else loaders.flattened:
            for generator in _generators_of(loader):
                for seen, state in self._first:
                    if seen is generator:
                        generator.set_state(state)
                        break
                else:
                    self._first.append((generator, generator.get_state()))


def _generators_of(loader: Any) -> list[torch.Generator]:
    if not isinstance(loader, DataLoader):
        return []
    batch_sampler = loader.batch_sampler
    owners = [loader, loader.sampler, batch_sampler, getattr(batch_sampler, "sampler", None)]
    found = [getattr(owner, "generator", None) for owner in owners]
    return [generator for generator in found if isinstance(generator, torch.Generator)]
