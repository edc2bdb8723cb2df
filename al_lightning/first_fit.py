"""SharedFirstFit: runs with the same seed and training recipe differ in nothing before their first query: fit once."""

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor

from al_lightning.errors import InputError


@dataclass(frozen=True)
class FirstFit:
    """A fit of round 0, and what is known of it."""

    recipe: str
    """All that the fit depends on."""
    weights: dict[str, Tensor]
    epochs: int
    train_acc: float
    converged: bool
    seconds_fit: float


class SharedFirstFit:
    """A file that holds a first fit for all runs of a folder that share it.

    Args:
        folder: The shared folder; made if need be.
        name: Name of the file, without suffix.
        recipe: All that the fit depends on, as text.
    """

    def __init__(self, folder: Path, name: str, recipe: str) -> None:
        self._path = folder / f"{name}.pt"
        self._recipe = recipe

    @contextmanager
    def claim(self) -> Iterator[FirstFit | None]:
        """Gives the fit, or ``None`` to the one process that is to make and :meth:`save` it. The others wait for it.

        Raises:
            InputError: If the folder cannot be written, or the file is of another recipe or cannot be read.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._path.with_suffix(".lock"))
            lock.acquire()
        except OSError as error:
            raise InputError(
                f"Expected `loop.shared_dir` {self._path.parent} to be a writable folder, but got: {error.strerror}."
            ) from error
        try:
            yield self._load() if self._path.exists() else None
        finally:
            lock.release()

    def save(self, fit: FirstFit) -> None:
        """Writes the fit, whole or not at all."""
        new = self._path.with_suffix(".pt.new")
        torch.save(asdict(fit), new)
        os.replace(new, self._path)

    def _load(self) -> FirstFit:
        try:
            fit = FirstFit(**torch.load(self._path, weights_only=True))
        except (EOFError, KeyError, OSError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
            raise InputError(
                f"Expected {self._path} to be a first fit as it was saved, but it was edited or is torn; delete it."
            ) from error
        if fit.recipe != self._recipe:
            raise InputError(f"Expected {self._path} to be of this seed and training recipe, but it is of another.")
        return fit
