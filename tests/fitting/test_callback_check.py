"""Arguments that would end in Lightning's traceback work, or are refused in one sentence before the first write."""

from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BatchSizeFinder,
    Callback,
    DeviceStatsMonitor,
    GradientAccumulationScheduler,
    LearningRateMonitor,
    ModelPruning,
    SpikeDetection,
    StochasticWeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn

from al_lightning import Backbone, DropoutMLP, InputError, Random
from al_lightning.models.closure import wants_closure
from tests.digits import DigitsMLP, FlatDigits
from tests.fitting.test_callback_state import Net
from tests.own_models import DigitImages
from tests.test_loop import make_loop, make_trainer, rows, run, timeless


@pytest.mark.parametrize(
    ("model", "callback", "trainer", "message"),
    [
        (Net, BatchSizeFinder, {}, "BatchSizeFinder not to be used: the batch size that it finds depends on the free"),
        (DigitsMLP, BackboneFinetuning, {}, "a model that has a module `backbone`, but DigitsMLP has none"),
        (DigitsMLP, SpikeDetection, {}, "`training_step` returns the loss, but that of DigitsMLP does not"),
        (DigitsMLP, lambda: GradientAccumulationScheduler({0: 2}), {}, "not to be used with the model DigitsMLP"),
        (
            Net,
            lambda: GradientAccumulationScheduler({0: 2}),
            {"accumulate_grad_batches": 3},
            "but got both, the",
        ),
        (Net, LearningRateMonitor, {}, "LearningRateMonitor to be used with a logger"),
        (Net, DeviceStatsMonitor, {}, "DeviceStatsMonitor to be used with a logger"),
        (Net, lambda: ModelPruning("l1_unstructured", make_pruning_permanent=False), {}, "`make_pruning_permanent`"),
        (Net, lambda: StochasticWeightAveraging(0.1, 0.5), {"max_epochs": -1, "max_steps": 9}, "`swa_epoch_start`"),
        (
            DigitsMLP,
            Callback,
            {"gradient_clip_val": 1.0},
            "`trainer.gradient_clip_val` not to be set for the model",
        ),
        (DigitsMLP, Callback, {"accumulate_grad_batches": 2}, "`trainer.accumulate_grad_batches` not to be set"),
    ],
)
def test_it_is_refused_before_anything_is_written(
    tmp_path: Path, model: type, callback: Callable[[], Callback], trainer: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(tmp_path / "run", None, callback(), model=model(), trainer=trainer)
    assert not (tmp_path / "run").exists()


def test_what_lightning_finds_out_when_it_begins_leaves_nothing_behind(tmp_path: Path) -> None:
    class TwoOptimizers(Net):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            optimizer = self.optimizers()[0]
            loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            return loss

        def configure_optimizers(self) -> list[torch.optim.Optimizer]:
            return [torch.optim.SGD(part.parameters(), lr=0.1) for part in (self.backbone, self.head)]

    with pytest.raises(InputError, match="SWA currently works with 1 `optimizer`"):
        run(tmp_path / "run", None, StochasticWeightAveraging(0.1, 2), model=TwoOptimizers())
    assert not (tmp_path / "run").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(InputError, match="SWA currently"):
        run(tmp_path / "mine", None, StochasticWeightAveraging(0.1, 2), model=TwoOptimizers())
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_a_spike_ends_the_run_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    class Spikes(Net):
        def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            late = len(self.trainer.datamodule.labeled_indices) == 60 and self.global_step == 6
            return super().training_step(batch) * (1e6 if late else 1)

    def make() -> SpikeDetection:
        return SpikeDetection(warmup=1, rtol=2.0)

    trainer = {"max_epochs": 3, "limit_train_batches": 6}
    run(tmp_path / "calm", None, make(), model=Net(), trainer=trainer)
    assert len(rows(tmp_path / "calm")) == 3
    loop = make_loop(tmp_path / "run")
    with pytest.raises(InputError, match="fit of round 1 to end without a spike, but got: Training spike detected in"):
        loop.run(make_trainer(loop, make(), **trainer), Spikes(), FlatDigits(num_initial=50, batch_size=16))
    assert len(rows(tmp_path / "run")) == 1


@pytest.mark.filterwarnings("ignore")
def test_the_backbone_of_backbone_is_frozen_and_unfrozen_in_each_round(tmp_path: Path) -> None:
    changed: list[list[bool]] = []
    rates: list[list[float]] = []

    class Watch(Callback):
        def on_train_epoch_start(self, trainer: L.Trainer, model: L.LightningModule) -> None:
            self.before = model.body.conv1.weight.detach().clone()

        def on_train_epoch_end(self, trainer: L.Trainer, model: L.LightningModule) -> None:
            if trainer.current_epoch == 0:
                changed.append([])
            changed[-1].append(not model.body.conv1.weight.equal(self.before))
            rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])

    def fit(folder: Path, num_rounds: int) -> None:
        loop = make_loop(folder, Random(), num_rounds=num_rounds)
        finetuning = BackboneFinetuning(unfreeze_backbone_at_epoch=2, backbone_initial_ratio_lr=0.5)
        data = DigitImages(num_initial=40)
        loop.run(make_trainer(loop, finetuning, Watch()), Backbone("resnet18"), data)

    fit(tmp_path / "whole", 1)
    assert changed == [[False, False, True]] * 2
    assert rates[:3] == [[3e-4], [3e-4], [3e-4, 1.5e-4]]
    fit(tmp_path / "parts", 0)
    fit(tmp_path / "parts", 1)
    assert timeless(tmp_path / "parts") == timeless(tmp_path / "whole")


