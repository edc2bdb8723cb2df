"""Test metrics of a classifier: accuracy, and the quality of its probabilities."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError
from torchmetrics.utilities.data import dim_zero_cat

NAMES = ("acc", "nll", "brier", "ece", "balanced_acc", "macro_f1")
"""Names of the metrics in :class:`ClassificationMetrics`; the columns of rounds.csv have ``test_`` before them."""


class NegativeLogLikelihood(MeanMetric):
    """Mean negative log-likelihood of the true class, in nats."""

    def update(self, logits: Tensor, targets: Tensor) -> None:  # type: ignore[override]
        super().update(F.cross_entropy(logits, targets, reduction="none"))


class BrierScore(MeanMetric):
    """Mean over samples of the squared error of the probabilities, summed over classes: in [0, 2] (Brier, 1950)."""

    def update(self, logits: Tensor, targets: Tensor) -> None:  # type: ignore[override]
        super().update(brier_score(logits.softmax(dim=-1), targets))


class ExpectedCalibrationError(MulticlassCalibrationError):
    """Expected calibration error with 15 equal-width bins and the L1 norm (Guo et al., 2017), in [0, 1]."""

    def update(self, logits: Tensor, targets: Tensor) -> None:
        # Torchmetrics guesses from the range of values whether they are logits, so give it probabilities. Compute on
        # the CPU: a GPU sums each bin in a random order, and a repeated run would differ in its last bits.
        super().update(logits.softmax(dim=-1).cpu(), targets.cpu())

    def bins(self) -> tuple[Tensor, Tensor, Tensor]:
        """The bins from which the error is computed.

        Returns:
            For each of the 15 bins: the number of samples, int64, their mean confidence and their accuracy, float64.
            Mean confidence and accuracy are NaN for an empty bin.
        """
        confidences, correct = (dim_zero_cat(parts).double() for parts in (self.confidences, self.accuracies))
        boundaries = torch.linspace(0, 1, self.n_bins + 1, dtype=torch.float32, device=confidences.device)
        # A confidence of 1 goes to the last bin.
        index = (torch.bucketize(confidences.float(), boundaries, right=True) - 1).clamp(max=self.n_bins - 1)
        count = torch.bincount(index, minlength=self.n_bins)
        sums = (torch.bincount(index, weights, minlength=self.n_bins) for weights in (confidences, correct))
        confidence, accuracy = (total / count for total in sums)
        return count, confidence, accuracy


class ClassCounts(Metric):
    """Counts the samples, the predictions and the right predictions of each class.

    A model may have more outputs than classes. Then each output counts as a class.

    Args:
        num_classes: Number of classes, C.
    """

    samples: Tensor
    predicted: Tensor
    hits: Tensor

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("samples", "predicted", "hits"):
            self.add_state(name, torch.zeros(num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        predicted = logits.argmax(dim=1)
        counted = {"samples": targets, "predicted": predicted, "hits": targets[predicted == targets]}
        num_classes = max(logits.shape[1], len(self.samples))
        for name, classes in counted.items():
            count = torch.bincount(classes, minlength=num_classes)
            count[: len(self.samples)] += getattr(self, name)
            counted[name] = count
        self.samples, self.predicted, self.hits = counted["samples"], counted["predicted"], counted["hits"]


class BalancedAccuracy(ClassCounts):
    """Mean over classes of the share of samples that are recognised, in [0, 1]. Classes without samples do not count.

    Reference:
        Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010.
    """

    def compute(self) -> Tensor:
        present = self.samples > 0
        return (self.hits[present] / self.samples[present]).mean()


class MacroF1(ClassCounts):
    """Mean over classes of F1, the harmonic mean of precision and recall, in [0, 1].

    A class without samples does not count if it is never predicted. If it is predicted, its F1 is 0.
    """

    def compute(self) -> Tensor:
        total = self.samples + self.predicted
        present = total > 0
        return (2 * self.hits[present] / total[present]).mean()


def brier_score(probs: Tensor, targets: Tensor) -> Tensor:
    """Squared distance of predicted probabilities to the one-hot truth.

    Args:
        probs: Class probabilities, shape ``(B, C)``.
        targets: Class indices, shape ``(B,)``.

    Returns:
        Tensor of shape ``(B,)``, in [0, 2].

    Example:
        >>> import torch
        >>> brier_score(torch.tensor([[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]]), torch.tensor([0, 0, 1]))
        tensor([0.0000, 0.5000, 2.0000])
    """
    return (probs - F.one_hot(targets, probs.shape[1])).square().sum(dim=1)


class ClassificationMetrics(MetricCollection):
    """The test metrics in rounds.csv, from logits ``(B, C)`` and class indices ``(B,)``.

    The metrics are accuracy, negative log-likelihood, Brier score, expected calibration error, balanced accuracy and
    macro-averaged F1. They are not combined over devices: each device must test the whole test set.

    Args:
        num_classes: Number of classes, C.
        prefix: Text before each of the names :data:`NAMES`.
    """

    def __init__(self, num_classes: int, prefix: str) -> None:
        metrics: dict[str, Metric | MetricCollection] = {
            "acc": MulticlassAccuracy(num_classes, average="micro", validate_args=False, sync_on_compute=False),
            "nll": NegativeLogLikelihood(sync_on_compute=False),
            "brier": BrierScore(sync_on_compute=False),
            "ece": ExpectedCalibrationError(num_classes, validate_args=False, sync_on_compute=False),
            "balanced_acc": BalancedAccuracy(num_classes, sync_on_compute=False),
            "macro_f1": MacroF1(num_classes, sync_on_compute=False),
        }
        super().__init__(metrics, prefix=prefix, compute_groups=False)

    def calibration_bins(self) -> tuple[Tensor, Tensor, Tensor]:
        """Number of samples, mean confidence and accuracy of each confidence bin, ``(15,)`` each."""
        return cast(ExpectedCalibrationError, self["ece"]).bins()
