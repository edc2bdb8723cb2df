"""``al-lightning predict``: writes the class probabilities of the test samples."""

import csv
import io
from pathlib import Path
from typing import cast

import lightning.pytorch as L
import torch
from torch import Tensor

from al_lightning.cli.checkpoints import checkpoint_that_fits
from al_lightning.cli.lightning_cli import NO_OPTIONS, ActiveLearningCLI, make_cli
from al_lightning.data import PoolDataModule
from al_lightning.run_folder.files import replace_file


def run(words: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: If the words are bad.
    """
    make_cli(PredictCLI, ["predict", *words])


class PredictCLI(ActiveLearningCLI):
    """Writes ``predictions.csv`` beside a checkpoint."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        return {"predict": NO_OPTIONS}

    def predict(self, model: L.LightningModule, datamodule: PoolDataModule, ckpt_path: str | None) -> None:
        """Predicts the test samples. Each of several devices predicts all of them, and the first one writes."""
        checkpoint = self.checkpoint_for("predict_step", ckpt_path)
        with checkpoint_that_fits(checkpoint):
            batches = self.trainer.predict(model, datamodule=datamodule, ckpt_path=checkpoint)
            probs = torch.cat(cast(list[Tensor], batches))
        if self.trainer.is_global_zero:
            path = Path(checkpoint).with_name("predictions.csv")
            replace_file(path, _as_csv(probs).encode())
            print(f"Wrote {len(probs)} predictions to {path}.")


def _as_csv(probs: Tensor) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["index", "predicted", *(f"prob_{c}" for c in range(probs.shape[1]))])
    for index, row in enumerate(probs.tolist()):
        writer.writerow([index, max(range(len(row)), key=row.__getitem__), *(f"{p:.6g}" for p in row)])
    return text.getvalue()
