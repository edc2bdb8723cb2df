"""LabeledMetrics: how well a model fits the labeled set, in evaluation mode."""

from torch.nn import functional as F

from al_lightning.fitting.convergence import TRAIN_ACC, TRAIN_NLL
from al_lightning.fitting.run_parts import RunParts
from al_lightning.run_folder.query_rows import shortest


class LabeledMetrics:
    """Measures a model on the labeled set, without dropout.

    Args:
        parts: The parts of the run.
        round: The round. Its labeled set stays the same.
    """

    def __init__(self, parts: RunParts, round: int) -> None:
        self._parts = parts
        self._predictor = parts.predictor(round)
        self._blocks = parts.datamodule.labeled_blocks()
        self._targets = parts.datamodule.labeled_targets

    def measure(self, with_nll: bool = False) -> dict[str, float]:
        """Returns the accuracy as ``train_acc`` and, with ``with_nll``, the mean cross-entropy as ``train_nll``."""
        self._parts.ranks.share_buffers(self._parts.model)
        measured = {}
        if with_nll:
            predicted, logits = self._predictor.map(
                lambda batch: (batch.logits.argmax(dim=1), batch.logits), over=self._blocks
            )
            measured[TRAIN_NLL] = F.cross_entropy(logits.double(), self._targets).item()
        else:
            predicted = self._predictor.map(lambda batch: batch.logits.argmax(dim=1), over=self._blocks)
        return measured | {TRAIN_ACC: shortest((predicted == self._targets).float().mean().item())}
