"""Oracle: the loop asks it for labels."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from al_lightning.data import PoolDataModule
from al_lightning.run_folder.folder import RunFolder
from al_lightning.run_folder.tables import Query


class Oracle(ABC):
    """Answers questions for labels, at once or later.

    An oracle that answers later publishes its questions, and the program ends. ``al-lightning label`` brings the
    answers into the run folder, and the next ``al-lightning fit`` continues the run.
    """

    @abstractmethod
    def initial(self, data: PoolDataModule, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Chooses the samples that round 0 trains on.

        Args:
            data: Training samples; nothing is labeled yet.
            generator: CPU generator of the draw.

        Returns:
            Two tensors of training-set indices, int64: samples that have labels, and samples that need an answer first.

        Raises:
            InputError: If the data do not suit the oracle.
        """

    @abstractmethod
    def answer(self, data: PoolDataModule, indices: Tensor) -> Tensor | None:
        """Returns the class indices of training samples, int64, shape ``(b,)``, or ``None`` if they come later."""

    @abstractmethod
    def publish(self, run_dir: Path, data: PoolDataModule, questions: Sequence[Query]) -> None:
        """Puts questions where people answer them.

        Questions that are there already stay, because they may have answers.
        """

    def next_step(self, run_dir: Path) -> str:
        """What people do next, for a message: where the questions are, and the command that takes in the answers."""
        return f"then: al-lightning label {run_dir} --import FILE"

    def collect(self, folder: RunFolder) -> None:  # noqa: B027  most oracles have nothing to collect
        """Takes answers that wait somewhere, before a run goes on. By default there are none.

        Args:
            folder: The folder of a run with open questions. :func:`~al_lightning.labeling.take_answers.take` takes
                answers into it.
        """
