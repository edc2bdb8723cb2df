"""Validation during fits: it is Lightning's, and it changes nothing that is trained."""

import random
from pathlib import Path

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from pandas import read_csv
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from al_lightning import ActiveLearningLoop, DataModuleAdapter, Margin
from al_lightning.data.datamodule import PoolDataModule
from tests.digits import FlatDigits
from tests.helpers import digits

NUM = 90


def val_set(start: int = 0) -> TensorDataset:
    return TensorDataset(*(part[start : start + NUM] for part in digits()[2:]))


class WithVal(FlatDigits):
    """A loader that draws: an order, by torch's global generator or its own, and the seeds of workers."""

    def __init__(self, generator: torch.Generator | None = None, several: bool = False) -> None:
        super().__init__(num_initial=30)
        self.generator, self.several = generator, several

    no_settings = ("generator", "several")

    def val_dataloader(self):
        loader = DataLoader(val_set(), 40, shuffle=True, generator=self.generator)
        return [loader, DataLoader(val_set(NUM), 40)] if self.several else loader


class Net(L.LightningModule):
    def __init__(self, every: int = 1) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10))
        self.plateau, self.every = False, every
        self.seen: list[float] = []

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, index):
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        if not self.plateau:
            return optimizer
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.1, threshold=0.5)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss", "frequency": self.every},
        }


class Validated(Net):
    def validation_step(self, batch, index, dataloader_idx=0):
        noise = float(torch.rand(())) + random.random() + np.random.rand()
        self.log("val_noise", noise)
        self.log("val_loss", F.cross_entropy(self(batch[0]), batch[1]))
        self.seen.append(float(batch[1].sum()))


class WithSteps(Validated):
    def configure_optimizers(self):
        self.plateau = True
        return super().configure_optimizers()


