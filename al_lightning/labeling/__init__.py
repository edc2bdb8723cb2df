"""Asks for labels, and brings the answers into a run.

Oracles are imported when they are first used. So ``al-lightning label`` need not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from al_lightning.labeling.file_oracle import FileOracle
    from al_lightning.labeling.oracle import Oracle
    from al_lightning.labeling.simulated import SimulatedOracle
    from al_lightning.labeling.studio.oracle import LabelStudioOracle

_MODULES = {
    "FileOracle": "file_oracle",
    "LabelStudioOracle": "studio.oracle",
    "Oracle": "oracle",
    "SimulatedOracle": "simulated",
}

__all__ = ["FileOracle", "LabelStudioOracle", "Oracle", "SimulatedOracle"]


def __getattr__(name: str) -> object:
    """Imports an oracle when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
