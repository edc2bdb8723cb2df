"""Known: what a query may know of its samples besides their inputs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from al_lightning.inference.blocks import Blocks

if TYPE_CHECKING:
    from al_lightning.data import PoolDataModule


@dataclass(frozen=True)
class Known:
    """What a query may know of its samples besides their inputs. No class of a sample of the pool is among it."""

    labeled_targets: Tensor | None = None
    """Class indices of the labeled samples, in their order, int64, shape ``(M,)``."""
    indices: Tensor | None = None
    """Training-set indices of the pool, int64, shape ``(N,)``."""
    labeled_indices: Tensor | None = None
    """Training-set indices of the labeled samples, int64, shape ``(M,)``."""
    blocks_at: Callable[[Tensor], Blocks] | None = None
    """Returns the inputs of the samples at training-set indices."""
    test_blocks: Callable[[], Blocks] | None = None
    """Returns the test inputs, without their classes."""

    @classmethod
    def of(cls, datamodule: "PoolDataModule") -> "Known":
        """Returns what the data know."""
        return cls(
            datamodule.labeled_targets,
            datamodule.unlabeled_indices,
            datamodule.labeled_indices,
            datamodule.train_blocks,
            datamodule.test_blocks,
        )
