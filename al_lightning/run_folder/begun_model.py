"""What a run folder knows of the model of its run, before the run is opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from al_lightning.run_folder.folder import RunFolder


@dataclass(frozen=True)
class BegunModel:
    """The model of a run that has rounds, or questions for people."""

    model: str
    """Name of its class, without the module."""
    num_classes: int | None
    """Its setting, if it was a number."""
    class_names: tuple[str, ...]
    """Names of the classes of the data; none in runs of version 0.1."""


def read_begun_model(path: Path) -> BegunModel | None:
    """Returns the model of the run in a folder; ``None`` if there is no run, or one that would be forgotten."""
    folder = RunFolder.glance(path)
    if not folder.is_kept:
        return None
    part = folder.config.get("model")
    if not isinstance(part, Mapping):
        return None
    arguments: Any = part.get("init_args")
    number = arguments.get("num_classes") if isinstance(arguments, Mapping) else None
    return BegunModel(
        str(part.get("class_path")).rpartition(".")[2],
        number if isinstance(number, int) else None,
        tuple(map(str, folder.identity.get("classes", ()))),
    )
