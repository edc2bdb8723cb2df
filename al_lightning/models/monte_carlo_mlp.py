"""A DropoutMLP that keeps dropout on in tests."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from al_lightning.errors import InputError
from al_lightning.models.base import MiniBatch
from al_lightning.models.dropout_mlp import DropoutMLP


class MonteCarloMLP(DropoutMLP):
    """A DropoutMLP with test predictions that are means over dropout samples: dropout stays on in tests.

    Args:
        test_samples: Number of stochastic passes to average probabilities over, at least 1. Each test image has its own
            masks, which are the same in every test.
        kwargs: Arguments of DropoutMLP.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(self, test_samples: int = 20, **kwargs: Any) -> None:
        if test_samples < 1:
            raise InputError(f"Expected `model.test_samples` to be at least 1, but got {test_samples}.")
        super().__init__(**kwargs)
        self.save_hyperparameters("test_samples")
        self.test_samples = test_samples

    def on_test_start(self) -> None:
        # A separate stream, so that the test does not depend on the draws of the fit.
        self._test_masks = torch.Generator().manual_seed(0)

    def test_step(self, batch: MiniBatch) -> None:
        inputs, targets = batch
        embeddings = self.embed(inputs)
        total = torch.zeros(len(inputs), self.head.out_features, device=self.device)
        for _ in range(self.test_samples):
            logits = self.head(embeddings * self._draw_mask(embeddings))
            total += F.softmax(logits.float(), dim=1)
        # The metrics take logits. The logarithm of a probability serves as its logit.
        self.test_metrics.update((total / self.test_samples).clamp(min=1e-30).log(), targets)

    def _draw_mask(self, embeddings: Tensor) -> Tensor:
        p = self.dropout.p
        kept = torch.rand(embeddings.shape, generator=self._test_masks) >= p
        return (kept / (1 - p)).to(embeddings)
