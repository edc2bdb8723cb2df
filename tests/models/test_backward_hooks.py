"""hears_backward finds everything that happens in a backward pass by Lightning."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from al_lightning import ActiveLearningLoop, DropoutMLP, Random
from al_lightning.models.backward_hooks import hears_backward
from al_lightning.models.fused_update import FusedUpdate
from tests.digits import FlatDigits
from tests.fitting.test_settings_of_objects import bits, trainer_of


class Listening(Callback):
    def __init__(self) -> None:
        self.norms: list[float] = []

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.norms.append(float(sum(p.grad.norm() for p in pl_module.parameters() if p.grad is not None)))


class Counting(Callback):
    """Lightning's hooks of the optimizer run in any case, and find gradients."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        self.norms.append(float(sum(p.grad.norm() for p in pl_module.parameters() if p.grad is not None)))


class Halved(DropoutMLP):
    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        super().backward(loss / 2, *args, **kwargs)


class Printing(DropoutMLP):
    def on_before_backward(self, loss: Tensor) -> None:
        self.seen = loss


class Scaling(DropoutMLP):
    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        super().manual_backward(2 * loss, *args, **kwargs)


@pytest.mark.parametrize(
    ("callback", "model", "heard"),
    [
        (Counting(), DropoutMLP, False),
        (Listening(), DropoutMLP, True),
        (Counting(), Halved, True),
        (Counting(), Printing, True),
        (Counting(), Scaling, True),
    ],
)
def test_hooks_of_the_model_and_of_callbacks_count(
    callback: Callback, model: type[DropoutMLP], heard: bool, tmp_path: Path
) -> None:
    trainer, module = Trainer(accelerator="cpu", callbacks=[callback], default_root_dir=tmp_path), model(4, 2)
    module.trainer = trainer
    assert hears_backward(module) == heard


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "64-true"])
def test_precisions_of_other_kinds_count(precision: Any, tmp_path: Path) -> None:
    module = DropoutMLP(4, 2)
    module.trainer = Trainer(accelerator="cpu", precision=precision, default_root_dir=tmp_path)
    assert hears_backward(module) == (precision == "64-true")


def test_the_last_minibatch_has_a_backward_pass_if_it_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    calls: list[int] = []
    original = FusedUpdate.__call__
    monkeypatch.setattr(FusedUpdate, "__call__", lambda *args: calls.append(1) or original(*args))
    num_fused: dict[str, int] = {}
    norms: dict[str, list[float]] = {}
    for callback in (Counting(), Listening()):
        calls.clear()
        name = type(callback).__name__
        loop = ActiveLearningLoop(Random(), num_rounds=0, run_dir=str(tmp_path / name))
        loop.run(trainer_of(callback, max_epochs=3), DropoutMLP(64, 8), FlatDigits(num_initial=150, batch_size=16))
        num_fused[name], norms[name] = len(calls), callback.norms
    assert num_fused == {"Counting": 30, "Listening": 27}  # 10 minibatches in an epoch, in one step
    assert norms["Counting"] == norms["Listening"]
    assert len(norms["Counting"]) == 3
    assert bits(tmp_path / "Counting") == bits(tmp_path / "Listening")


class Stopping(Counting):
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        raise RuntimeError("stopped")


def test_a_fit_after_one_that_failed_is_heard(tmp_path: Path) -> None:
    model = DropoutMLP(64, 8)
    for name, callback in (("first", Stopping()), ("second", Listening())):
        loop = ActiveLearningLoop(Random(), num_rounds=0, run_dir=str(tmp_path / name))
        data = FlatDigits(num_initial=150, batch_size=16)
        if name == "first":
            with pytest.raises(RuntimeError, match="stopped"):
                loop.run(trainer_of(callback, max_epochs=3), model, data)
        else:
            loop.run(trainer_of(callback, max_epochs=3), model, data)
    assert len(callback.norms) == 3