def run(folder: Path, model: L.LightningModule, data: PoolDataModule, num_rounds: int = 2, *callbacks, **options):
    loop = ActiveLearningLoop(Margin(), query_size=10, num_rounds=num_rounds, run_dir=str(folder))
    trainer = L.Trainer(
        **({"max_epochs": 4} | options),
        callbacks=[loop, *callbacks],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    loop.run(trainer, model, data)
    rounds, queries = read_csv(folder / "rounds.csv"), read_csv(folder / "queries.csv")
    return rounds[["test_acc", "test_nll", "train_acc", "epochs"]].to_numpy().tolist(), queries.fillna(
        -1
    ).to_numpy().tolist()


def plain(folder: Path) -> tuple[list, list]:
    return run(folder, Net(), FlatDigits(num_initial=30))


@pytest.mark.parametrize("generator", [None, torch.Generator().manual_seed(3)])
@pytest.mark.parametrize("several", [False, True])
def test_validation_changes_nothing_that_is_trained(tmp_path: Path, generator, several: bool) -> None:
    model = Validated()
    assert run(tmp_path / "with", model, WithVal(generator, several)) == plain(tmp_path / "without")
    per_validation = 2 * len(range(0, NUM, 40)) if several else len(range(0, NUM, 40))
    assert len(model.seen) == 3 * 4 * per_validation  # rounds, epochs; no sanity check
    assert model.seen[:per_validation] == model.seen[-per_validation:]  # in the same order each time
    in_order = [float(val_set()[:][1][i : i + 40].sum()) for i in range(0, NUM, 40)]
    assert model.seen[: len(in_order)] != in_order  # but shuffled


def test_a_model_without_a_validation_step_is_not_validated(tmp_path: Path, recwarn) -> None:
    assert run(tmp_path / "with", Net(), WithVal()) == plain(tmp_path / "without")
    assert not any("validation_step" in str(warning.message) for warning in recwarn)


def test_a_fit_may_end_by_its_validation(tmp_path: Path) -> None:
    class Recorder(L.Callback):
        def __init__(self) -> None:
            self.losses: list[list[float]] = []

        def on_train_start(self, trainer, model) -> None:
            self.losses.append([])

        def on_validation_epoch_end(self, trainer, model) -> None:
            self.losses[-1].append(float(trainer.callback_metrics["val_loss"]))

    recorder = Recorder()
    stopping = EarlyStopping("val_loss", patience=2, min_delta=0.1)
    rounds, _ = run(tmp_path / "run", Validated(), WithVal(), 2, stopping, recorder, max_epochs=40)
    for (_, _, _, epochs), losses in zip(rounds, recorder.losses, strict=True):
        best, waited, expected = float("inf"), 0, 0
        for loss in losses:
            expected += 1
            waited = 0 if loss < best - 0.1 else waited + 1
            best = min(best, loss) if waited == 0 else best
            if waited == 2:
                break
        assert epochs == expected < 40


@pytest.mark.parametrize("options", [{}, {"check_val_every_n_epoch": 2}])
def test_a_run_that_is_continued_is_that_which_was_not_stopped(tmp_path: Path, options: dict) -> None:
    def part(name: str, num_rounds: int, generator_seed: int = 3):
        data = WithVal(torch.Generator().manual_seed(generator_seed))
        stopping = EarlyStopping("val_loss", patience=1, min_delta=0.05, check_on_train_epoch_end=False)
        model = WithSteps(options.get("check_val_every_n_epoch", 1))
        return run(tmp_path / name, model, data, num_rounds, stopping, max_epochs=12, **options)

    part("stopped", 1)
    assert part("stopped", 3) == part("whole", 3)


def test_the_trainer_is_left_as_it_was(tmp_path: Path) -> None:
    loop = ActiveLearningLoop(Margin(), query_size=10, num_rounds=0, run_dir=str(tmp_path))
    trainer = L.Trainer(
        max_epochs=1, callbacks=[loop], logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    sanity = trainer.num_sanity_val_steps
    loop.run(trainer, Validated(), WithVal())
    assert trainer.num_sanity_val_steps == sanity
    assert "run" not in vars(trainer.fit_loop.epoch_loop.val_loop)


class Theirs(L.LightningDataModule):
    """A data module that does not use this package."""

    def __init__(self, first: int = 0) -> None:
        super().__init__()
        self.first = first

    def train_dataloader(self):
        return DataLoader(TensorDataset(digits().train_inputs, digits().train_targets + self.first), 64)

    def val_dataloader(self):
        return DataLoader(val_set(), 40, shuffle=True)

    def test_dataloader(self):
        return DataLoader(TensorDataset(digits().test_inputs, digits().test_targets + self.first), 100)


class TheirsWithoutVal(Theirs):
    val_dataloader = L.LightningDataModule.val_dataloader


def test_the_loader_of_a_data_module_is_used(tmp_path: Path) -> None:
    model = Validated()
    found = run(tmp_path / "with", model, DataModuleAdapter(Theirs(), num_initial=30))
    assert len(model.seen) == 3 * 4 * 3
    assert found == run(tmp_path / "without", Net(), DataModuleAdapter(TheirsWithoutVal(), num_initial=30))


class ByStage(Theirs):
    """Has a validation set only as long as it is set up to fit."""

    def setup(self, stage: str) -> None:
        self.val = val_set() if stage == "fit" else None

    def val_dataloader(self):
        return DataLoader(self.val, 40)


def test_a_validation_set_that_is_there_for_fits_alone_is_used(tmp_path: Path) -> None:
    model = Validated()
    run(tmp_path / "with", model, DataModuleAdapter(ByStage(), num_initial=30), 0)
    assert len(model.seen) == 4 * 3


def test_a_loader_with_other_classes_is_not_used(tmp_path: Path) -> None:
    model = Validated()
    data = DataModuleAdapter(Theirs(first=1), num_initial=30)
    with pytest.warns(UserWarning, match="Theirs.val_dataloader is not used: its classes are not the indices from 0"):
        run(tmp_path / "with", model, data, 0)
    assert model.seen == []
