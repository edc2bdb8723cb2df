"""A model's attributes, modes and frozen layers are put back; records that a user keeps in it stay."""

import lightning.pytorch as L
import torch
from torch import nn

from al_lightning.fitting.module_state import ModuleState


class Counting(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        self.head = nn.Linear(3, 2)
        self.steps = 0
        self.lr = 0.1
        self.ramp = torch.zeros(2)
        self.history: list[int] = []


def test_what_a_fit_changed_is_put_back() -> None:
    model = Counting()
    model.body.eval()
    state = ModuleState(model)
    model.steps, model.lr = 7, 0.01
    model.ramp.add_(1)
    model.body.requires_grad_(False)
    model.train()
    model.history.append(3)
    for _ in range(2):  # what is put back is a copy: the next fit may change it in place
        state.restore(model)
        assert (model.steps, model.lr, model.ramp.tolist()) == (0, 0.1, [0, 0])
        assert all(parameter.requires_grad for parameter in model.parameters())
        assert not model.body[1].training
        assert model.head.training
        assert model.history == [3]
        model.ramp.add_(1)


def test_what_a_fit_added_is_removed() -> None:
    model = Counting()
    state = ModuleState(model)
    model.num_batches, model.mean_loss, model.records = 3, torch.ones(()), [1]
    model.body.calls = 2
    state.restore(model)
    assert not {"num_batches", "mean_loss"} & set(vars(model))
    assert not hasattr(model.body, "calls")
    assert model.records == [1]  # a user may read it after the run


def test_what_lightning_keeps_in_a_model_is_left_alone() -> None:
    model = Counting()
    state = ModuleState(model)
    trainer = L.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
    model.trainer = trainer
    state.restore(model)
    assert model.trainer is trainer
