"""Checkpoints of runs: whether they go with the model and the data."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning.pytorch as L
import torch
from lightning.pytorch.utilities.model_helpers import is_overridden

from al_lightning.data import PoolDataModule
from al_lightning.errors import InputError
from al_lightning.run_folder.fingerprint.differences import test_set_differs
from al_lightning.run_folder.fingerprint.fingerprints import fingerprints_of_data
from al_lightning.run_folder.fingerprint.sketched import differs
from al_lightning.run_folder.folder import read_identity


def load_weights(model: L.LightningModule, path: Path) -> None:
    """Loads the weights of a checkpoint of a run into its model.

    Raises:
        InputError: If there is no such file, or it is none, or of another model.
    """
    with checkpoint_that_fits(checkpoint_file(str(path))) as checkpoint:
        try:
            content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        except (EOFError, pickle.UnpicklingError) as error:
            raise InputError(f"Expected {path} to be a checkpoint of a run, but it is none.") from error
        model.load_state_dict(content["state_dict"])


@contextmanager
def checkpoint_that_fits(path: str) -> Iterator[str]:
    """Turns what is said of a checkpoint that is none, or of another model or other data, into one sentence."""
    try:
        yield path
    except (AttributeError, KeyError, RuntimeError) as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(f"Expected `ckpt_path` {path} to go with the model and the data, but got: {text}") from error


def check_method(model: L.LightningModule, name: str) -> None:
    """Raises :class:`InputError` if a model of one's own lacks what `fit` does without."""
    if not is_overridden(name, model):
        raise InputError(f"Expected the model {type(model).__name__} to have `{name}`, but it has not.")


def checkpoint_file(path: str | None) -> str:
    """Returns the path of a checkpoint; raises :class:`InputError` if there is none."""
    if path is None:
        raise InputError("Expected `ckpt_path`, the model.ckpt of a run folder, but got none.")
    if not Path(path).is_file():
        raise InputError(f"Expected `ckpt_path` to be a file, but there is no {path}.")
    return path


def check_data(checkpoint: Path, datamodule: PoolDataModule) -> list[str]:
    """Compares data with those of the run that a checkpoint lies in.

    Other test samples may be what the user wants to see, and are noted. Other classes make nonsense of all predictions.

    Args:
        checkpoint: ``model.ckpt`` of a run folder, or one that lies elsewhere.
        datamodule: The data.

    Returns:
        Sentences that say what differs; none if nothing does, or if there is no run.

    Raises:
        InputError: If the classes are others, or in another order.
    """
    was = read_identity(checkpoint.parent)
    if not was:
        return []
    now = fingerprints_of_data(datamodule)
    if was.get("classes", now["classes"]) != now["classes"]:
        raise InputError(
            f"Expected the classes of the run in {checkpoint.parent}, {_listed(was['classes'])}, but got "
            f"{_listed(now['classes'])}."
        )
    notes = []
    if difference := test_set_differs(was, now):
        notes.append(f"The test set is not that of the run in {checkpoint.parent}: {difference}.")
    if "inputs" in was and (difference := differs(was["inputs"], now["inputs"])):
        notes.append(f"The training inputs are not those of the run in {checkpoint.parent}: {difference}.")
    return notes


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 10 else f"{', '.join(names[:10])} and {len(names) - 10} more"
