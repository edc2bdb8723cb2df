"""Convergence: a threshold is reached at its value, and each model has its rule."""

import csv
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import CSVLogger
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from al_lightning import (
    ActiveLearningLoop,
    Convergence,
    DatasetPool,
    Digits,
    DropoutMLP,
    MixMatch,
    MonteCarloMLP,
    Random,
)
from al_lightning.cli import main
from al_lightning.cli.fit import settings_of_fit


@pytest.mark.parametrize(
    ("mode", "threshold", "value", "reached"),
    [
        ("max", 0.99, 0.99, True),
        ("max", 0.99, 0.9901, True),
        ("max", 0.99, 0.9899, False),
        ("min", 0.1, 0.1, True),
        ("min", 0.1, 0.0999, True),
        ("min", 0.1, 0.1001, False),
    ],
)
def test_a_metric_at_the_threshold_has_reached_it(mode: str, threshold: float, value: float, reached: bool) -> None:
    convergence = Convergence(mode=mode, stopping_threshold=threshold)
    stopped, _ = convergence._evaluate_stopping_criteria(torch.tensor(value))
    assert stopped == reached


def test_495_of_500_is_99_percent() -> None:
    accuracy = (torch.arange(500) < 495).float().mean()
    assert Convergence()._evaluate_stopping_criteria(accuracy)[0]
    assert not Convergence()._evaluate_stopping_criteria(accuracy - 1 / 500)[0]


def test_by_default_patience_never_runs_out() -> None:
    convergence = Convergence()
    assert not any(convergence._evaluate_stopping_criteria(torch.tensor(0.5))[0] for _ in range(2000))


def test_without_a_threshold_patience_decides() -> None:
    convergence = Convergence(stopping_threshold=None, patience=2)
    assert [convergence._evaluate_stopping_criteria(torch.tensor(0.995))[0] for _ in range(3)] == [False, False, True]


# ------------------------------------------------------------------------------------------------------ which rule


class Linear(L.LightningModule):
    """A linear model as a user writes it, that logs nothing."""

    def __init__(self, num_features: int, num_classes: int, learning_rate: float = 3e-3) -> None:
        super().__init__()
        self.layer = nn.Linear(num_features, num_classes)
        self.learning_rate = learning_rate

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)


def test_the_model_decides_unless_an_argument_is_given() -> None:
    for model in (DropoutMLP(), MonteCarloMLP(), MixMatch()):
        convergence = Convergence()
        convergence.settle(model)
        assert not convergence.by_loss
        assert convergence.monitor == "train_acc"
        assert convergence.settings == Convergence("train_acc", 0.99, "max", 1_000_000, 0.0).settings
    convergence.settle(Linear(2, 2))  # of another run of the same notebook
    assert convergence.by_loss
    assert convergence.monitor == "train_nll"


@pytest.mark.parametrize(
    "arguments",
    [
        {"monitor": "train_acc"},
        {"stopping_threshold": 0.99},
        {"stopping_threshold": None},
        {"mode": "max"},
        {"patience": 1_000_000},
        {"min_delta": 0.0},
    ],
)
def test_an_argument_keeps_its_meaning_whatever_the_model(arguments: dict) -> None:
    convergence = Convergence(**arguments)
    convergence.settle(Linear(2, 2))
    assert not convergence.by_loss
    expected = Convergence("train_acc", 0.99, "max", 1_000_000, 0.0).settings | arguments
    assert convergence.settings == expected


def test_the_settings_of_the_loss_rule_give_the_loss_rule() -> None:
    convergence = Convergence()
    convergence.settle(Linear(2, 2))
    again = Convergence(**convergence.settings)
    again.settle(DropoutMLP())
    assert again.by_loss


# ----------------------------------------------------------------------------------------- fits by the loss rule


