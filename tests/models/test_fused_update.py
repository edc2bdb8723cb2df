"""FusedUpdate has the gradients of autograd, its fits have the bits of the ordinary way, and it says when it cannot."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam

from al_lightning import ActiveLearningLoop, Convergence, DropoutMLP, Entropy, InputError, MonteCarloMLP
from al_lightning.cli import main
from al_lightning.models.fused_update import FusedUpdate, why_not_fused
from al_lightning.run_folder.fingerprint.arguments import arguments_of
from tests.digits import FlatDigits
from tests.fitting.test_settings_of_objects import bits, trainer_of
from tests.helpers import generator


def gradients(model: DropoutMLP, inputs: Tensor, targets: Tensor, dtype: torch.dtype | None) -> tuple[Tensor, ...]:
    """The loss and the gradients of autograd."""
    model.zero_grad()
    torch.manual_seed(3)
    with torch.autocast("cpu", dtype, enabled=dtype is not None):
        loss = F.cross_entropy(model(inputs), targets)
    loss.backward()
    return loss.detach(), *(parameter.grad for parameter in model.parameters() if parameter.grad is not None)


def fused_gradients(
    model: DropoutMLP, inputs: Tensor, targets: Tensor, dtype: torch.dtype | None, batch_size: int = 64
) -> tuple[Tensor, ...]:
    with torch.autocast("cpu", dtype, enabled=dtype is not None):
        update = FusedUpdate(model, batch_size)
        update(inputs.flip(0), targets.flip(0))  # what it leaves in memory must not matter
        torch.manual_seed(3)
        loss = update(inputs, targets)
    return loss, *(parameter.grad for parameter in model.parameters() if parameter.grad is not None)


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 64),
    input_dim=st.integers(1, 40),
    hidden_dim=st.integers(1, 40),
    num_classes=st.integers(2, 12),
    dropout=st.sampled_from([0.0, 0.1, 0.5, 0.9]),
    dtype=st.sampled_from([None, torch.bfloat16]),
    seed=st.integers(0, 2**16),
)
def test_gradients_are_those_of_autograd(
    size: int, input_dim: int, hidden_dim: int, num_classes: int, dropout: float, dtype: torch.dtype | None, seed: int
) -> None:
    torch.manual_seed(seed)
    model = DropoutMLP(input_dim, hidden_dim, num_classes, dropout).train()
    inputs, targets = torch.randn(size, input_dim), torch.randint(num_classes, (size,))
    expected = [value.clone() for value in gradients(model, inputs, targets, dtype)]
    found = fused_gradients(model, inputs, targets, dtype)
    tolerance = {"atol": 1e-6, "rtol": 1e-5} if dtype is None else {"atol": 1e-3, "rtol": 2e-2}
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize("size", [1, 13, 64])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_network_of_the_protocol_has_the_same_bits(dtype: torch.dtype | None, size: int, dropout: float) -> None:
    torch.manual_seed(0)
    model = DropoutMLP(dropout=dropout).train()
    inputs, targets = torch.rand(size, 1, 28, 28), torch.randint(10, (size,))
    expected = [value.clone() for value in gradients(model, inputs, targets, dtype)]
    for one, other in zip(fused_gradients(model, inputs, targets, dtype), expected, strict=True):
        assert one.equal(other)


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda params: Adam(params, lr=1e-2, fused=True),
        lambda params: torch.optim.AdamW(params, lr=1e-2, fused=True),
        lambda params: SGD(params, lr=0.05, momentum=0.9, weight_decay=0.01),
        lambda params: torch.optim.RMSprop(params, lr=1e-2),
    ],
    ids=["Adam", "AdamW", "SGD", "RMSprop"],
)
def test_a_run_has_the_bits_of_the_ordinary_way(tmp_path: Path, optimizer: Callable[..., Any], precision: str) -> None:
    torch.set_num_threads(1)
    calls: list[int] = []
    original = FusedUpdate.__call__
    for fused in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FusedUpdate, "__call__", lambda *args: calls.append(1) or original(*args))
            loop = ActiveLearningLoop(Entropy(), query_size=20, num_rounds=1, run_dir=str(tmp_path / str(fused)))
            model = DropoutMLP(64, 32, optimizer=optimizer, fused=fused)
            data = FlatDigits(num_initial=150, batch_size=16)
            loop.run(trainer_of(Convergence(), precision=precision, max_epochs=4), model, data)
        calls.append(0)
    assert calls.index(0) == len(calls) - 2 > 30  # the second run has none
    assert bits(tmp_path / "True") == bits(tmp_path / "False")


class Smoothed(DropoutMLP):
    def losses(self, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {"train_loss": F.cross_entropy(self(inputs), targets, label_smoothing=0.1)}


class Clamped(DropoutMLP):
    def after_step(self) -> None:
        self.hidden.weight.data = self.hidden.weight.data.clamp(-0.1, 0.1)  # other memory


def make(change: Callable[[DropoutMLP], object] = lambda model: None, cls: type[DropoutMLP] = DropoutMLP) -> DropoutMLP:
    model = cls(input_dim=8, hidden_dim=4)
    change(model)
    return model


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (make(cls=Smoothed), "Smoothed has another `losses`"),
        (make(lambda model: setattr(model, "forward", model.embed)), "DropoutMLP has another `forward`"),
        (make(lambda model: setattr(model, "dropout", nn.Dropout(0.5))), "its dropout is another one"),
        (make(lambda model: model.dropout.eval()), "its dropout is switched off"),
        (make(lambda model: setattr(model, "head", nn.Linear(4, 10, bias=False))), "not linear layers with a bias"),
        (make(lambda model: setattr(model, "norm", nn.LayerNorm(4))), "it has other parameters"),
        (make(lambda model: model.double()), "not on a CPU in float32"),
        (make(lambda model: model.hidden.requires_grad_(False)), "some layers are frozen"),
        (make(lambda model: model.head.register_forward_hook(lambda *args: None)), "have hooks"),
        (make(lambda model: model.hidden.weight.register_hook(lambda gradient: None)), "have hooks"),
        (make(lambda model: torch.nn.utils.parametrizations.weight_norm(model.head)), "not linear layers"),
        (make(), None),
        (make(cls=Clamped), "Clamped has another `after_step`"),
        (make(cls=MonteCarloMLP), None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_updates_go_the_ordinary_way(model: DropoutMLP, reason: str | None) -> None:
    found = why_not_fused(model, SGD(model.parameters(), lr=0.1), DropoutMLP)
    assert found is None if reason is None else reason in (found or "")


def test_other_precisions_and_optimizers_go_the_ordinary_way() -> None:
    model = make()
    assert "LBFGS evaluates the loss" in (why_not_fused(model, torch.optim.LBFGS(model.parameters()), DropoutMLP) or "")
    with torch.autocast("cpu", torch.float16):
        found = why_not_fused(model, SGD(model.parameters(), lr=0.1), DropoutMLP)
    assert found == "its precision is torch.float16 and not bfloat16"
    with torch.autograd.set_detect_anomaly(True):
        assert why_not_fused(model, SGD(model.parameters(), lr=0.1), DropoutMLP) == "autograd looks for anomalies"
    hook = nn.modules.module.register_module_forward_hook(lambda *args: None)
    try:
        assert "have hooks" in (why_not_fused(model, SGD(model.parameters(), lr=0.1), DropoutMLP) or "")
    finally:
        hook.remove()


@pytest.mark.parametrize(
    ("inputs", "targets"),
    [
        (torch.zeros(3, 8, dtype=torch.float64), torch.zeros(3, dtype=torch.int64)),
        (torch.zeros(3, 8, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)),
        ({"x": torch.zeros(3, 8)}, torch.zeros(3, dtype=torch.int64)),
        (torch.zeros(3, 8), torch.zeros(3, 10)),
        (torch.zeros(3, 8), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(0, 8), torch.zeros(0, dtype=torch.int64)),
        (torch.zeros(9, 8), torch.zeros(9, dtype=torch.int64)),
    ],
)
def test_other_minibatches_are_not_taken(inputs: Any, targets: Tensor) -> None:
    update = FusedUpdate(make(), 8)
    assert not update.takes(inputs, targets)
    assert update.takes(torch.zeros(8, 8), torch.zeros(8, dtype=torch.int64))


def test_a_model_that_changed_gets_another_one() -> None:
    model = make()
    update = FusedUpdate(model, 8)
    assert update.suits(model, 8)
    assert update.suits(model, 5)
    assert not update.suits(model, 9)
    assert not update.suits(copy.deepcopy(model), 8)
    model.suit_data(3, torch.zeros(1, 5))
    assert not update.suits(model, 8)


@pytest.mark.filterwarnings("ignore::Warning")
def test_what_is_asked_for_and_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`model.fused` to be auto, true or false, but got maybe"):
        DropoutMLP(fused="maybe")  # type: ignore[arg-type]
    model = Smoothed(64, 8, fused=True)
    loop = ActiveLearningLoop(Entropy(), num_rounds=0, run_dir=str(tmp_path))
    with pytest.raises(InputError, match="`model.fused` to be auto or false, because Smoothed has another `losses`"):
        loop.run(trainer_of(), model, FlatDigits(num_initial=50))


def test_a_checkpoint_has_no_memory_of_it() -> None:
    model = make().train()
    before = set(model.state_dict())
    model._fused_update = FusedUpdate(model, 4)
    model._fused_update(torch.randn(4, 8, generator=generator()), torch.zeros(4, dtype=torch.int64))
    assert set(model.state_dict()) == before


@pytest.mark.filterwarnings("ignore::Warning")
def test_a_run_may_go_on_in_the_other_way(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = "fit --data Digits --data.num_initial 60 --data.batch_size 16 --loop.query_size 10 --trainer.max_epochs 3"
    for name in ("begun", "whole"):
        rounds = "1" if name == "whole" else "0"
        path = str(tmp_path / name)
        main([*words.split(), "--loop.num_rounds", rounds, "--loop.run_dir", path, "--model.fused", "true"])
    main(["fit", str(tmp_path / "begun"), "--loop.num_rounds", "1", "--model.fused", "false"])
    assert bits(tmp_path / "begun") == bits(tmp_path / "whole")
    with pytest.raises(SystemExit) as stop:
        main(["fit", str(tmp_path / "begun"), "--model.fused", "maybe"])
    assert stop.value.code == 2
    assert "Expected `model.fused` to be true or false or one of 'auto', but got `maybe`." in capsys.readouterr().err


def test_a_config_of_a_model_from_python_has_it() -> None:
    assert arguments_of(DropoutMLP(fused=False))["fused"] is False
