"""Metrics that a model logs in test and validation are kept, and missing test metrics are computed."""

from dataclasses import replace
from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from sklearn.metrics import f1_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy, MulticlassCohenKappa, MulticlassF1Score

from al_lightning import Convergence, Random
from al_lightning.cli import main
from al_lightning.errors import InputError
from al_lightning.run_folder import RunFolder
from tests.digits import FlatDigits
from tests.helpers import digits
from tests.run_folder.test_events import scalars
from tests.test_loop import make_loop, make_trainer, rows, run


class Logs(L.LightningModule):
    """Logs its own metrics in its test."""

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

    class WithValidation(FlatDigits):
        def val_dataloader(self) -> DataLoader:
            return DataLoader(TensorDataset(self.source.test_inputs, self.test_targets), batch_size=400)

    model = Validates()
    loop = make_loop(tmp_path, Random(), num_rounds=0)
    loop.run(make_trainer(loop, max_epochs=10), model, WithValidation(num_initial=50))
    right = (logits_of(model).argmax(1) == digits().test_targets).float().mean().item()
    kept = {row["name"]: float(row["value"]) for row in rows(tmp_path, "diagnostics.csv")}
    assert kept["val_acc"] == pytest.approx(right)


def test_a_metric_is_added_by_its_name_alone(tmp_path: Path) -> None:
    """A column of rounds.csv, a curve of TensorBoard, with the values of scikit-learn."""
    kappa = {"class_path": "MulticlassCohenKappa"}
    loop = run(tmp_path, metrics={"kappa": kappa, "recall": "MulticlassRecall"}, num_rounds=1)
    header = (tmp_path / "rounds.csv").read_text().splitlines()[0]
    assert header.endswith(",seconds_test,test_balanced_acc,test_macro_f1,test_kappa,test_recall")
    found = rows(tmp_path)
    curve = [value for _, value in scalars(tmp_path, "learning_curve/test_kappa")]
    assert curve == pytest.approx([float(row["test_kappa"]) for row in found])
    assert len({row["test_kappa"] for row in found}) == 2
    assert all(0 < float(row["test_kappa"]) < float(row["test_acc"]) for row in found)
    assert "test_kappa" not in (tmp_path / "diagnostics.csv").read_text()
    assert loop.metrics is not None


def test_a_run_without_the_columns_goes_on_without_them_but_for_those_asked_for(tmp_path: Path) -> None:
    """As a run of an earlier version, which had a closed list of columns."""
    run(tmp_path, num_rounds=1)
    strip_metrics(tmp_path)
    old = (tmp_path / "rounds.csv").read_text().splitlines()
    run(tmp_path, num_rounds=2)
    new = (tmp_path / "rounds.csv").read_text().splitlines()
    assert new[:2] == old[:2]
    assert new[0].endswith("seconds_test")
    run(tmp_path, num_rounds=3, metrics={"kappa": "MulticlassCohenKappa"})
    header, *lines = (tmp_path / "rounds.csv").read_text().splitlines()
    assert header.endswith("seconds_test,test_kappa")
    assert [line.split(",")[-1] == "" for line in lines] == [True, True, False, False]


def strip_metrics(path: Path) -> None:
    """Leaves the columns that version 0.2 wrote."""
    folder = RunFolder.edit(path)
    folder.rounds = [replace(row, metrics={}) for row in folder.rounds]
    folder.commit()
    folder.close()


def test_a_run_from_python_with_a_metric_goes_on_from_the_command_line(tmp_path: Path) -> None:
    run(tmp_path, None, Convergence(), num_rounds=1, metrics={"kappa": MulticlassCohenKappa})
    main(["fit", "--config", str(tmp_path / "config.yaml"), "--loop.num_rounds", "2", "--loop.run_dir", str(tmp_path)])
    assert [row["test_kappa"] != "" for row in rows(tmp_path)] == [True] * 3


def test_a_name_keeps_its_metric_for_the_whole_run(tmp_path: Path) -> None:
    run(tmp_path, num_rounds=1, metrics={"a": "CohenKappa", "b": "MulticlassRecall"})
    with pytest.raises(InputError, match=r"`loop.metrics.a` to be .*CohenKappa, as in the run in .*, but got .*Recall"):
        run(tmp_path, num_rounds=2, metrics={"a": "MulticlassRecall"})
    run(tmp_path, num_rounds=2, metrics={"a": MulticlassCohenKappa} | {"a": "torchmetrics.CohenKappa"})
    assert [row["test_b"] == "" for row in rows(tmp_path)] == [False, True, True]
