"""MixMatch: each part is as in the paper, and a fit learns from samples without labels."""

import copy
import csv
from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from scipy.stats import kstest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.nn import functional as F

from al_lightning import (
    ActiveLearningLoop,
    Convergence,
    DropoutMLP,
    Margin,
    MixMatch,
    Random,
    RandomShift,
)
from al_lightning.cli.parser import KNOWN_CLASSES
from al_lightning.data import Arrays
from al_lightning.errors import InputError
from al_lightning.models.mixmatch import mixup, sharpen
from al_lightning.models.reset import reset_parameters
from tests.digits import FlatDigits
from tests.helpers import digits, generator, make_strategy, random_probs


class Images(FlatDigits):
    """Digits as images of 8 x 8."""

    def load(self) -> Arrays:
        arrays = super().load()
        return Arrays(
            arrays.train_inputs.view(-1, 8, 8),
            arrays.train_targets,
            arrays.test_inputs.view(-1, 8, 8),
            arrays.test_targets,
        )


def make_model(**kwargs) -> MixMatch:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        defaults = {
            "input_dim": 64,
            "hidden_dim": 32,
            "augmentation": RandomShift(1),
            "optimizer": lambda params: torch.optim.Adam(params, lr=1e-2),
        }
        return MixMatch(**{**defaults, **kwargs})


def images(start: int, stop: int) -> Tensor:
    return digits().train_inputs[start:stop].view(-1, 8, 8)


def run(path: Path, model: L.LightningModule, epochs: int = 5, **kwargs) -> list[dict[str, str]]:
    data = Images(num_initial=kwargs.pop("num_initial", 50))
    defaults = {"query_size": 20, "num_rounds": 1}
    precision, threshold = kwargs.pop("precision", None), kwargs.pop("threshold", None)
    loop = ActiveLearningLoop(kwargs.pop("strategy", Random()), run_dir=str(path), **{**defaults, **kwargs})
    trainer = L.Trainer(
        precision=precision,
        max_epochs=epochs,
        callbacks=[loop, Convergence(stopping_threshold=threshold)],
        logger=False,
        enable_checkpointing=False,
        accelerator="cpu",
    )
    loop.run(trainer, model, data)
    with (path / "rounds.csv").open() as file:
        return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in csv.DictReader(file)]


# -------------------------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 2.0])
def test_sharpening_is_the_power_renormalised(temperature):
    probs = random_probs(50, 7).double()
    powers = probs ** (1 / temperature)
    torch.testing.assert_close(sharpen(probs, temperature), powers / powers.sum(dim=1, keepdim=True))


def test_sharpening_keeps_uniform_uniform_and_ends_in_one_hot():
    torch.testing.assert_close(sharpen(torch.full((10,), 0.1), 0.5), torch.full((10,), 0.1))
    probs = random_probs(50, 7)
    assert sharpen(probs, 1e-3).round().equal(F.one_hot(probs.argmax(dim=1), 7).float())


def test_mixup_mixes_each_row_by_its_weight():
    mixed = mixup(torch.ones(3, 2, 2), torch.zeros(3, 2, 2), torch.tensor([1.0, 0.75, 0.5]))
    assert mixed[:, 0, 0].tolist() == [1.0, 0.75, 0.5]


def test_mixup_weights_are_the_larger_of_two_of_a_beta_distribution():
    model = make_model()
    order, weights = model._draw_mixup(5000)
    assert sorted(order.tolist()) == list(range(5000))
    assert float(weights.min()) >= 0.5
    folded = torch.distributions.Beta(0.75, 0.75).sample((200_000,))
    folded = torch.maximum(folded, 1 - folded)
    assert kstest(weights.numpy(), folded.numpy()).pvalue > 0.001


# --------------------------------------------------------------------------------------------------------------- loss


def losses_by_hand(model: MixMatch, x: Tensor, y: Tensor, u: Tensor, streams: dict[str, torch.Generator]) -> Tensor:
    """Algorithm 1 of the paper, without dropout, one row at a time; returns both parts."""
    views = [model.augmentation.each(u, streams["augmentation"]) for _ in range(model.num_augmentations)]
    x = model.augmentation.each(x, streams["augmentation"])
    network = nn.Sequential(nn.Flatten(), model.trained["hidden"], nn.ReLU(), model.trained["head"])
    guesses = sum(network(view).softmax(dim=1) for view in views) / len(views)
    guesses = guesses**2 / (guesses**2).sum(dim=1, keepdim=True)
    rows = [*x, *[row for view in views for row in view]]
    labels = [*F.one_hot(y, 10).float(), *[guess for _ in views for guess in guesses.detach()]]
    twin = copy.deepcopy(model)
    twin.streams = streams
    order, weights = twin._draw_mixup(len(rows))
    supervised, consistency = torch.zeros(()), torch.zeros(())
    for i, (k, weight) in enumerate(zip(order.tolist(), weights, strict=True)):
        mixed = weight * rows[i] + (1 - weight) * rows[k]
        label = weight * labels[i] + (1 - weight) * labels[k]
        log_probs = network(mixed[None]).log_softmax(dim=1)[0]
        if i < len(x):
            supervised = supervised - (label * log_probs).sum() / len(x)
        else:
            consistency = consistency + (label - log_probs.exp()).square().mean() / (len(rows) - len(x))
    return torch.stack([supervised, consistency])


