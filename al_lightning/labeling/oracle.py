"""Oracle: whom the loop asks for labels."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from al_lightning.data import PoolDataModule
from al_lightning.run_folder.tables import Query


class Oracle(ABC):
    """Knows labels, at once or later.

    An oracle that answers later publishes its questions, and the program ends; the answers come into the run folder by
    ``al-lightning label``, and the next ``al-lightning fit`` goes on.
    """

    @abstractmethod
    def initial(self, data: PoolDataModule, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Chooses what round 0 trains on.

        Args:
            data: Training samples; nothing is labeled yet.
            generator: CPU generator of the draw.

        Returns:
            Training-set indices, int64, of samples whose labels are there, and of those that have to be asked for.

        Raises:
            InputError: If the data do not go with the oracle.
        """

    @abstractmethod
    def answer(self, data: PoolDataModule, indices: Tensor) -> Tensor | None:
        """Returns the class indices of training samples, int64, shape ``(b,)``, or ``None`` if they come later."""

    @abstractmethod
    def publish(self, run_dir: Path, data: PoolDataModule, questions: Sequence[Query]) -> None:
        """Puts questions where they are answered; if they are there already, with answers perhaps, leaves them."""