def clusters(num_classes: int, num_features: int, size: int, spread: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gaussian clusters around random centres: training inputs and classes, test inputs and classes."""
    generator = torch.Generator().manual_seed(0)
    centres = spread * torch.randn(num_classes, num_features, generator=generator)
    train, test = torch.arange(size) % num_classes, torch.randint(num_classes, (2000,), generator=generator)
    noise = torch.randn(size + 2000, num_features, generator=generator)
    return centres[train] + noise[:size], train, centres[test] + noise[size:], test


def run(
    run_dir: Path,
    data: tuple[Tensor, ...],
    model: L.LightningModule,
    *callbacks: Callback,
    batch_size: int = 100,
    num_initial: int | None = None,
    **trainer: Any,
) -> list[dict[str, str]]:
    pool = DatasetPool(TensorDataset(*data[:2]), TensorDataset(*data[2:]), num_initial=num_initial or len(data[0]))
    pool.batch_size = batch_size
    loop = ActiveLearningLoop(Random(), query_size=10, num_rounds=0, run_dir=str(run_dir))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    loop.run(L.Trainer(callbacks=[loop, *callbacks], **{"max_epochs": -1, **quiet, **trainer}), model, pool)
    with (run_dir / "rounds.csv").open() as file:
        return list(csv.DictReader(file))


def accuracy_of_plain_fit(data: tuple[Tensor, ...], model: Linear, epochs: int, batch_size: int) -> float:
    """Test accuracy after a number of epochs, by a loop of a few lines."""
    torch.manual_seed(1)
    model.layer.reset_parameters()
    optimizer = model.configure_optimizers()
    inputs, targets, test_inputs, test_targets = data
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs)).split(batch_size):
            loss = F.cross_entropy(model(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        return (model(test_inputs).argmax(1) == test_targets).float().mean().item()


@pytest.mark.parametrize(
    ("num_classes", "num_features", "size", "spread", "rate"),
    [(10, 768, 300, 0.12, 0.005), (100, 64, 200, 0.5, 0.02)],
    ids=["features", "classes"],
)
def test_a_converged_fit_is_as_good_as_one_of_five_times_the_updates(
    tmp_path: Path, num_classes: int, num_features: int, size: int, spread: float, rate: float
) -> None:
    data = clusters(num_classes, num_features, size, spread)
    model = Linear(num_features, num_classes, learning_rate=rate)
    (by_accuracy,) = run(tmp_path / "accuracy", data, model, Convergence("train_acc"), max_epochs=200, batch_size=size)
    (by_loss,) = run(tmp_path / "loss", data, model, Convergence(), batch_size=size)
    assert by_loss["converged"] == "True"
    longer = accuracy_of_plain_fit(data, model, 5 * int(by_loss["epochs"]), batch_size=size)
    assert float(by_loss["test_acc"]) > longer - 0.03
    assert float(by_accuracy["test_acc"]) < longer - 0.05, "the rule of the protocol ends this fit too early"


def test_a_fit_has_converged_only_when_its_loss_has_ceased_to_fall(tmp_path: Path) -> None:
    """One feature and a tenth of the labels wrong: the loss has a minimum, which scikit-learn finds."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(400, 1, generator=generator)
    targets = (inputs[:, 0] + torch.randn(400, generator=generator) > 0).long()
    data = (inputs, targets, inputs, targets)
    best = LogisticRegression(C=1e6).fit(inputs.numpy(), targets.numpy())
    smallest = log_loss(targets.numpy(), best.predict_proba(inputs.numpy()))
    model = Linear(1, 2, learning_rate=0.03)
    losses = Losses(inputs, targets)
    (row,) = run(tmp_path, data, model, Convergence(), losses)
    assert row["converged"] == "True"
    assert losses.values[-1] == pytest.approx(smallest, rel=0.01)
    # after so few updates it might still have fallen: two windows of 500 updates, 4 updates an epoch
    assert int(row["epochs"]) >= 250


def test_a_fit_that_is_cut_short_has_not_converged(tmp_path: Path) -> None:
    data = clusters(10, 768, 300, 0.12)
    for name, cap in (
        ("epochs", {"max_epochs": 40}),
        ("steps", {"max_steps": 120}),
        ("time", {"max_time": "00:00:00:01"}),
    ):
        (row,) = run(tmp_path / name, data, Linear(768, 10, 1e-5), Convergence(), **cap)
        assert row["converged"] == "False", name


def test_a_fit_without_a_cap_has_one_of_20000_updates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("al_lightning.fitting.stopping.MAX_UPDATES", 90)
    monkeypatch.setattr("al_lightning.fitting.stopping.MAX_EPOCHS", 7)
    data = clusters(10, 768, 300, 0.12)
    seen = Epochs()
    (row,) = run(tmp_path / "updates", data, Linear(768, 10), Convergence(), seen)
    assert (row["epochs"], row["converged"], seen.cap) == ("30", "False", 30)  # of 3 updates each
    (row,) = run(tmp_path / "epochs", data, Linear(768, 10), Convergence(), batch_size=10)
    assert (row["epochs"], row["converged"]) == ("7", "False")
    (row,) = run(tmp_path / "theirs", data, Linear(768, 10), Convergence(), max_epochs=3)
    assert (row["epochs"], row["converged"]) == ("3", "False")


def test_the_loss_that_the_module_returns_counts_too(tmp_path: Path) -> None:
    """Its own loss falls for more than 3,000 updates; the cross-entropy of its labels is small long before."""

    class Own(Linear):
        def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            return super().training_step(batch) + 10 / (1 + self.trainer.global_step)

    data = clusters(3, 20, 60, 3.0)
    (plain,) = run(tmp_path / "plain", data, Linear(20, 3, 0.1), Convergence())
    (own,) = run(tmp_path / "own", data, Own(20, 3, 0.1), Convergence(), max_epochs=600)
    assert (plain["converged"], own["converged"]) == ("True", "False")
    assert int(plain["epochs"]) < 600 == int(own["epochs"])


def test_a_fit_that_diverges_has_not_converged(tmp_path: Path) -> None:
    class Diverging(Linear):
        def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            return super().training_step(batch) * (torch.nan if self.trainer.global_step > 30 else 1.0)

    (row,) = run(tmp_path, clusters(3, 20, 60, 3.0), Diverging(20, 3), Convergence(), max_epochs=300)
    assert row["converged"] == "False"
    assert int(row["epochs"]) < 300


def test_a_rule_that_is_met_does_not_hide_another_that_sees_a_divergence(tmp_path: Path) -> None:
    class Logs(Linear):
        def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            self.log("odd", torch.tensor(torch.nan))
            return super().training_step(batch)

    odd = EarlyStopping("odd", check_on_train_epoch_end=True)
    (row,) = run(tmp_path, clusters(3, 20, 60, 3.0), Logs(20, 3), Convergence(stopping_threshold=0.0), odd)
    assert (row["epochs"], row["converged"]) == ("1", "False")


def test_a_callback_may_watch_the_cross_entropy_of_the_labels(tmp_path: Path) -> None:
    """Like one of Lightning's callbacks, with Lightning's arguments."""
    stopping = EarlyStopping("train_nll", stopping_threshold=0.5, patience=1000, check_on_train_epoch_end=True)
    data = clusters(3, 20, 60, 1.0)
    model = Linear(20, 3)
    losses = Losses(*data[:2])
    (row,) = run(tmp_path, data, model, stopping, losses, max_epochs=500)
    assert row["converged"] == "True"
    assert losses.values[-1] < 0.5 <= losses.values[-2]


def test_a_fit_does_not_end_while_its_learning_rate_warms_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate is so low for 200 updates, which are several windows here, that the loss hardly falls."""
    monkeypatch.setattr("al_lightning.fitting.falling_loss.MIN_WINDOW", 50)

    class WarmUp(Linear):
        def configure_optimizers(self) -> Any:
            optimizer = super().configure_optimizers()
            rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1e-6 * 1.05 ** min(step, 280))
            return [optimizer], [{"scheduler": rate, "interval": "step"}]

    data = clusters(3, 20, 60, 3.0)
    (row,) = run(tmp_path, data, WarmUp(20, 3, 0.5), Convergence())
    assert row["converged"] == "True"
    assert int(row["epochs"]) > 200
    assert float(row["train_acc"]) == 1.0


def test_a_logger_gets_the_cross_entropy_of_the_labels_at_each_check(tmp_path: Path) -> None:
    data = clusters(3, 20, 60, 1.0)
    losses = Losses(*data[:2])
    run(tmp_path / "run", data, Linear(20, 3), Convergence(), losses, max_epochs=100, logger=CSVLogger(tmp_path))
    with next(tmp_path.glob("lightning_logs/*/metrics.csv")).open() as file:
        logged = {int(row["step"]): float(row["train_nll"]) for row in csv.DictReader(file) if row.get("train_nll")}
    assert logged == pytest.approx({step: losses.values[step] for step in (19, 39, 59, 79, 99)}, rel=1e-5)


def test_metrics_of_a_module_keep_their_names(tmp_path: Path) -> None:
    """Metrics of the module, logged in a step or at the end of an epoch."""

    class Namesake(Linear):
        def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            self.log("train_nll", torch.tensor(7.0), on_step=False, on_epoch=True)
            return super().training_step(batch)

        def on_train_epoch_end(self) -> None:
            self.log("train_acc", torch.tensor(0.25), prog_bar=True)

    data = clusters(3, 20, 60, 3.0)
    seen = Metrics()
    (row,) = run(tmp_path, data, Namesake(20, 3), Convergence(), seen, max_epochs=60)
    assert float(row["train_acc"]) == 1.0
    assert seen.last == {"train_nll": 7.0, "train_acc": 0.25}
    watching = EarlyStopping("train_nll", stopping_threshold=8.0, check_on_train_epoch_end=True)
    (row,) = run(tmp_path / "watching", data, Namesake(20, 3), Convergence(), watching, max_epochs=60)
    assert (row["epochs"], row["converged"]) == ("1", "True")


class Metrics(Callback):
    """Keeps the state that callbacks see at the end of a fit."""

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.last = {name: float(trainer.callback_metrics[name]) for name in ("train_nll", "train_acc")}


class Losses(Callback):
    """The cross-entropy of all labels after each epoch, by the module alone."""

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self.inputs, self.targets = inputs, targets
        self.values: list[float] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        with torch.no_grad():
            self.values.append(F.cross_entropy(pl_module(self.inputs), self.targets).item())


class Epochs(Callback):
    """The cap that a schedule of the learning rate sees."""

    cap = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.cap = trainer.max_epochs or 0


# --------------------------------------------------------------------------------------------- runs of the old rule


FLAGS = [
    *("--data", "al_lightning.Digits", "--data.num_initial", "30"),
    *("--model", "tests.fitting.test_convergence.DigitsLinear"),
    *("--loop.query_size", "10", "--trainer.enable_progress_bar", "false"),
]
OLD_RULE = [
    *("--convergence.monitor", "train_acc", "--convergence.stopping_threshold", "0.99", "--convergence.mode", "max"),
    *("--convergence.patience", "1000000", "--convergence.min_delta", "0.0"),
]


class DigitsLinear(Linear):
    """For the digits as images."""

    def __init__(self) -> None:
        super().__init__(64, 10, 0.01)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1))


def timeless(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "rounds.csv").open() as file:
        return [{k: v for k, v in row.items() if "seconds" not in k} for row in csv.DictReader(file)]


def test_a_run_that_was_begun_with_the_old_rule_goes_on_with_it(tmp_path: Path) -> None:
    """A config of an older version has the old rule in full, and the old cap; the flags of the user have neither."""
    old = [*FLAGS, *OLD_RULE, "--trainer.max_epochs", "200"]
    main(["fit", *old, "--loop.num_rounds", "2", "--loop.run_dir", str(tmp_path / "old")])
    main(["fit", *old, "--loop.num_rounds", "1", "--loop.run_dir", str(tmp_path / "new")])
    main(["fit", *FLAGS, "--loop.num_rounds", "2", "--loop.run_dir", str(tmp_path / "new")])
    assert timeless(tmp_path / "new") == timeless(tmp_path / "old")
    config = yaml.safe_load((tmp_path / "new" / "config.yaml").read_text())
    assert config["convergence"]["monitor"] == "train_acc"
    assert config["trainer"]["max_epochs"] == 200


def test_a_run_of_the_new_rule_says_so_and_is_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    new = [*FLAGS, "--loop.num_rounds", "0", "--loop.run_dir", str(tmp_path)]
    main(["fit", *new])
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config["convergence"] == {
        "monitor": "train_nll",
        "stopping_threshold": "auto",
        "mode": "auto",
        "patience": "auto",
        "min_delta": "auto",
    }
    assert config["trainer"]["max_epochs"] == -1
    assert timeless(tmp_path)[0]["converged"] == "True"
    main(["fit", "--config", str(tmp_path / "config.yaml")])
    assert "finished" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["fit", *new, *OLD_RULE])
    assert "`convergence.monitor` (train_nll there, train_acc here)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "epochs"),
    [
        ([], 200),
        (["--model", "MixMatch"], 200),
        (["--model", "Backbone"], -1),
        (["--model", "Backbone", "--trainer.max_epochs", "200"], 200),
        (["--model", "Backbone", "--convergence.stopping_threshold", "0.95"], 200),
        (["--model", "Backbone", "--config", "configs/trainer.yaml"], 200),
        (["--convergence.monitor", "train_nll"], -1),
    ],
)
def test_only_a_cap_that_nobody_asked_for_is_replaced(flags: list[str], epochs: int) -> None:
    assert settings_of_fit(flags)["trainer"]["max_epochs"] == epochs


def test_a_run_from_python_goes_on_with_the_old_rule(tmp_path: Path) -> None:
    def fit(name: str, convergence: Convergence, num_rounds: int) -> None:
        loop = ActiveLearningLoop(Random(), query_size=10, num_rounds=num_rounds, run_dir=str(tmp_path / name))
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
        trainer = L.Trainer(max_epochs=300, callbacks=[loop, convergence], **quiet)
        loop.run(trainer, DigitsLinear(), Digits(num_initial=30))

    fit("old", Convergence("train_acc"), 2)
    fit("new", Convergence("train_acc"), 1)
    fit("new", Convergence(), 2)
    assert timeless(tmp_path / "new") == timeless(tmp_path / "old")
    assert timeless(tmp_path / "new")[2]["converged"] == "True"
