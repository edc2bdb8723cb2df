"""TensorBoard events of a run: one learning curve per metric, whatever was killed and continued on the way."""

from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter


class RunEvents:
    """Writes a run's TensorBoard events.

    Learning curves, with the number of labels as x axis, go to the run folder; training curves, with the epochs since
    the first round as x axis, to its subfolder ``fit``. Two folders, because what a killed process wrote of a round
    that is now repeated has to be purged from an x position on, and TensorBoard purges a whole folder.

    Args:
        path: The run folder.
        num_labeled: Number of labels in the round that the process begins with; later points are purged.
        epochs: Number of epochs before that round, likewise.
    """

    def __init__(self, path: Path, num_labeled: int, epochs: int) -> None:
        self._curves = SummaryWriter(str(path), purge_step=num_labeled)
        self._fits = SummaryWriter(str(path / "fit"), purge_step=epochs + 1)
        self._epochs = epochs

    def log_epoch(self, metrics: Mapping[str, float]) -> None:
        """Adds one point to the training curves."""
        self._epochs += 1
        for name, value in metrics.items():
            self._fits.add_scalar(f"fit/{name}", value, self._epochs)

    def log_round(
        self, metrics: Mapping[str, float], num_labeled: int, diagnostics: Mapping[str, float] | None = None
    ) -> None:
        """Adds one point to the learning curves and to those of the strategy's diagnostics, and syncs to disk."""
        for name, value in metrics.items():
            self._curves.add_scalar(f"learning_curve/{name}", value, num_labeled)
        for name, value in (diagnostics or {}).items():
            self._curves.add_scalar(f"diagnostics/{name}", value, num_labeled)
        self._curves.flush()
        self._fits.flush()

    def close(self) -> None:
        self._curves.close()
        self._fits.close()
