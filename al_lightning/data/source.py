"""The training and test samples that a data module loads."""

from typing import Any, NamedTuple, Protocol

from torch import Tensor

from al_lightning.data.blocks import Blocks, Rows, TensorBlocks, TensorRows
from al_lightning.errors import InputError


class Source(Protocol):
    """Training and test samples: :class:`Arrays` in memory, or :class:`~al_lightning.data.Datasets`."""

    @property
    def train_targets(self) -> Tensor:
        """Class indices, int64, shape ``(N,)``, -1 where unknown."""

    @property
    def test_targets(self) -> Tensor:
        """Class indices of the test samples; there may be none."""

    def rows(self) -> Rows:
        """The training samples."""

    def test_blocks(self) -> Blocks:
        """The test samples."""


class Arrays(NamedTuple):
    """A data set in memory."""

    train_inputs: Tensor
    """Float, shape ``(N, ...)``."""
    train_targets: Tensor
    """Class indices, int64, shape ``(N,)``, -1 where unknown."""
    test_inputs: Tensor
    test_targets: Tensor

    def rows(self) -> TensorRows:
        """The training samples."""
        return TensorRows(self.train_inputs)

    def test_blocks(self) -> TensorBlocks:
        """The test samples."""
        return TensorBlocks(self.test_inputs)


def as_source(loaded: Any, name: str) -> Source:
    """Checks the result of :meth:`PoolDataModule.load`. A plain tuple of four parts becomes :class:`Arrays`.

    Raises:
        InputError: If the result has another type.
    """
    if type(loaded) in (tuple, list) and len(loaded) == len(Arrays._fields):
        return Arrays(*loaded)
    if not all(hasattr(loaded, part) for part in ("train_targets", "test_targets", "rows", "test_blocks")):
        got = f"{len(loaded)} parts" if isinstance(loaded, tuple | list) else type(loaded).__name__
        raise InputError(f"Expected `load` of {name} to return Arrays or Datasets, but got {got}.")
    return loaded
