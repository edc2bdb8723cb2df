"""Oracles: who is asked for labels."""

from al_lightning.oracles.base import Oracle
from al_lightning.oracles.file_oracle import FileOracle
from al_lightning.oracles.simulated import SimulatedOracle

__all__ = ["FileOracle", "Oracle", "SimulatedOracle"]
