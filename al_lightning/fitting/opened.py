"""Opens the run folder for the time of a run."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as L

from al_lightning.fitting.lightning_insides import has_trained
from al_lightning.fitting.ranks import Ranks
from al_lightning.fitting.versions import versions
from al_lightning.run_folder.folder import RunFolder


@contextmanager
def opened(
    path: Path, settings: Mapping[str, Any], identity: Mapping[str, Any], trainer: L.Trainer, ranks: Ranks
) -> Iterator[RunFolder | None]:
    """Opens the folder of a run in the process that writes it; yields ``None`` in the other processes.

    A run that is refused before it trains leaves no folder behind.

    Args:
        path: The folder. A missing folder is made.
        settings: The settings of the run, see :meth:`~al_lightning.run_folder.RunFolder.open`.
        identity: The fingerprints of the run, see :meth:`~al_lightning.run_folder.RunFolder.open`.
        trainer: Its device is recorded.
        ranks: The processes of the run.
    """
    is_new = not path.exists()
    folder = None
    if ranks.is_writer:
        folder = RunFolder.open(path, settings, identity, versions(trainer.strategy.root_device))
    try:
        yield folder
    except BaseException:
        if folder is not None and is_new and not folder.rounds and not has_trained(trainer):
            shutil.rmtree(path, ignore_errors=True)
        raise
    finally:
        if folder is not None:
            folder.close()
