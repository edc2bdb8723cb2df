"""What a model logs of its test and validation is kept, and what it does not log is computed."""

from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from sklearn.metrics import f1_score
from tests.test_events import scalars
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from al_lightning import Random
from tests.digits import Digits
from tests.helpers import digits
from tests.test_loop import make_loop, make_trainer, rows, run


class Logs(L.LightningModule):
    """Logs metrics of its own in its test."""

    names: tuple[str, ...] = ("test_acc", "test_f1")

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        self.f1 = MulticlassF1Score(10, average="macro")
        self.mean_acc = MulticlassAccuracy(10, average="macro")

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)

    def test_step(self, batch: tuple[Tensor, Tensor]) -> None:
        logits, targets = self(batch[0]), batch[1]
        self.f1.update(logits, targets)
        self.mean_acc.update(logits, targets)
        values = {
            "test_acc": self.mean_acc,  # a definition of its own: the mean over classes
            "test_f1": self.f1,
            "test_nll": nn.functional.cross_entropy(logits, targets) * 0 + 7,
        }
        self.log_dict({name: values[name] for name in self.names}, on_step=False, on_epoch=True)


def logits_of(model: nn.Module) -> Tensor:
    model.eval()
    with torch.no_grad():
        return model(digits().test_inputs)


def test_all_that_a_test_logs_is_kept_and_the_rest_is_computed(tmp_path: Path) -> None:
    model = Logs()
    run(tmp_path, Random(), model=model, num_rounds=1, trainer={"max_epochs": 10})
    logits, targets = logits_of(model), digits().test_targets
    probs, predicted = logits.softmax(dim=1), logits.argmax(dim=1)
    last = rows(tmp_path)[-1]
    recalls = torch.stack([(predicted[targets == c] == c).float().mean() for c in range(10)])
    assert float(last["test_acc"]) == pytest.approx(recalls.mean().item(), abs=1e-6)
    assert float(last["test_nll"]) == pytest.approx(-probs.log()[torch.arange(397), targets].mean().item(), abs=1e-5)
    one_hot = torch.eye(10)[targets]
    assert float(last["test_brier"]) == pytest.approx((probs - one_hot).square().sum(1).mean().item(), abs=1e-5)
    confidence, correct = probs.max(dim=1).values, (predicted == targets).float()
    bins = (confidence * 15).long().clamp(max=14)
    gaps = [(correct[bins == b].mean() - confidence[bins == b].mean()).abs() * (bins == b).sum() for b in bins.unique()]
    assert float(last["test_ece"]) == pytest.approx(float(sum(gaps)) / 397, abs=1e-5)
    kept = {(row["round"], row["name"]): float(row["value"]) for row in rows(tmp_path, "diagnostics.csv")}
    assert kept.keys() == {("0", "test_f1"), ("1", "test_f1")}
    assert kept["1", "test_f1"] == pytest.approx(f1_score(targets, predicted, average="macro"), abs=1e-6)
    assert scalars(tmp_path, "learning_curve/test_f1")[-1] == (60, pytest.approx(kept["1", "test_f1"]))


@pytest.mark.parametrize("names", [("test_f1",), ("test_f1", "test_nll"), ("test_acc", "test_nll", "test_f1")])
def test_a_logged_metric_wins_over_the_computed_one(tmp_path: Path, names: tuple[str, ...]) -> None:
    class Some(Logs):
        pass

    Some.names = names
    model = Some()
    run(tmp_path, Random(), model=model, num_rounds=0)
    (row,) = rows(tmp_path)
    if "test_nll" in names:
        assert float(row["test_nll"]) == 7
    if "test_acc" not in names:
        right = (logits_of(model).argmax(1) == digits().test_targets).float().mean().item()
        assert float(row["test_acc"]) == pytest.approx(right)
        assert rows(tmp_path, "calibration.csv")
    assert all(row[name] != "nan" for name in ("test_acc", "test_nll", "test_brier", "test_ece"))
    assert [row["name"] for row in rows(tmp_path, "diagnostics.csv")] == ["test_f1"]


def test_what_a_validation_logs_is_kept(tmp_path: Path) -> None:
    class Validates(Logs):
        def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
            self.log("val_acc", (self(batch[0]).argmax(1) == batch[1]).float().mean())

    class WithValidation(Digits):
        def val_dataloader(self) -> DataLoader:
            return DataLoader(TensorDataset(self.source.test_inputs, self.test_targets), batch_size=400)

    model = Validates()
    loop = make_loop(tmp_path, Random(), num_rounds=0)
    loop.run(make_trainer(loop, max_epochs=10), model, WithValidation(num_initial=50))
    right = (logits_of(model).argmax(1) == digits().test_targets).float().mean().item()
    kept = {row["name"]: float(row["value"]) for row in rows(tmp_path, "diagnostics.csv")}
    assert kept["val_acc"] == pytest.approx(right)
