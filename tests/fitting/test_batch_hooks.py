"""Hooks that change batches are allowed in training only: elsewhere the pool would be scored on other inputs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from al_lightning import DataModuleAdapter, InputError, Margin
from tests.data.test_adapters import Plain
from tests.own_models import ForwardOnly
from tests.test_loop import make_loop, make_trainer, rows, run, timeless


class Standardises(ForwardOnly):
    """Changes all batches."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch[0] * 2, batch[1]


class Augments(ForwardOnly):
    """Changes training batches."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return (-batch[0], batch[1]) if self.trainer.training else batch


class Negated(ForwardOnly):
    """Makes the same change in its training step."""

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(self(-batch[0]), batch[1])


class WithHook(Plain):
    """The data module changes batches."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return (-batch[0], batch[1]) if self.trainer.training else batch


class Changing(Plain):
    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return -batch[0], batch[1]


def test_a_hook_that_changes_what_is_tested_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`on_after_batch_transfer` of Standardises to change batches only in tr"):
        run(tmp_path / "run", model=Standardises())
    assert not (tmp_path / "run").exists()


def test_a_hook_for_training_is_that_of_a_plain_trainer(tmp_path: Path) -> None:
    for model in (Augments, Negated):
        torch.manual_seed(0)
        run(tmp_path / model.__name__, Margin(), model=model(), num_rounds=1, reinit="initial")
    assert timeless(tmp_path / "Augments") == timeless(tmp_path / "Negated")


def test_hooks_of_a_data_module_are_called(tmp_path: Path) -> None:
    for name, data, model in (("hook", WithHook(), ForwardOnly), ("step", Plain(), Negated)):
        torch.manual_seed(0)
        loop = make_loop(tmp_path / name, Margin(), num_rounds=1, reinit="initial")
        loop.run(make_trainer(loop), model(), DataModuleAdapter(data, num_initial=50))
    assert timeless(tmp_path / "hook") == timeless(tmp_path / "step")
    assert len(rows(tmp_path / "hook")) == 2


def test_a_hook_of_a_data_module_that_changes_what_is_tested_is_refused(tmp_path: Path) -> None:
    loop = make_loop(tmp_path / "run")
    with pytest.raises(InputError, match="`on_before_batch_transfer` of Changing to change batches only in training"):
        loop.run(make_trainer(loop), ForwardOnly(), DataModuleAdapter(Changing(), num_initial=50))
    assert not (tmp_path / "run").exists()
