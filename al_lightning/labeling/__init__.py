"""Asks for labels, and brings the answers into a run."""

from al_lightning.labeling.file_oracle import FileOracle
from al_lightning.labeling.oracle import Oracle
from al_lightning.labeling.simulated import SimulatedOracle

__all__ = ["FileOracle", "Oracle", "SimulatedOracle"]
