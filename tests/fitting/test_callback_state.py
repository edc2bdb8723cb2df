"""A continued run equals a run that was never stopped, for any state of callbacks in any place."""

import random
from collections import deque
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    GradientAccumulationScheduler,
    LambdaCallback,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    StochasticWeightAveraging,
    WeightAveraging,
)
from torch import Tensor, nn

from al_lightning import Entropy, InputError
from al_lightning.fitting.callback_state import FreshCallbacks
from tests.digits import FlatDigits
from tests.test_loop import make_loop, make_trainer, rows, run, timeless


class Net(L.LightningModule):
    """A user's module: automatic optimization, batch normalisation, a learning rate that can be found."""

    def __init__(self) -> None:
        super().__init__()
        self.lr = 3e-3
        self.backbone = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam((p for p in self.parameters() if p.requires_grad), lr=self.lr)


def set_lr(trainer: L.Trainer, factor: float) -> None:
    for group in trainer.optimizers[0].param_groups:
        group["lr"] = 1e-2 * factor


class Counts(Callback):
    """Lowers the learning rate with each batch that it has seen."""

    def __init__(self) -> None:
        self.num_batches = 0

    def on_train_batch_start(self, trainer: L.Trainer, *args: object) -> None:
        self.num_batches += 1
        set_lr(trainer, 1 / self.num_batches)


