"""Metrics that a user adds by name, against scikit-learn."""

from typing import Any

import pytest
import torch
import yaml
from sklearn.metrics import cohen_kappa_score, f1_score, roc_auc_score, top_k_accuracy_score
from torch import Tensor
from torchmetrics import F1Score, MatthewsCorrCoef, MetricCollection
from torchmetrics.classification import BinaryAUROC, MulticlassAccuracy, MulticlassAUROC, MulticlassCohenKappa

from al_lightning import InputError
from al_lightning.models.named_metrics import NamedMetrics
from tests.helpers import generator


def logits_and_targets(num_classes: int = 4) -> tuple[Tensor, Tensor]:
    targets = torch.randint(num_classes, (200,), generator=generator(1))
    logits = torch.randn(200, num_classes, generator=generator(2))
    logits[torch.arange(200), targets] += 1.0
    return logits, targets


@pytest.mark.parametrize(
    "given",
    [
        MulticlassCohenKappa,
        "MulticlassCohenKappa",
        "torchmetrics.CohenKappa",
        "torchmetrics.classification.MulticlassCohenKappa",
        {"class_path": "CohenKappa"},
        {"class_path": "MulticlassCohenKappa", "init_args": {"num_classes": 4}},
        MulticlassCohenKappa(num_classes=4),
    ],
)
def test_all_forms_of_a_metric_are_that_of_scikit_learn(given: Any) -> None:
    logits, targets = logits_and_targets()
    expected = cohen_kappa_score(targets, logits.argmax(dim=1))
    found = NamedMetrics({"kappa": given}).compute(logits, targets)
    assert {name: float(value) for name, value in found.items()} == pytest.approx({"test_kappa": expected}, rel=1e-5)


def test_metrics_get_probabilities() -> None:
    logits, targets = logits_and_targets()
    found = NamedMetrics({"auroc": MulticlassAUROC}).compute(logits, targets)
    expected = roc_auc_score(targets, logits.softmax(dim=1), multi_class="ovr")
    assert float(found["test_auroc"]) == pytest.approx(expected, rel=1e-5)


def test_arguments_are_given_on() -> None:
    logits, targets = logits_and_targets()
    top2 = {"class_path": "MulticlassAccuracy", "init_args": {"top_k": 2, "average": "micro"}}
    found = NamedMetrics({"top2": top2}).compute(logits, targets)
    assert float(found["test_top2"]) == pytest.approx(top_k_accuracy_score(targets, logits, k=2))


def test_binary_metrics_get_the_probability_of_class_1() -> None:
    logits, targets = logits_and_targets(2)
    found = NamedMetrics({"auroc": BinaryAUROC}).compute(logits, targets)
    assert float(found["test_auroc"]) == pytest.approx(roc_auc_score(targets, logits.softmax(dim=1)[:, 1]), rel=1e-5)


def test_a_metric_of_several_values_has_several_columns() -> None:
    logits, targets = logits_and_targets(3)
    both = MetricCollection({"f1": F1Score("multiclass", num_classes=3)})
    metrics = NamedMetrics({"f1": {"class_path": "MulticlassF1Score", "init_args": {"average": None}}})
    found = metrics.compute(logits, targets)
    assert [float(found[f"test_f1_{c}"]) for c in range(3)] == pytest.approx(
        f1_score(targets, logits.argmax(dim=1), average=None)
    )
    assert all(name in metrics for name in found)
    assert "test_acc" not in metrics
    with pytest.raises(InputError, match="`loop.metrics.both` to be a metric of torchmetrics"):
        NamedMetrics({"both": both})


def test_an_object_is_used_anew_in_each_test() -> None:
    logits, targets = logits_and_targets()
    metric = MulticlassAccuracy(num_classes=4)
    metrics = NamedMetrics({"acc2": metric})
    first = metrics.compute(logits, targets)
    metrics.compute(logits, (targets + 1) % 4)
    assert metrics.compute(logits, targets) == first
    assert metric.update_count == 0


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ("MulticlassF1Score", "`loop.metrics` to be names with classes"),
        ({"f1": "MulticlassF1"}, "`loop.metrics.f1` to be a class.*did you mean MulticlassF1Score"),
        ({"f1": "no.such.Module"}, "`loop.metrics.f1` to be a class, but got `no.such.Module`: No module"),
        ({"f1": "torch.Tensor"}, "`loop.metrics.f1` to be a metric of torchmetrics"),
        ({"f1": 3}, "`loop.metrics.f1` to be a metric of torchmetrics, but got 3"),
        ({"f1": {"init_args": {}}}, "`loop.metrics.f1` to have `class_path`"),
        ({"acc": "MulticlassF1Score"}, "new names in `loop.metrics`, but every test has a metric `acc`"),
        ({"a b": "MulticlassF1Score"}, "to be words, as `macro_f1`, but got `a b`"),
    ],
)
def test_what_is_no_metric_is_refused(metrics: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        NamedMetrics(metrics)


@pytest.mark.parametrize(
    "given",
    [
        MatthewsCorrCoef("multiclass", num_classes=3),
        {"class_path": "MulticlassAccuracy", "init_args": {"x": 1}},
        "BinaryAUROC",
        "BinaryAccuracy",
    ],
)
def test_what_does_not_go_with_the_classes_is_refused_before_the_first_fit(given: Any) -> None:
    with pytest.raises(InputError, match="`loop.metrics.one` to be made and to measure 4 classes, but got"):
        NamedMetrics({"one": given}).check(4)


def test_two_metrics_do_not_share_a_column() -> None:
    each = {"class_path": "MulticlassRecall", "init_args": {"average": None}}
    with pytest.raises(InputError, match="each column once, but `test_f_0` is there twice"):
        NamedMetrics({"f": each, "f_0": "MulticlassRecall"}).check(3)


def test_settings_are_values_that_a_config_holds() -> None:
    thresholds = torch.linspace(0, 1, 3)
    given = {"auroc": {"class_path": "BinaryAUROC", "init_args": {"thresholds": thresholds}}, "f1": F1Score}
    settings = NamedMetrics(given).settings
    assert settings is not None
    assert yaml.safe_load(yaml.safe_dump(settings)) == settings
    assert settings["f1"] == "torchmetrics.classification.f_beta.F1Score"
    assert NamedMetrics().settings is None
