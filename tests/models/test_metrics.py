"""Metrics against numpy, one sample at a time, and against torchmetrics."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error

from al_lightning.models.metrics import NAMES, ClassificationMetrics, brier_score
from tests.helpers import digits, fitted_model, generator, random_probs


def logits_and_targets(size: int = 300) -> tuple[Tensor, Tensor]:
    """Logits with dropout on the digits, so that there are errors."""
    inputs, targets = digits().test_inputs[:size], digits().test_targets[:size]
    model = fitted_model()
    with torch.no_grad():
        embeddings = model.embed(inputs)
        return model.sample(embeddings, model.draw_masks(1, generator()))[:, 0], targets


def probs_by_hand(logits: Tensor) -> np.ndarray:
    exps = np.exp(logits.double().numpy() - logits.double().numpy().max(axis=1, keepdims=True))
    return exps / exps.sum(axis=1, keepdims=True)


def ece_by_hand(probs: np.ndarray, targets: np.ndarray, num_bins: int = 15) -> float:
    confidence, correct = probs.max(axis=1), probs.argmax(axis=1) == targets
    bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    gaps = [abs(correct[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean() for b in set(bins)]
    return float(sum(gaps))


def by_hand(logits: Tensor, targets: Tensor) -> dict[str, float]:
    probs, truth = probs_by_hand(logits), targets.numpy()
    rows = np.arange(len(truth))
    one_hot = np.eye(probs.shape[1])[truth]
    return {
        "acc": float((probs.argmax(axis=1) == truth).mean()),
        "nll": float(-np.log(probs[rows, truth]).mean()),
        "brier": float(((probs - one_hot) ** 2).sum(axis=1).mean()),
        "ece": ece_by_hand(probs, truth),
        "balanced_acc": balanced_accuracy_score(truth, probs.argmax(axis=1)),
        "macro_f1": f1_score(truth, probs.argmax(axis=1), average="macro"),
    }


def compute(logits: Tensor, targets: Tensor, batch_size: int = 1000) -> dict[str, float]:
    metrics = ClassificationMetrics(logits.shape[1], prefix="")
    for batch in zip(logits.split(batch_size), targets.split(batch_size), strict=True):
        metrics.update(*batch)
    return {name: float(value) for name, value in metrics.compute().items()}


@pytest.mark.parametrize("batch_size", [1, 64, 299, 1000])
def test_equal_numpy_for_any_batch_size(batch_size):
    logits, targets = logits_and_targets()
    expected = by_hand(logits, targets)
    assert 0.3 < expected["acc"] < 0.95
    assert compute(logits, targets, batch_size) == pytest.approx(expected, rel=1e-4)


def test_accuracy_and_calibration_error_are_those_of_torchmetrics():
    logits, targets = logits_and_targets()
    probs = logits.softmax(dim=1)
    result = compute(logits, targets)
    assert result["acc"] == pytest.approx(float(multiclass_accuracy(probs, targets, 10, average="micro")))
    assert result["ece"] == pytest.approx(float(multiclass_calibration_error(probs, targets, 10, n_bins=15)))


def test_accuracy_is_of_samples_not_of_classes():
    logits = torch.tensor([[1.0, 0.0]] * 4)
    assert compute(logits, torch.tensor([0, 0, 0, 1]))["acc"] == 0.75


def test_logits_between_0_and_1_are_not_taken_for_probabilities():
    """torchmetrics guesses from the range of a batch whether it was given logits."""
    logits, targets = random_probs(200, 5), torch.randint(5, (200,), generator=generator())
    assert compute(logits, targets) == pytest.approx(by_hand(logits, targets), rel=1e-4)


def test_a_perfect_and_a_wrong_classifier():
    targets = torch.arange(4)
    perfect = compute(100 * torch.eye(4), targets)
    assert perfect == pytest.approx(
        {"acc": 1, "nll": 0, "brier": 0, "ece": 0, "balanced_acc": 1, "macro_f1": 1}, abs=1e-6
    )
    wrong = compute(100 * torch.eye(4).roll(1, dims=1), targets)
    assert wrong == pytest.approx(
        {"acc": 0, "nll": 100, "brier": 2, "ece": 1, "balanced_acc": 0, "macro_f1": 0}, abs=1e-6
    )


def test_an_undecided_classifier_is_calibrated():
    result = compute(torch.zeros(4, 4), torch.arange(4))
    # all are taken for class 0: its F1 is 2 (1/4) / (1/4 + 1) = 0.4, and that of the other three is 0
    expected = {"acc": 0.25, "nll": np.log(4), "brier": 0.75, "ece": 0, "balanced_acc": 0.25, "macro_f1": 0.1}
    assert result == pytest.approx(expected, abs=1e-6)


def test_classes_without_samples_do_not_count_in_balanced_accuracy() -> None:
    logits = torch.eye(4)[[0, 0, 1, 3]]  # the last sample is taken for a class that no sample is of
    result = compute(logits, torch.tensor([0, 0, 1, 1]))
    assert result["balanced_acc"] == 0.75  # the mean of 2 of 2 and 1 of 2


def test_macro_f1_counts_classes_that_are_predicted_or_there() -> None:
    logits = torch.eye(5)[[0, 0, 1, 3]]
    targets = torch.tensor([0, 0, 1, 1])
    assert compute(logits, targets)["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert f1_score(targets, logits.argmax(dim=1), average="macro") == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_a_model_may_have_more_outputs_than_classes() -> None:
    logits, targets = logits_and_targets()
    metrics = ClassificationMetrics(4, prefix="")
    metrics.update(logits[:200], targets[:200])
    metrics.update(logits[200:], targets[200:])
    found = metrics.compute()
    expected = by_hand(logits, targets)
    for name in ("balanced_acc", "macro_f1"):
        assert float(found[name]) == pytest.approx(expected[name], rel=1e-6)


def test_rare_classes_count_as_much_as_frequent_ones() -> None:
    logits = torch.eye(2)[[0] * 100]
    targets = torch.tensor([0] * 95 + [1] * 5)
    result = compute(logits, targets)
    assert result["acc"] == pytest.approx(0.95)
    assert result["balanced_acc"] == pytest.approx(0.5)
    assert result["macro_f1"] == pytest.approx((2 * 95 / (2 * 95 + 5)) / 2)


def test_brier_score_of_each_sample():
    probs, targets = random_probs(50, 4), torch.randint(4, (50,), generator=generator())
    pairs = zip(probs.tolist(), targets.tolist(), strict=True)
    expected = [sum((p[c] - (c == target)) ** 2 for c in range(4)) for p, target in pairs]
    assert brier_score(probs, targets).tolist() == pytest.approx(expected, rel=1e-5)


def test_prefix_stands_before_each_name():
    metrics = ClassificationMetrics(3, prefix="test_")
    metrics.update(torch.zeros(2, 3), torch.tensor([0, 1]))
    assert set(metrics.compute()) == {f"test_{name}" for name in NAMES}


def test_reset_forgets():
    logits, targets = logits_and_targets()
    metrics = ClassificationMetrics(10, prefix="")
    metrics.update(logits, (targets + 1) % 10)
    metrics.reset()
    metrics.update(logits, targets)
    assert {name: float(value) for name, value in metrics.compute().items()} == compute(logits, targets)


def test_calibration_bins_are_those_of_the_error():
    logits, targets = logits_and_targets()
    metrics = ClassificationMetrics(10, prefix="test_")
    for part in (slice(0, 200), slice(200, None)):
        metrics.update(logits[part], targets[part])
    count, confidence, accuracy = metrics.calibration_bins()
    assert count.sum() == len(targets)
    filled = count > 0
    error = (count * (confidence - accuracy).abs())[filled].sum() / count.sum()
    assert error.item() == pytest.approx(ece_by_hand(probs_by_hand(logits), targets.numpy()), abs=1e-6)
    assert confidence[~filled].isnan().all()


def test_a_confidence_of_1_is_in_the_last_calibration_bin():
    metrics = ClassificationMetrics(3, prefix="test_")
    metrics.update(torch.tensor([[1000.0, 0.0, 0.0]]), torch.tensor([1]))
    count, confidence, accuracy = metrics.calibration_bins()
    assert (count[14], confidence[14], accuracy[14]) == (1, 1, 0)