class Remembers(Callback):
    """Stops when the loss has risen twice; keeps its count in objects, and adds attributes later."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.last: deque[float] = deque(maxlen=2)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.first_epoch = getattr(self, "first_epoch", len(self.losses))
        self.losses.append(float(trainer.callback_metrics["train_loss"]))
        self.last.append(self.losses[-1])
        trainer.should_stop = len(self.losses) - self.first_epoch >= 4 or self.first_epoch > 0


def closes_over() -> LambdaCallback:
    counts, number = [0], 1.0

    def start(trainer: L.Trainer, *args: object) -> None:
        nonlocal number
        counts[0] += 1
        number *= 0.8
        set_lr(trainer, number / counts[0])

    return LambdaCallback(on_train_batch_start=start)


class Noise(Callback):
    """Draws from the generators that augmentations of other libraries use."""

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: list, index: int) -> None:
        batch[0].add_(torch.from_numpy(np.random.randn(*batch[0].shape)).float() * random.random())

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        with torch.no_grad():
            pl_module.head.bias.add_(torch.rand(10))


class ChangesTheTrainer(Callback):
    """Changes limits and the batch size of the data, as tuners do."""

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.limit_train_batches = 1
        trainer.fit_loop.max_epochs = 2
        trainer.fit_loop.epoch_loop.min_steps = 50
        trainer.gradient_clip_val = 0.01
        trainer.datamodule.batch_size = 7
        trainer.callbacks.append(Counts())


class CountsInTheModel(Callback):
    """Keeps its count in an attribute that it adds to the model."""

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: object) -> None:
        pl_module.num_batches = getattr(pl_module, "num_batches", 0) + 1
        set_lr(trainer, 1 / pl_module.num_batches)


def counts_in_the_class() -> Callback:
    class CountsInTheClass(Callback):
        total = 0

        def on_train_batch_start(self, trainer: L.Trainer, *args: object) -> None:
            type(self).total += 1
            set_lr(trainer, 1 / type(self).total)

    return CountsInTheClass()


CALLBACKS: dict[str, Callable[[], Callback]] = {
    "swa": lambda: StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=2),
    "swa of a share of the epochs": lambda: StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=0.5),
    "accumulation": lambda: GradientAccumulationScheduler({1: 2, 3: 4}),
    "finder": lambda: LearningRateFinder(min_lr=1e-4, max_lr=0.5, num_training_steps=12),
    "ema": lambda: EMAWeightAveraging(decay=0.5),
    "mean": lambda: WeightAveraging(),
    "stopping": lambda: EarlyStopping("train_loss", min_delta=0.3, patience=1),
    "pruning": lambda: ModelPruning("l1_unstructured", amount=0.3),
    "lottery": lambda: ModelPruning("l1_unstructured", amount=0.3, use_lottery_ticket_hypothesis=True),
    "finetuning": lambda: BackboneFinetuning(unfreeze_backbone_at_epoch=2, backbone_initial_ratio_lr=0.5),
    "counts": Counts,
    "remembers": Remembers,
    "counts in the model": CountsInTheModel,
    "counts in the class": counts_in_the_class,
    "closure": closes_over,
    "noise": Noise,
    "trainer": ChangesTheTrainer,
}


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """A run without a callback."""
    folder = tmp_path_factory.mktemp("without")
    run(folder, model=Net(), trainer={"max_epochs": 6})
    return timeless(folder)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLBACKS)
def test_a_run_continues_to_the_same_bits_with(
    tmp_path: Path, without: list, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = {"max_epochs": 6}
    run(tmp_path / "whole", None, CALLBACKS[name](), model=Net(), trainer=trainer)
    for num_rounds in (0, 1, 2):
        np.random.seed(num_rounds)  # another process has other states
        random.seed(num_rounds)
        torch.manual_seed(num_rounds)
        run(tmp_path / "parts", None, CALLBACKS[name](), model=Net(), trainer=trainer, num_rounds=num_rounds)
    assert timeless(tmp_path / "parts") == timeless(tmp_path / "whole")
    assert rows(tmp_path / "parts", "queries.csv") == rows(tmp_path / "whole", "queries.csv")
    assert (timeless(tmp_path / "whole") == without) == (name == "trainer")  # the callback does something


def test_a_checkpoint_callback_changes_no_round(tmp_path: Path, without: list) -> None:
    saved = [ModelCheckpoint(tmp_path / "saved", monitor="train_loss", save_top_k=2, save_last=True) for _ in "ab"]
    trainer = {"max_epochs": 6, "enable_checkpointing": True, "default_root_dir": str(tmp_path)}
    run(tmp_path / "run", None, saved[0], model=Net(), trainer=trainer, num_rounds=1)
    run(tmp_path / "run", None, saved[1], model=Net(), trainer=trainer)
    assert timeless(tmp_path / "run") == without
    best = torch.load(saved[1].best_model_path, weights_only=True)
    assert best["epoch"] == 5  # of the last round, and not of one that had a lower loss
    assert float(saved[1].best_model_score) == min(map(float, saved[1].best_k_models.values()))


def test_callbacks_of_the_model_are_put_back_too(tmp_path: Path) -> None:
    class WithCallbacks(Net):
        def __init__(self) -> None:
            super().__init__()
            self.own = [Counts(), EarlyStopping("train_loss", min_delta=0.3, patience=1)]

        def configure_callbacks(self) -> list[Callback]:
            return self.own

    run(tmp_path / "whole", model=WithCallbacks(), trainer={"max_epochs": 6})
    for num_rounds in (0, 1, 2):
        run(tmp_path / "parts", model=WithCallbacks(), trainer={"max_epochs": 6}, num_rounds=num_rounds)
    assert timeless(tmp_path / "parts") == timeless(tmp_path / "whole")


def test_records_of_a_callback_are_those_of_all_rounds(tmp_path: Path) -> None:
    class Watch(Callback):
        """Records that users read after a run, in lists of their own, too."""

        def __init__(self, epochs: list[int]) -> None:
            self.epochs = epochs
            self.by_name: dict[str, list[int]] = {"before": [1]}
            self.labels: set[int] = {-1}
            self.seen: list[int] = []

        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            self.epochs.append(trainer.current_epoch)
            self.seen.append(len(self.epochs))
            self.by_name.setdefault("epochs", []).append(trainer.current_epoch)
            self.labels.add(len(trainer.datamodule.labeled_indices))

    epochs = [100]
    watch = Watch(epochs)
    run(tmp_path, None, watch)
    assert epochs == [100, *[0, 1, 2] * 3]
    assert watch.epochs is epochs
    assert watch.seen == [2, 3, 4] * 3  # each fit found what the first one found
    assert watch.by_name == {"before": [1], "epochs": [0, 1, 2] * 3}
    assert watch.labels == {-1, 50, 60, 70}


def test_a_callback_may_refer_to_what_it_does_not_own(tmp_path: Path) -> None:
    class Refers(Callback):
        def __init__(self, *parts: object) -> None:
            self.parts = parts

    data, model = FlatDigits(num_initial=50), Net()
    loop = make_loop(tmp_path)
    refers = Refers(data, model, model.head, model.head.weight, loop)
    parts = refers.parts
    loop.run(make_trainer(loop, refers), model, data)
    assert all(a is b for a, b in zip(refers.parts, parts, strict=True))


def test_what_cannot_be_put_back_is_refused_or_named(tmp_path: Path) -> None:
    class Draws(Callback):
        def __init__(self) -> None:
            self.rates = (0.1 / n for n in range(1, 100))

    with pytest.raises(InputError, match="`rates` of the callback Draws to be something that each round can begin"):
        run(tmp_path / "run", None, Draws())
    assert not (tmp_path / "run").exists()

    class Module:
        def __deepcopy__(self, memo: dict) -> None:
            raise TypeError("no copies of a socket")

    class Holds(Callback):
        def __init__(self) -> None:
            self.socket = Module()
            self.file = (tmp_path / "log.txt").open("w")

    with pytest.warns(UserWarning, match=r"`socket` of the callback Holds cannot be copied \(no copies of a socket\)"):
        run(tmp_path / "run", None, holds := Holds(), num_rounds=1)
    holds.file.close()  # whichever test runs when it is collected would fail


def test_callbacks_are_put_back_by_value() -> None:
    class Nested(Callback):
        def __init__(self) -> None:
            self.tree = {"a": [torch.zeros(2)]}
            self.alias = self.tree["a"]
            self.count = 0

    nested = Nested()
    fresh = FreshCallbacks([nested], [])
    for _ in range(3):
        fresh.restore()
        assert (nested.count, nested.tree["a"][0].tolist(), len(nested.alias)) == (0, [0.0, 0.0], 1)
        nested.tree["a"][0].add_(1)
        nested.count += 1
        nested.later = True
    fresh.restore()
    assert not hasattr(nested, "later")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [lambda: EMAWeightAveraging(decay=0.9), CALLBACKS["swa"]])
@pytest.mark.parametrize("is_first", [True, False])
def test_the_query_sees_the_model_that_is_tested(tmp_path: Path, make: Callable[[], Callback], is_first: bool) -> None:
    """Both callbacks put the averaged weights into the model when training ends."""
    queried: list[dict[str, Tensor]] = []
    tested: list[dict[str, Tensor]] = []
    saved: list[dict[str, Tensor]] = []

    class Watch(Entropy):
        def query(self, pool, query_size, generator):
            queried.append({name: value.clone() for name, value in pool.model.state_dict().items()})
            return super().query(pool, query_size, generator)

    class Tested(Net):
        def test_step(self, batch: tuple[Tensor, Tensor]) -> None:
            self.log("test_acc", (self(batch[0]).argmax(1) == batch[1]).float().mean())

        def on_test_start(self) -> None:
            tested.append({name: value.clone() for name, value in self.state_dict().items()})

    loop = make_loop(tmp_path, Watch())
    callbacks = [make(), loop] if is_first else [loop, make()]
    data, model = FlatDigits(num_initial=50), Tested()
    loop.run(make_trainer(*callbacks, max_epochs=6), model, data)
    queried = queried[1:]  # the first was tried before the fit
    saved.append(torch.load(tmp_path / "model.ckpt", weights_only=True)["state_dict"])
    assert len(queried) == 2
    assert len(tested) == 3
    for seen, other in [*zip(queried, tested[:2], strict=True), (saved[0], tested[2])]:
        assert seen.keys() == other.keys()
        assert all(torch.equal(seen[name], other[name]) for name in seen)
    # the training accuracy is that of the same weights
    model.eval()
    labeled = data.labeled_indices
    with torch.no_grad():
        right = model(data.source.train_inputs[labeled]).argmax(1) == data.train_targets[labeled]
    assert float(rows(tmp_path)[-1]["train_acc"]) == pytest.approx(right.float().mean().item())


def test_the_order_of_callbacks_decides_nothing(tmp_path: Path) -> None:
    for name in ("first", "last"):
        loop, average = make_loop(tmp_path / name), EMAWeightAveraging(decay=0.9)
        callbacks = [average, loop] if name == "first" else [loop, average]
        loop.run(make_trainer(*callbacks, max_epochs=6), Net(), FlatDigits(num_initial=50))
    assert timeless(tmp_path / "first") == timeless(tmp_path / "last")
    assert rows(tmp_path / "first", "queries.csv") == rows(tmp_path / "last", "queries.csv")
