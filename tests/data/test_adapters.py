"""Datasets and data modules that the user has already."""

from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from al_lightning import ActiveLearningLoop, Convergence, DataModuleAdapter, DatasetPool, Margin
from al_lightning.errors import InputError
from tests.digits import DigitsMLP
from tests.helpers import digits


def train_set(scale: float = 1.0) -> TensorDataset:
    return TensorDataset(scale * digits().train_inputs[:300], digits().train_targets[:300])


def test_set() -> TensorDataset:
    return TensorDataset(digits().test_inputs, digits().test_targets)


test_set.__test__ = False  # type: ignore[attr-defined]


class Plain(L.LightningDataModule):
    """A data module as users write them."""

    def __init__(self, batch_size: int = 10) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.stages: list[str] = []

    def prepare_data(self) -> None:
        self.stages.append("prepare")

    def setup(self, stage: str) -> None:
        self.stages.append(stage)
        self.train, self.test = train_set(), test_set()

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test, 100)


class WithPool(Plain):
    def train_dataloader(self) -> DataLoader:
        return DataLoader(train_set(-1.0), 10, shuffle=True)  # "augmented"

    def pool_dataloader(self) -> DataLoader:
        return DataLoader(train_set(), 100)


class OnlyValidation(Plain):
    test_dataloader = L.LightningDataModule.test_dataloader

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.test, 100)


def test_a_data_module_is_asked_for_its_datasets() -> None:
    theirs = Plain()
    data = DataModuleAdapter(theirs, num_initial=20)
    data.prepare_data()
    assert data.train_targets.equal(digits().train_targets[:300])
    assert data.test_targets.equal(digits().test_targets)
    assert torch.cat(list(data.pool_blocks())).equal(digits().train_inputs[:300])
    assert theirs.stages == ["prepare", "fit", "test"]
    assert data.batch_size == 10
    assert DataModuleAdapter(Plain(), batch_size=7).batch_size == 7


def test_scoring_takes_the_pool_loader_if_there_is_one() -> None:
    data = DataModuleAdapter(WithPool())
    data.set_labeled(torch.tensor([5]))
    assert data.inputs_at(torch.tensor([5])).equal(digits().train_inputs[[5]])
    assert next(iter(data.train_dataloader()))[0].equal(-digits().train_inputs[[5]])


def test_a_validation_set_does_for_a_test_set() -> None:
    assert DataModuleAdapter(OnlyValidation()).test_targets.equal(digits().test_targets)


class NoTraining(Plain):
    train_dataloader = L.LightningDataModule.train_dataloader


class Stream(IterableDataset):
    def __iter__(self):
        return iter([])


class Iterable(Plain):
    def train_dataloader(self) -> DataLoader:
        return DataLoader(Stream())


class Several(Plain):
    def test_dataloader(self):
        return [DataLoader(self.test), DataLoader(self.test)]


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (NoTraining(), "Expected NoTraining to have `train_dataloader`"),
        (Iterable(), "Expected a map-style dataset"),
        (Several(), "Expected Several.test_dataloader to return one loader of a map-style dataset, but got list"),
    ],
)
def test_data_modules_that_cannot_be_used_are_refused(theirs: Plain, words: str) -> None:
    with pytest.raises(InputError, match=words):
        DataModuleAdapter(theirs).setup()


@pytest.mark.parametrize("kind", ["datasets", "module"])
def test_a_run_on_others_data_is_that_on_ours(tmp_path: Path, kind: str) -> None:
    def run(data, name: str) -> str:
        loop = ActiveLearningLoop(Margin(), query_size=10, num_rounds=2, run_dir=str(tmp_path / name))
        trainer = L.Trainer(
            max_epochs=3,
            callbacks=[loop, Convergence()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
        )
        loop.run(trainer, DigitsMLP(), data)
        return (tmp_path / name / "queries.csv").read_text()

    theirs = (
        DatasetPool(train_set(), test_set(), num_initial=30, num_workers=1)
        if kind == "datasets"
        else DataModuleAdapter(Plain(64), num_initial=30)
    )
    assert run(theirs, "theirs") == run(DatasetPool(train_set(), test_set(), num_initial=30), "ours")
