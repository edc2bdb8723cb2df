"""TensorBoard events of a run: one learning curve per metric, whatever was killed and continued on the way."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from al_lightning.errors import InputError


class RunEvents:
    """Writes a run's TensorBoard events.

    Learning curves, with the number of labels as x axis, go to the run folder; training curves, with the epochs since
    the first round as x axis, to its subfolder ``fit``. Two folders, because what a killed process wrote of a round
    that is now repeated has to be purged from an x position on, and TensorBoard purges a whole folder.

    Args:
        path: The run folder.
        num_labeled: Number of labels in the round that the process begins with; later points are purged.
        epochs: Number of epochs before that round, likewise.

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
        """Adds one point to the learning curves and to those of the strategy's diagnostics, and syncs to disk."""
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
    """Keeps a traceback off the screen: what a writer's thread fails with is raised again where it is given more."""
    others = threading.excepthook

    def hook(failed: threading.ExceptHookArgs) -> None:
        is_writer = type(failed.thread).__module__.startswith("tensorboard.")  # of a class without a public name
        if not (is_writer and isinstance(failed.exc_value, OSError)):
            others(failed)

    threading.excepthook = hook
