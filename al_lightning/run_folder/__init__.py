"""The files of a run on disk."""

from al_lightning.run_folder.files import read_committed
from al_lightning.run_folder.flat import flatten
from al_lightning.run_folder.folder import (
    COMMIT,
    CONFIG,
    RunFolder,
    read_identity,
)
from al_lightning.run_folder.settings import FREE_SETTINGS, comparable_settings, differing
from al_lightning.run_folder.tables import (
    ASKED,
    CALIBRATION,
    DIAGNOSTICS,
    QUERIES,
    ROUNDS,
    SKIPPED,
    TABLES,
    CalibrationBin,
    Diagnostic,
    Query,
    Question,
    Round,
    read_rounds,
)

__all__ = [
    "ASKED",
    "CALIBRATION",
    "COMMIT",
    "CONFIG",
    "DIAGNOSTICS",
    "FREE_SETTINGS",
    "QUERIES",
    "ROUNDS",
    "SKIPPED",
    "TABLES",
    "CalibrationBin",
    "Diagnostic",
    "Query",
    "Question",
    "Round",
    "RunFolder",
    "comparable_settings",
    "differing",
    "flatten",
    "read_committed",
    "read_identity",
    "read_rounds",
]
