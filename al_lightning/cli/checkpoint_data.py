"""Whether the data that a checkpoint is tested on are those of its run."""

from pathlib import Path

from al_lightning.data import PoolDataModule
from al_lightning.errors import InputError
from al_lightning.run_folder.fingerprint.differences import test_set_differs
from al_lightning.run_folder.fingerprint.fingerprints import identity_of_data
from al_lightning.run_folder.fingerprint.sketched import differs
from al_lightning.run_folder.folder import read_identity


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
    now = identity_of_data(datamodule)
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
