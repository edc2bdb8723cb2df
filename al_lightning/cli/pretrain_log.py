"""The display of ``al-lightning pretrain``, and the table of its losses."""

import csv
import io
import time
from datetime import timedelta
from pathlib import Path

import lightning.pytorch as L

from al_lightning.errors import InputError
from al_lightning.run_folder.files import replace_file

COLUMNS = ["epoch", "train_loss", "learning_rate", "seconds"]


class PretrainLog(L.Callback):
    """Prints a line for each epoch and writes the same numbers to a table.

    A fit that goes on keeps the rows of the epochs before its checkpoint.

    Args:
        path: The table. The first row has the names of :data:`COLUMNS`. Epochs are counted from 1.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[list[str]] = []
        self._seconds: list[float] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch > 0 and self._path.is_file():
            rows = list(csv.reader(io.StringIO(self._path.read_text(encoding="utf-8"))))
            if rows[:1] != [COLUMNS]:
                raise InputError(
                    f"Expected {self._path} to be the table of the losses, but its first row is {rows[:1]}."
                )
            self._rows = rows[1 : 1 + trainer.current_epoch]
        if trainer.is_global_zero and trainer.current_epoch > 0:
            print(f"Goes on after epoch {trainer.current_epoch} of {trainer.max_epochs}.", flush=True)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._began = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        loss = float(trainer.callback_metrics["train_loss"])
        epoch = trainer.current_epoch + 1
        self._seconds.append(time.monotonic() - self._began)
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self._rows.append([str(epoch), f"{loss:.6g}", f"{rate:.6g}", f"{self._seconds[-1]:.1f}"])
        if not trainer.is_global_zero:
            return
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *self._rows])
        replace_file(self._path, text.getvalue().encode())
        left = ""
        if trainer.max_epochs is not None and epoch < trainer.max_epochs:
            recent = self._seconds[-5:]
            seconds = round((trainer.max_epochs - epoch) * sum(recent) / len(recent))
            left = f", {timedelta(seconds=seconds)} left"
        print(f"epoch {epoch} of {trainer.max_epochs}: loss {loss:.4f}, {self._seconds[-1]:.1f} s{left}", flush=True)
