"""DropoutMLP: its parts fit together, its masks are those of dropout, and a fit is the plain loop to the bit."""

import copy

import lightning.pytorch as L
import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor, nn
from torch.nn import functional as F

from al_lightning.data.blocks import BatchLoader, MinibatchLoader, TensorBlocks, TensorRows
from al_lightning.errors import InputError
from al_lightning.models import DropoutMLP
from al_lightning.models.metrics import NAMES
from tests.digits import DigitsMLP
from tests.helpers import digits, fitted_model, generator, pool_inputs


@pytest.fixture
def model() -> DigitsMLP:
    return copy.deepcopy(fitted_model())


# ---------------------------------------------------------------------------------------------------------- prediction


def test_forward_is_head_of_dropout_of_embed(model):
    torch.manual_seed(0)
    expected = model.head(model.dropout(model.embed(pool_inputs())))
    torch.manual_seed(0)
    assert model(pool_inputs()).equal(expected)


def test_forward_is_the_network_it_says(model):
    h = (pool_inputs().double() @ model.hidden.weight.double().T + model.hidden.bias).clamp(min=0)
    expected = h @ model.head.weight.double().T + model.head.bias
    torch.testing.assert_close(model.eval()(pool_inputs()).double(), expected, atol=1e-5, rtol=0)


def test_inputs_of_any_shape_are_flattened(model):
    images = pool_inputs().view(-1, 1, 8, 8)
    assert model.embed(images).equal(model.embed(pool_inputs()))
    assert model.embed(images).shape == (300, 32)


def test_evaluation_is_deterministic_whatever_samples_were_drawn(model):
    """Regression: with dropout on, the measured accuracy belongs to a smaller network (baal #279)."""
    model.eval()
    before = model(pool_inputs())
    model.sample(model.embed(pool_inputs()), model.draw_masks(7, generator()))
    assert model(pool_inputs()).equal(before)
    assert model.predict_step((pool_inputs(), None)).equal(before.softmax(dim=1))


def test_training_drops_units(model):
    assert not model.train()(pool_inputs()).equal(model(pool_inputs()))


# --------------------------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize("num_samples", [1, 20])
def test_samples_equal_a_loop_over_masks(model, num_samples):
    embeddings = model.embed(pool_inputs())
    masks = model.draw_masks(num_samples, generator())
    expected = torch.stack([model.head(embeddings * mask) for mask in masks], dim=1)
    logits = model.sample(embeddings, masks)
    assert logits.shape == (300, num_samples, 10)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_a_sample_equals_dropout_with_the_same_mask(model):
    """Dropout itself; the global seed decides which units are dropped."""
    embeddings = model.embed(pool_inputs(1))
    torch.manual_seed(0)
    mask = model.dropout.train()(torch.ones(1, 32))
    torch.manual_seed(0)
    expected = model.train()(pool_inputs(1))
    torch.testing.assert_close(model.sample(embeddings, mask)[:, 0], expected, atol=1e-6, rtol=1e-5)


def test_the_mask_of_ones_is_no_dropout(model):
    logits = model.sample(model.embed(pool_inputs()), torch.ones(1, 32))[:, 0]
    torch.testing.assert_close(logits, model.eval()(pool_inputs()), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.9])
def test_masks_keep_units_as_often_and_scale_them_as_dropout(dropout):
    masks = DigitsMLP(dropout=dropout).draw_masks(1000, generator())
    assert masks.shape == (1000, 32)
    assert masks.dtype == torch.float32
    assert masks.unique().tolist() == pytest.approx([0, 1 / (1 - dropout)])
    kept = masks > 0
    assert binomtest(int(kept.sum()), kept.numel(), 1 - dropout).pvalue > 1e-3
    assert (kept.float().mean(dim=0) - (1 - dropout)).abs().max() < 0.06
    assert (kept.float().mean(dim=1) - (1 - dropout)).abs().max() < 0.5


def test_masks_come_from_the_generator_alone(model):
    state = torch.get_rng_state()
    masks = model.draw_masks(5, generator(1))
    assert torch.get_rng_state().equal(state)
    assert model.draw_masks(5, generator(1)).equal(masks)
    assert not model.draw_masks(5, generator(2)).equal(masks)


def test_no_dropout_raises():
    with pytest.raises(InputError, match=r"active dropout for Monte Carlo samples, but got `model.dropout` = 0"):
        DigitsMLP(dropout=0).draw_masks(5, generator())


# -------------------------------------------------------------------------------------------------------- constructor


@pytest.mark.parametrize(("name", "least"), [("input_dim", 1), ("hidden_dim", 1), ("num_classes", 2)])
@pytest.mark.parametrize("below", [1, 4])
def test_sizes_that_are_too_small_raise(name, least, below):
    value = least - below
    with pytest.raises(InputError, match=f"`model.{name}` to be at least {least}, but got {value}"):
        DropoutMLP(**{name: value})


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 1.5, float("nan")])
def test_dropout_out_of_range_raises(dropout):
    with pytest.raises(InputError, match=r"`model.dropout` to be in \[0, 1\), but got"):
        DropoutMLP(dropout=dropout)


def test_default_is_the_protocol():
    model = DropoutMLP()
    assert [tuple(p.shape) for p in model.parameters()] == [(256, 784), (256,), (10, 256), (10,)]
    assert model.dropout.p == 0.5
    optimizer = model.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    assert optimizer.defaults["lr"] == 3e-4


def test_each_fit_has_an_optimizer_of_its_own(model):
    assert model.configure_optimizers() is not model.configure_optimizers()


# ------------------------------------------------------------------------------------------------------------ training


