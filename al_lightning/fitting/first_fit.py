"""SharedFirstFit: runs with the same seed and training recipe differ in nothing before their first query: fit once."""

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor

from al_lightning.errors import InputError
from al_lightning.run_folder.files import replace_file

DIGEST_SIZE = hashlib.sha256().digest_size


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

    It begins with the SHA-256 of the rest: torch would load weights from a damaged file without a word. As a fit can be
    made again, one that was damaged is.

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
            yield self._load()
        finally:
            lock.release()

    def save(self, fit: FirstFit) -> None:
        """Writes the fit, whole or not at all.

        Raises:
            InputError: If the disk is full or the folder cannot be written.
        """
        content = io.BytesIO()
        torch.save(asdict(fit), content)
        saved = content.getvalue()
        try:
            replace_file(self._path, hashlib.sha256(saved).digest() + saved)
        except OSError as error:
            raise InputError(f"Expected to write the shared fit {self._path}, but got: {error.strerror}.") from error

    def _load(self) -> FirstFit | None:
        if not self._path.exists():
            return None
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise InputError(f"Expected to read the shared fit {self._path}, but got: {error.strerror}.") from error
        saved = content[DIGEST_SIZE:]
        if hashlib.sha256(saved).digest() != content[:DIGEST_SIZE]:
            warnings.warn(f"{self._path} is not as it was saved: the fit is made again.", stacklevel=2)
            return None
        fit = FirstFit(**torch.load(io.BytesIO(saved), weights_only=True))
        if fit.recipe != self._recipe:
            raise InputError(f"Expected {self._path} to be of this seed and training recipe, but it is of another.")
        return fit
