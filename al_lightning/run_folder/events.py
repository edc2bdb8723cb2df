"""TensorBoard events of a run: one learning curve for each metric, even if the run was killed and continued."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from al_lightning.errors import InputError


class RunEvents:
    """Writes a run's TensorBoard events.

    Learning curves go to the run folder. Their x axis is the number of labels. Training curves go to its subfolder
    ``fit``. Their x axis is the number of epochs since the first round.

    There are two folders because a round that is repeated after a kill has old points. They are purged from an x
    position on, and TensorBoard purges a whole folder.

    Args:
        path: The run folder.
        num_labeled: Number of labels in the round that the process begins with; later points are purged.
        epochs: Number of epochs before that round; later points are purged.

    Raises:
        InputError: Here and in all methods, if the disk is full or the folder cannot be written.
    """

    def __init__(self, path: Path, num_labeled: int, epochs: int) -> None:
        self._path = path
        self._epochs = epochs
        quiet_writers()
        with self._written():
            self._curves = SummaryWriter(str(path), purge_step=num_labeled)
            self._fits = SummaryWriter(str(path / "fit"), purge_step=epochs + 1)

    def log_epoch(self, metrics: Mapping[str, float]) -> None:
        """Adds one point to the training curves."""
        self._epochs += 1
        with self._written():
            for name, value in metrics.items():
                self._fits.add_scalar(f"fit/{name}", value, self._epochs)

    def log_round(
        self, metrics: Mapping[str, float], num_labeled: int, diagnostics: Mapping[str, float] | None = None
    ) -> None:
        """Adds one point to the learning curves and to the curves of diagnostics, and syncs both to disk."""
        with self._written():
            for name, value in metrics.items():
                self._curves.add_scalar(f"learning_curve/{name}", value, num_labeled)
            for name, value in (diagnostics or {}).items():
                self._curves.add_scalar(f"diagnostics/{name}", value, num_labeled)
            self._curves.flush()
            self._fits.flush()

    def close(self) -> None:
        with self._written():
            self._curves.close()
            self._fits.close()

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"Expected to write TensorBoard events to the run folder {self._path}, but got: "
                f"{error.strerror or error}; the rounds before it are safe."
            ) from error


@cache
def quiet_writers() -> None:
    """Keeps a traceback of a writer's thread off the screen. The writer raises the same error at its next call."""
    others = threading.excepthook

    def hook(failed: threading.ExceptHookArgs) -> None:
        is_writer = type(failed.thread).__module__.startswith("tensorboard.")  # its class has no public name
        if not (is_writer and isinstance(failed.exc_value, OSError)):
            others(failed)

    threading.excepthook = hook