def lbfgs(parameters) -> torch.optim.Optimizer:
    return torch.optim.LBFGS(parameters, lr=0.5, max_iter=5)


class NeedsClosure(torch.optim.SGD):
    """Like optimizers of other libraries: the closure is optional, but the step fails without it."""

    def step(self, closure=None):
        assert closure is not None
        with torch.enable_grad():
            closure()
        return super().step()


def test_lbfgs_takes_the_step_that_it_takes_by_hand(tmp_path: Path) -> None:
    model = DropoutMLP(64, 16, dropout=0.0, optimizer=lbfgs)
    start: list[dict[str, Tensor]] = []

    class Watch(Callback):
        def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
            start.append({name: value.clone() for name, value in module.state_dict().items()})

    loop = make_loop(tmp_path, Random(), num_rounds=0)
    data = FlatDigits(num_initial=50)
    loop.run(make_trainer(loop, Watch(), max_epochs=2), model, data)
    by_hand = DropoutMLP(64, 16, dropout=0.0)
    by_hand.load_state_dict(start[0])
    optimizer = lbfgs(by_hand.parameters())
    inputs, targets = data.source.train_inputs[data.labeled_indices], data.labeled_targets

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(by_hand(inputs), targets)
        loss.backward()
        return loss

    for _ in range(2):
        optimizer.step(closure)
    for name, value in by_hand.state_dict().items():
        assert torch.allclose(model.state_dict()[name], value, atol=1e-4), name


@pytest.mark.parametrize("optimizer", [lbfgs, lambda parameters: NeedsClosure(parameters, lr=0.1)])
def test_optimizers_with_a_closure_train_all_models(tmp_path: Path, optimizer: Callable) -> None:
    class Automatic(Net):
        def configure_optimizers(self) -> torch.optim.Optimizer:
            return optimizer(self.parameters())

    models: dict[str, L.LightningModule] = {
        "mlp": DropoutMLP(64, 16, dropout=0.0, optimizer=optimizer),
        "own": Automatic(),
    }
    for name, model in models.items():
        run(tmp_path / name, Random(), model=model, num_rounds=1, trainer={"max_epochs": 20})
        assert float(rows(tmp_path / name)[0]["train_acc"]) > 0.3, name


def test_which_optimizers_want_a_closure() -> None:
    parameters = [nn.Parameter(torch.zeros(1))]

    class Own(torch.optim.Adam):
        """Keeps the step of torch."""

    assert not wants_closure(torch.optim.Adam(parameters))
    assert not wants_closure(Own(parameters))
    assert wants_closure(lbfgs(parameters))
    assert wants_closure(NeedsClosure(parameters, lr=0.1))


def test_a_closure_changes_no_bit_of_an_optimizer_that_can_do_without(tmp_path: Path) -> None:
    class WithClosure(torch.optim.Adam):
        def step(self, closure=None):
            return super().step(closure)

    for kind in (torch.optim.Adam, WithClosure):
        model = DigitsMLP()
        model.optimizer_factory = lambda parameters, kind=kind: kind(parameters, lr=1e-2)
        run(tmp_path / kind.__name__, Random(), model=model, query_size=100)
    assert timeless(tmp_path / "Adam") == timeless(tmp_path / "WithClosure")


@pytest.mark.parametrize("profiler", ["simple", "advanced", "pytorch"])
def test_a_profiler_reports_each_fit_and_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, profiler: str
) -> None:
    monkeypatch.chdir(tmp_path)
    run(tmp_path / "without", num_rounds=2)
    run(tmp_path / "with", num_rounds=2, trainer={"profiler": profiler})
    assert timeless(tmp_path / "with") == timeless(tmp_path / "without")
    assert sum("Profiler Report" in record.message for record in caplog.records) == 6


@pytest.mark.parametrize("trainer", [{"detect_anomaly": True}, {"overfit_batches": 1}, {"overfit_batches": 2}])
def test_arguments_for_debugging_work_and_continue(tmp_path: Path, trainer: dict) -> None:
    run(tmp_path / "whole", model=Net(), query_size=100, trainer=trainer)
    for num_rounds in range(3):
        run(tmp_path / "parts", model=Net(), query_size=100, num_rounds=num_rounds, trainer=trainer)
    assert timeless(tmp_path / "parts") == timeless(tmp_path / "whole")


def test_device_stats_of_the_cpu_need_psutil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("al_lightning.fitting.callback_check.HAS_PSUTIL", False)
    trainer = {"logger": CSVLogger(tmp_path / "logs")}
    with pytest.raises(InputError, match="DeviceStatsMonitor to be used with the package psutil"):
        run(tmp_path / "run", None, DeviceStatsMonitor(), model=Net(), trainer=trainer)
    assert not (tmp_path / "run").exists()
    run(tmp_path / "run", None, DeviceStatsMonitor(cpu_stats=False), model=Net(), trainer=trainer)
    assert rows(tmp_path / "run")