@pytest.mark.parametrize("num_augmentations", [1, 2, 3])
def test_the_loss_is_that_of_the_paper(num_augmentations):
    model = make_model(dropout=0.0, num_augmentations=num_augmentations, ramp_updates=0, unlabeled_weight=30.0)
    x, y, u = images(0, 16), digits().train_targets[:16], images(100, 116)
    seeds = {"augmentation": 3, "mixup": 4}
    model.streams = {purpose: generator(seed) for purpose, seed in seeds.items()}
    losses = model.losses(x, y, u)
    expected = losses_by_hand(model, x, y, u, {purpose: generator(seed) for purpose, seed in seeds.items()})
    torch.testing.assert_close(losses["train_loss_supervised"], expected[0])
    torch.testing.assert_close(losses["train_loss_consistency"], expected[1])
    torch.testing.assert_close(losses["train_loss"], expected[0] + 30 * expected[1])


def test_no_gradient_goes_through_the_guesses():
    """If one did, both sides of the squared error would be pulled."""
    model = make_model(dropout=0.0, ramp_updates=0, unlabeled_weight=1.0)
    x, y, u = images(0, 8), digits().train_targets[:8], images(100, 108)
    gradients = []
    for by_hand in (False, True):
        model.zero_grad()
        model.streams = {"augmentation": generator(1), "mixup": generator(2)}
        loss = (
            losses_by_hand(model, x, y, u, dict(model.streams)).sum()
            if by_hand
            else model.losses(x, y, u)["train_loss"]
        )
        loss.backward()
        gradients.append(model.trained["hidden"].weight.grad.clone())
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-4)


def test_the_weight_of_unlabeled_samples_rises_linearly():
    model = make_model(unlabeled_weight=75.0, ramp_updates=100)
    weights = []
    for model.num_updates in (0, 25, 100, 1000):
        weights.append(model._weight())
    assert weights == [0.0, 18.75, 75.0, 75.0]
    assert make_model(unlabeled_weight=5.0, ramp_updates=0)._weight() == 5.0


def test_an_empty_pool_leaves_the_supervised_part():
    model = make_model(ramp_updates=0)
    losses = model.losses(images(0, 8), digits().train_targets[:8], images(0, 0))
    assert float(losses["train_loss_consistency"]) == 0
    assert losses["train_loss"].isfinite()


# ------------------------------------------------------------------------------------------------------------ averages


def test_what_is_asked_is_the_average_and_what_is_trained_is_not():
    model = make_model(ema_decay=0.9)
    start = model.hidden.weight.clone()
    values = [torch.full_like(start, float(k)) for k in range(1, 60)]
    expected = start.double()
    for k, value in enumerate(values, start=1):
        with torch.no_grad():
            model.trained["hidden"].weight.copy_(value)
        model.after_step()
        decay = min(0.9, k / (10 + k))
        expected = decay * expected + (1 - decay) * value.double()
    torch.testing.assert_close(model.hidden.weight.double(), expected, rtol=1e-5, atol=1e-5)
    x = images(0, 5)
    torch.testing.assert_close(model.eval()(x), model.head(F.relu(model.hidden(x.flatten(1)))))
    trained = model.trained
    assert not trained["head"](trained["hidden"](x.flatten(1)).relu()).allclose(model(x))
    optimized = {id(p) for group in model.configure_optimizers().param_groups for p in group["params"]}
    assert optimized == {id(p) for p in model.trained.parameters()}


def test_weights_drawn_anew_are_those_of_the_supervised_network():
    models = [make_model(), DropoutMLP(64, 32)]
    for model in models:
        torch.manual_seed(7)
        reset_parameters(model)
    mixmatch, supervised = models
    assert mixmatch.hidden.weight.equal(supervised.hidden.weight)
    assert mixmatch.head.bias.equal(supervised.head.bias)
    assert mixmatch.trained["hidden"].weight.equal(supervised.hidden.weight)
    assert mixmatch.trained["head"].bias.equal(supervised.head.bias)


# ----------------------------------------------------------------------------------------------------------- whole fits


@pytest.mark.filterwarnings("ignore::Warning")
def test_a_fit_learns_from_samples_without_labels(tmp_path):
    """Paired: the same 50 labels, images and updates; only the weight of the unlabeled samples differs."""
    gains = []
    for seed in range(2):
        accuracies = []
        for weight in (0.0, 5.0):
            model = make_model(
                hidden_dim=64,
                dropout=0.2,
                unlabeled_weight=weight,
                ramp_updates=1000,
                min_updates_per_epoch=100,
                optimizer=lambda params: torch.optim.Adam(params, lr=3e-3),
            )
            row = run(tmp_path / f"{weight}-{seed}", model, epochs=20, num_rounds=0, seed=seed)[0]
            accuracies.append(float(row["test_acc"]))
        gains.append(accuracies[1] - accuracies[0])
    assert sum(gains) / 2 > 0.02