NUM_EPOCHS = 3
NUM_TRAIN = 333  # 21 minibatches of 16, the last one of 13


def plain_fit(model: nn.Module) -> list[float]:
    """One minibatch after the other; returns the mean loss of each epoch."""
    inputs, targets = digits().train_inputs, digits().train_targets
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    shuffle, losses = generator(7), []
    model.train()
    for _ in range(NUM_EPOCHS):
        order = torch.randperm(NUM_TRAIN, generator=shuffle)
        total = 0.0
        for rows in order.split(16):
            loss = F.cross_entropy(model(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        losses.append(total / NUM_TRAIN)
    return losses


def make_trainer(max_epochs: int = NUM_EPOCHS, **kwargs) -> L.Trainer:
    return L.Trainer(
        max_epochs=max_epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **kwargs,
    )


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("group", [1, 4, 16, 1000])
def test_a_fit_in_groups_of_minibatches_is_the_plain_loop_to_the_bit(group):
    torch.manual_seed(0)
    model = DropoutMLP(64, 32, optimizer=lambda params: torch.optim.SGD(params, lr=0.05, momentum=0.9))
    expected = copy.deepcopy(model)
    torch.manual_seed(1)
    losses = plain_fit(expected)
    inputs, targets = digits().train_inputs[:NUM_TRAIN], digits().train_targets[:NUM_TRAIN]
    loader = MinibatchLoader(TensorRows(inputs), targets, 16, group, generator(7))
    trainer = make_trainer()
    torch.manual_seed(1)
    trainer.fit(model, loader)
    assert all(p.equal(q) for p, q in zip(model.parameters(), expected.parameters(), strict=True))
    assert float(trainer.callback_metrics["train_loss"]) == pytest.approx(losses[-1], rel=1e-5)
    assert losses[-1] < losses[0]


def num_denormal(optimizer: torch.optim.Optimizer) -> int:
    averages = torch.cat([state["exp_avg"].abs().flatten() for state in optimizer.state.values()])
    return int(((averages > 0) & (averages < torch.finfo(averages.dtype).tiny)).sum())


class KillUnits(L.Callback):
    """Half of the hidden units see no sample from the second epoch on."""

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch == 1:
            kill_units(pl_module)


def kill_units(model: nn.Module) -> None:
    with torch.no_grad():
        model.hidden.bias[:16] = -1e3


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="This CPU does not flush denormal numbers.")
@pytest.mark.filterwarnings("ignore::Warning")
def test_denormal_averages_of_dead_units_are_zero_and_no_weight_shows_it():
    torch.manual_seed(0)
    model = DropoutMLP(64, 32, dropout=0, optimizer=lambda params: torch.optim.Adam(params, lr=0.01))
    expected = copy.deepcopy(model)
    inputs, targets = digits().train_inputs[:128], digits().train_targets[:128]
    optimizer, shuffle = expected.configure_optimizers(), generator(7)
    for epoch in range(120):  # 960 updates; 0.9 to the power of 840 is denormal
        if epoch == 1:
            kill_units(expected)
        for rows in torch.randperm(128, generator=shuffle).split(16):
            optimizer.zero_grad()
            F.cross_entropy(expected(inputs[rows]), targets[rows]).backward()
            optimizer.step()
    assert num_denormal(optimizer) > 500
    trainer = make_trainer(callbacks=[KillUnits()], max_epochs=120)
    trainer.fit(model, MinibatchLoader(TensorRows(inputs), targets, 16, 4, generator(7)))
    assert num_denormal(trainer.optimizers[0]) == 0
    assert all(p.equal(q) for p, q in zip(model.parameters(), expected.parameters(), strict=True))


class CountingHooks(L.Callback):
    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        self.calls.append("backward")

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        self.calls.append("step")


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize(("group", "num_calls"), [(1, 7), (4, 2), (16, 1)])
def test_hooks_of_a_step_run_once_for_each_group_of_minibatches(group, num_calls):
    inputs, targets = digits().train_inputs[:100], digits().train_targets[:100]
    hooks = CountingHooks()
    trainer = make_trainer(callbacks=[hooks])
    trainer.fit(DropoutMLP(64, 32), MinibatchLoader(TensorRows(inputs), targets, 16, group))
    assert hooks.calls == ["backward", "step"] * num_calls * NUM_EPOCHS
    assert trainer.global_step == num_calls * NUM_EPOCHS


def mean_over_rows(score: Tensor) -> float:
    return float(score.double().mean())


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("batch_size", [64, 1000])
def test_test_metrics_are_those_of_all_rows(model, batch_size):
    inputs, targets = digits().test_inputs, digits().test_targets
    trainer = make_trainer()
    (metrics,) = trainer.test(model, BatchLoader(TensorBlocks(inputs, block_size=batch_size), targets), verbose=False)
    with torch.no_grad():
        log_probs = model.eval()(inputs).double().log_softmax(dim=1)
    one_hot = F.one_hot(targets, 10)
    assert set(metrics) == {f"test_{name}" for name in NAMES}
    assert metrics["test_acc"] == pytest.approx(mean_over_rows(log_probs.argmax(dim=1) == targets))
    assert metrics["test_nll"] == pytest.approx(mean_over_rows(-(log_probs * one_hot).sum(dim=1)), rel=1e-5)
    assert metrics["test_brier"] == pytest.approx(
        mean_over_rows((log_probs.exp() - one_hot).square().sum(dim=1)), rel=1e-5
    )
    assert trainer.test(model, BatchLoader(TensorBlocks(inputs, block_size=batch_size), targets), verbose=False) == [
        metrics
    ]
