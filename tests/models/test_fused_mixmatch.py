"""FusedMixMatch has the bits of MixMatch.losses with autograd, so have whole fits, and it says when it cannot."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torchvision.transforms import v2

from al_lightning import ActiveLearningLoop, Convergence, InputError, Margin, MixMatch, RandomShift
from al_lightning.cli import main
from al_lightning.models.fused_mixmatch import FusedMixMatch, why_not_fused_mixmatch
from tests.fitting.test_settings_of_objects import bits, trainer_of
from tests.helpers import generator
from tests.models.test_mixmatch import Images

Minibatch = tuple[Tensor, Tensor, Tensor]


def minibatch(
    num_labeled: int, num_unlabeled: int, shape: tuple[int, ...], num_classes: int, seed: int = 0
) -> Minibatch:
    draws = generator(seed)
    inputs, unlabeled = (torch.randn(size, *shape, generator=draws) for size in (num_labeled, num_unlabeled))
    return inputs, torch.randint(num_classes, (num_labeled,), generator=draws), unlabeled


def begin_streams(model: MixMatch) -> None:
    torch.manual_seed(3)
    model.streams = {purpose: generator(i) for i, purpose in enumerate(model.stream_purposes)}


def found(model: MixMatch, losses: dict[str, Tensor]) -> list[Tensor]:
    """Copies of the losses and the gradients, as integers that tell -0 from 0, and the states of all generators."""
    gradients = [parameter.grad for parameter in model.trained.parameters() if parameter.grad is not None]
    assert len(gradients) == 4
    states = [torch.get_rng_state(), *[stream.get_state() for stream in model.streams.values()]]
    return [*[value.detach().clone().view(torch.int32) for value in (*losses.values(), *gradients)], *states]


def of_autograd(model: MixMatch, minibatches: list[Minibatch]) -> list[list[Tensor]]:
    begin_streams(model)
    results = []
    for one in minibatches:
        model.zero_grad()
        losses = model.losses(*one)
        losses["train_loss"].backward()
        results.append(found(model, losses))
    return results


def of_fused(model: MixMatch, minibatches: list[Minibatch], ahead: int = 0) -> list[list[Tensor]]:
    update = FusedMixMatch(model, max(max(len(one[0]), len(one[2])) for one in minibatches))
    begin_streams(model)
    update.losses(*[part.flip(0) for part in minibatches[0]])  # what it leaves in memory must not matter
    begin_streams(model)
    update.draw_ahead(minibatches[:ahead])
    results = []
    for i, one in enumerate(minibatches):
        assert update.takes(*one)
        results.append(found(model, update.losses(*one)))
        if i < ahead - 1:
            results[-1] = results[-1][:-2]  # without the states of the streams, which are ahead
    return results


@settings(max_examples=80, deadline=None)
@given(
    num_labeled=st.integers(1, 20),
    num_unlabeled=st.integers(0, 20),
    shape=st.sampled_from([(4, 5), (1, 3, 7), (3, 4, 4)]),
    hidden_dim=st.integers(1, 40),
    num_classes=st.integers(2, 12),
    num_augmentations=st.integers(1, 3),
    dropout=st.sampled_from([0.0, 0.1, 0.5, 0.9]),
    temperature=st.sampled_from([0.1, 0.5, 1.0]),
    unlabeled_weight=st.sampled_from([0.0, 1.0, 25.0]),
    num_updates=st.sampled_from([0, 3, 10]),
    shift=st.sampled_from([(0, 0.0), (1, 0.0), (2, 0.5)]),
    seed=st.integers(0, 2**16),
)
def test_losses_and_gradients_are_those_of_autograd(
    num_labeled: int,
    num_unlabeled: int,
    shape: tuple[int, ...],
    hidden_dim: int,
    num_classes: int,
    num_augmentations: int,
    dropout: float,
    temperature: float,
    unlabeled_weight: float,
    num_updates: int,
    shift: tuple[int, float],
    seed: int,
) -> None:
    torch.manual_seed(seed)
    model = MixMatch(
        torch.Size(shape).numel(),
        hidden_dim,
        num_classes,
        dropout,
        num_augmentations=num_augmentations,
        temperature=temperature,
        unlabeled_weight=unlabeled_weight,
        ramp_updates=10,
        augmentation=RandomShift(*shift),
    ).train()
    model.num_updates = num_updates
    one = [minibatch(num_labeled, num_unlabeled, shape, num_classes, seed)]
    for value, expected in zip(*of_fused(model, one), *of_autograd(model, one), strict=True):
        assert value.equal(expected)


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_draws_ahead_are_those_of_single_minibatches(ahead: int) -> None:
    torch.manual_seed(0)
    model = MixMatch(ramp_updates=0).train()
    sizes = [(64, 64), (64, 64), (13, 13), (64, 0), (1, 5)]
    minibatches = [minibatch(*size, (1, 28, 28), 10, seed) for seed, size in enumerate(sizes)]
    results, expected = of_fused(model, minibatches, ahead), of_autograd(model, minibatches)
    for one, other in zip(results, expected, strict=True):
        assert len(one) >= 8
        assert all(value.equal(right) for value, right in zip(one, other, strict=False))


# ----------------------------------------------------------------------------------------------------------- whole fits


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize(
    "optimizer",
    [lambda params: Adam(params, lr=1e-2, fused=True), lambda params: SGD(params, lr=0.05, momentum=0.9)],
    ids=["Adam", "SGD"],
)
@pytest.mark.parametrize("num_labeled", [50, 70])
def test_a_run_has_the_bits_of_the_ordinary_way(
    tmp_path: Path, optimizer: Callable[..., Any], num_labeled: int
) -> None:
    torch.set_num_threads(1)
    calls: list[int] = []
    original = FusedMixMatch.losses
    weights, curves = [], []
    for fused in (True, False):
        path = tmp_path / str(fused)
        torch.manual_seed(0)
        model = MixMatch(64, 32, ramp_updates=40, min_updates_per_epoch=20, optimizer=optimizer, fused=fused)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FusedMixMatch, "losses", lambda *args: calls.append(1) or original(*args))
            loop = ActiveLearningLoop(Margin(), query_size=20, num_rounds=1, run_dir=str(path))
            data = Images(num_initial=num_labeled, batch_size=16)
            loop.run(trainer_of(Convergence(), max_epochs=4), model, data)
        weights.append(model.state_dict())
        events = EventAccumulator(str(path / "fit")).Reload()
        curves.append({name: [event.value for event in events.Scalars(name)] for name in events.Tags()["scalars"]})
        calls.append(0)
    assert calls.index(0) == len(calls) - 2 == 160  # two rounds of four epochs; the second run has none
    assert bits(tmp_path / "True") == bits(tmp_path / "False")
    assert len(weights[0]) >= 8
    assert all(weight.equal(weights[1][name]) for name, weight in weights[0].items())
    assert {"fit/train_loss", "fit/train_loss_consistency", "fit/train_loss_supervised"} <= curves[0].keys()
    assert curves[0] == curves[1]


def test_minibatches_that_are_not_taken_draw_in_their_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    taken: list[bool] = []
    original = FusedMixMatch.takes

    def takes_two_of_three(*args: Any) -> bool:
        taken.append(original(*args) and len(taken) % 3 > 0)
        return taken[-1]

    monkeypatch.setattr(FusedMixMatch, "takes", takes_two_of_three)
    for fused in (True, False):
        loop = ActiveLearningLoop(Margin(), num_rounds=0, run_dir=str(tmp_path / str(fused)))
        model = MixMatch(64, 32, ramp_updates=40, min_updates_per_epoch=20, fused=fused)
        loop.run(trainer_of(Convergence(), max_epochs=3), model, Images(num_initial=50, batch_size=16))
    assert (len(taken), sum(taken)) == (60, 40)
    assert bits(tmp_path / "True") == bits(tmp_path / "False")


@pytest.mark.filterwarnings("ignore::Warning")
def test_a_run_may_go_on_in_the_other_way(tmp_path: Path) -> None:
    words = "fit --data Digits --data.num_initial 60 --data.batch_size 16 --loop.query_size 10 --trainer.max_epochs 2"
    for name, rounds in (("begun", "0"), ("whole", "1")):
        options = ["--loop.num_rounds", rounds, "--loop.run_dir", str(tmp_path / name), "--model.fused", "true"]
        main([*words.split(), "--model", "MixMatch", *options])
    main(["fit", str(tmp_path / "begun"), "--loop.num_rounds", "1", "--model.fused", "false"])
    assert bits(tmp_path / "begun") == bits(tmp_path / "whole")


# ------------------------------------------------------------------------------------------------------------- the rule


class Unmixed(MixMatch):
    def _draw_mixup(self, size: int) -> tuple[Tensor, Tensor]:
        return torch.arange(size), torch.ones(size) / (1 + self.num_updates)


class Louder(MixMatch):
    def losses(self, *minibatch: Any) -> dict[str, Tensor]:
        return {name: 2 * value for name, value in super().losses(*minibatch).items()}


class Drawing(MixMatch):
    def after_step(self) -> None:
        super().after_step()
        torch.rand(1, generator=self.streams["mixup"])


def make(change: Callable[[MixMatch], object] = lambda model: None, cls: type[MixMatch] = MixMatch) -> MixMatch:
    model = cls(input_dim=20, hidden_dim=4)
    change(model)
    return model


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (make(cls=Louder), "Louder has another `losses`"),
        (make(cls=Drawing), "Drawing has another `after_step`"),
        (make(cls=Unmixed), "Unmixed has another `_draw_mixup`"),
        (make(lambda model: setattr(model, "augmentation", v2.RandomErasing())), "RandomErasing changes one image"),
        (make(lambda model: model.dropout.eval()), "its dropout is switched off"),
        (make(lambda model: model.trained.update({"norm": nn.LayerNorm(4)})), "it has other parameters"),
        (make(lambda model: model.trained.update({"head": nn.Linear(4, 10, bias=False)})), "not linear layers"),
        (make(lambda model: model.double()), "not on a CPU in float32"),
        (make(lambda model: model.trained["head"].requires_grad_(False)), "some layers are frozen"),
        (make(lambda model: model.trained["head"].register_forward_hook(lambda *args: None)), "have hooks"),
        (make(), None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_updates_go_the_ordinary_way(model: MixMatch, reason: str | None) -> None:
    why = why_not_fused_mixmatch(model, SGD(model.trained.parameters(), lr=0.1), MixMatch)
    assert why is None if reason is None else reason in (why or "")


def test_mixed_precision_goes_the_ordinary_way() -> None:
    model = make()
    with torch.autocast("cpu", torch.bfloat16):
        why = why_not_fused_mixmatch(model, SGD(model.trained.parameters(), lr=0.1), MixMatch)
    assert why == "its precision is mixed"


@pytest.mark.parametrize(
    "change",
    [
        lambda inputs, targets, unlabeled: (inputs.double(), targets, unlabeled),
        lambda inputs, targets, unlabeled: (inputs, targets, unlabeled.double()),
        lambda inputs, targets, unlabeled: (inputs, targets, unlabeled.view(-1, 5, 4)),
        lambda inputs, targets, unlabeled: (inputs, targets, {"image": unlabeled}),
        lambda inputs, targets, unlabeled: (inputs, targets),
        lambda inputs, targets, unlabeled: (inputs, targets.float(), unlabeled),
        lambda inputs, targets, unlabeled: (inputs.flatten(1), targets, unlabeled.flatten(1)),
        lambda inputs, targets, unlabeled: (inputs, targets, torch.cat([unlabeled, unlabeled])),
    ],
)
def test_other_minibatches_are_not_taken(change: Callable[..., tuple[Any, ...]]) -> None:
    update, one = FusedMixMatch(make(), 6), minibatch(6, 6, (4, 5), 10)
    assert update.takes(*one)
    assert not update.takes(*change(*one))


def test_a_model_that_changed_gets_another_one() -> None:
    model = make()
    update = FusedMixMatch(model, 6)
    assert update.suits(model, 6)
    assert not update.suits(model, 7)
    assert not update.suits(copy.deepcopy(model), 6)
    model.num_augmentations = 5
    assert not update.suits(model, 6)


@pytest.mark.filterwarnings("ignore::Warning")
def test_what_is_asked_for_and_cannot_be_is_refused(tmp_path: Path) -> None:
    loop = ActiveLearningLoop(Margin(), num_rounds=0, run_dir=str(tmp_path))
    with pytest.raises(InputError, match="`model.fused` to be auto or false, because Louder has another `losses`"):
        loop.run(trainer_of(), Louder(64, 8, fused=True), Images(num_initial=50))


def test_another_augmentation_of_the_same_shift_is_taken() -> None:
    model = MixMatch(20, 4, 3, augmentation=RandomShift(1, mirror=0.0)).train()
    update = FusedMixMatch(model, 6)
    one = minibatch(6, 6, (4, 5), 3, 0)
    update.losses(*one)
    model.augmentation = RandomShift(1, mirror=1.0)
    begin_streams(model)
    update.losses(*one)
    fused = [stream.get_state() for stream in model.streams.values()]
    begin_streams(model)
    model.losses(*one)
    assert all(state.equal(stream.get_state()) for state, stream in zip(fused, model.streams.values(), strict=True))