@pytest.mark.filterwarnings("ignore::Warning")
def test_a_run_is_repeated_and_continued_to_the_bit(tmp_path):
    whole = run(tmp_path / "whole", make_model(), strategy=Margin(), num_rounds=2)
    assert run(tmp_path / "again", make_model(), strategy=Margin(), num_rounds=2) == whole
    run(tmp_path / "parts", make_model(), strategy=Margin(), num_rounds=1)
    assert run(tmp_path / "parts", make_model(), strategy=Margin(), num_rounds=2) == whole
    queries = [(tmp_path / name / "queries.csv").read_bytes() for name in ("whole", "parts")]
    assert queries[0] == queries[1]


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("name", sorted(set(KNOWN_CLASSES["loop.strategy"]) - {"Replay"}))  # it asks no model
def test_any_strategy_goes_with_it(tmp_path, name):
    rows = run(tmp_path, make_model(), strategy=make_strategy(name), epochs=2, num_rounds=2)
    assert [row["num_labeled"] for row in rows] == ["50", "70", "90"]


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_other_precisions_learn_as_much(tmp_path, precision):
    accuracies = [
        float(run(tmp_path / p, make_model(), epochs=10, num_rounds=0, precision=p)[0]["test_acc"])
        for p in ("32-true", precision)
    ]
    assert accuracies[1] == pytest.approx(accuracies[0], abs=0.05)


@pytest.mark.filterwarnings("ignore::Warning")
def test_both_parts_of_the_loss_have_their_curves(tmp_path):
    run(tmp_path, make_model(ramp_updates=0, unlabeled_weight=3.0), epochs=4)
    curves = EventAccumulator(str(tmp_path / "fit")).Reload()
    losses = {
        name: [event.value for event in curves.Scalars(f"fit/train_loss{name}")]
        for name in ("", "_supervised", "_consistency")
    }
    assert [len(values) for values in losses.values()] == [8, 8, 8]
    for total, supervised, consistency in zip(*losses.values(), strict=True):
        assert total == pytest.approx(supervised + 3 * consistency, rel=1e-4)
        assert consistency > 0


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize(("least", "num_labeled", "expected"), [(1, 50, 3), (2, 70, 6), (7, 50, 21), (40, 50, 120)])
def test_an_epoch_is_a_pass_or_enough_updates(tmp_path, least, num_labeled, expected):
    model = make_model(min_updates_per_epoch=least)
    run(tmp_path, model, epochs=3, num_rounds=0, num_initial=num_labeled)
    assert model.num_updates == expected


@pytest.mark.filterwarnings("ignore::Warning")
def test_a_fit_does_not_end_before_the_ramp(tmp_path):
    """A few labels are learned at once, by the labels alone."""
    epochs = []
    for ramp_updates in (0, 300):
        model = make_model(ramp_updates=ramp_updates, unlabeled_weight=1.0, min_updates_per_epoch=10)
        row = run(tmp_path / str(ramp_updates), model, epochs=60, num_rounds=0, threshold=0.5)[0]
        epochs.append(int(row["epochs"]))
        assert row["converged"] == "True"
    assert epochs[0] < 30
    assert epochs[1] == 30


@pytest.mark.filterwarnings("ignore::Warning")
def test_targets_of_the_pool_are_never_seen(tmp_path):
    class Lying(Images):
        def load(self) -> Arrays:
            arrays = super().load()
            targets = arrays.train_targets.clone()
            labeled = self.draw_rows
            wrong = torch.ones(len(targets), dtype=torch.bool)
            wrong[labeled] = False
            targets[wrong] = (targets[wrong] + 1) % 10
            return arrays._replace(train_targets=targets)

    honest = Images(num_initial=50)
    rows = honest.draw_initial(generator(0))
    accuracies = []
    for data in (Images(num_initial=50), Lying(num_initial=50)):
        data.draw_rows = rows
        data.set_labeled(rows)
        data.shuffle_generator, data.unlabeled_generator = generator(1), generator(2)
        model = make_model()
        model.streams = {"augmentation": generator(3), "mixup": generator(4)}
        trainer = L.Trainer(
            max_epochs=3, logger=False, enable_checkpointing=False, accelerator="cpu", enable_progress_bar=False
        )
        torch.manual_seed(0)
        trainer.fit(model, datamodule=data)
        accuracies.append(model.hidden.weight.clone())
    assert accuracies[0].equal(accuracies[1])


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("num_augmentations", 0, "at least 1"),
        ("temperature", 0.0, "at least 0.001"),
        ("mixup_alpha", -1.0, "above 0"),
        ("unlabeled_weight", -1.0, "at least 0"),
        ("ramp_updates", -1, "at least 0"),
        ("ema_decay", 1.0, r"in \[0, 1\)"),
        ("min_updates_per_epoch", 0, "at least 1"),
    ],
)
def test_arguments_out_of_range_raise(name, value, allowed):
    with pytest.raises(InputError, match=f"`model.{name}` to be {allowed}, but got {value}"):
        MixMatch(**{name: value})
