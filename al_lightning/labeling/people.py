"""What all oracles share that ask people: where a run begins, and that answers come later."""

from abc import ABC

import torch
from torch import Tensor

from al_lightning.data import PoolDataModule
from al_lightning.errors import InputError
from al_lightning.labeling.filled_tables import take_tables
from al_lightning.labeling.oracle import Oracle
from al_lightning.run_folder.folder import RunFolder
from al_lightning.run_folder.tables import SKIP


class PeopleOracle(Oracle, ABC):
    """Asks people for labels. A run ends with each query, and goes on when the answers are there.

    Round 0 trains on the samples of known class. If there are none, the oracle first asks for ``data.num_initial``
    samples, which ``data.initial`` chooses, or for all if there are fewer.
    """

    def initial(self, data: PoolDataModule, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        name = f"`loop.oracle` {type(self).__name__}"
        if data.class_names is None:
            raise InputError(
                f"Expected names of the classes for {name}, so that people can choose among them, but "
                "the data have none; see `data.classes`."
            )
        if SKIP in {class_name.strip().lower() for class_name in data.class_names}:
            raise InputError(
                f"Expected another name for the class {SKIP}, because this word is the answer of people who leave a "
                "sample out; see `data.classes`."
            )
        known = (data.train_targets >= 0).nonzero().squeeze(1)
        if len(known) == len(data.train_targets):
            raise InputError(
                f"Expected samples without a class for {name} to ask about, but all "
                f"{len(known)} training samples have one."
            )
        if len(known):
            return known, known[:0]
        if data.initial == "balanced":
            raise InputError(
                "Expected `data.initial` to be random or a strategy where no class is known, but got balanced, which "
                "needs classes."
            )
        return known, data.draw_initial(generator, may_be_all=True)

    def answer(self, data: PoolDataModule, indices: Tensor) -> None:
        return None

    def collect(self, folder: RunFolder) -> None:
        """Takes the tables that people filled in, in the run folder."""
        take_tables(folder)
