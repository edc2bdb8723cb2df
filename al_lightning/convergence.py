"""When a fit has converged."""

from typing import Literal

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import EarlyStopping

NEVER = 1_000_000


class Convergence(EarlyStopping):
    """Ends a fit as soon as the training accuracy, in evaluation mode, reaches 0.99.

    This is Lightning's :class:`~lightning.pytorch.callbacks.EarlyStopping` with the rule of Ash et al. (2020) as its
    defaults. One thing differs: a metric that *equals* the threshold has reached it.

    Args:
        monitor: Metric to watch. The loop logs ``train_acc`` once an epoch; the model logs ``train_loss``.
        stopping_threshold: The fit ends when the metric reaches this value; ``None`` for no threshold.
        mode: ``max`` if higher is better, ``min`` if lower is better.
        patience: The fit also ends after this many epochs without improvement. By default it never does.
        min_delta: Smallest change of the metric that counts as an improvement.
    """

    def __init__(
        self,
        monitor: str = "train_acc",
        stopping_threshold: float | None = 0.99,
        mode: Literal["min", "max"] = "max",
        patience: int = NEVER,
        min_delta: float = 0.0,
    ) -> None:
        if stopping_threshold is not None:
            # EarlyStopping asks for "beyond the threshold"; the float just before it makes that "at least"
            before = -torch.inf if mode == "max" else torch.inf
            stopping_threshold = torch.nextafter(torch.tensor(stopping_threshold), torch.tensor(before)).item()
        super().__init__(
            monitor=monitor,
            min_delta=min_delta,
            patience=patience,
            mode=mode,
            stopping_threshold=stopping_threshold,
            check_on_train_epoch_end=True,
        )

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Checks the metric, unless the module says that its training is still ``warming_up``."""
        if not getattr(pl_module, "warming_up", False):
            super().on_train_epoch_end(trainer, pl_module)
