"""Settled: what happened to the answers of a file."""

from dataclasses import dataclass, field

from al_lightning.run_folder.tables import Answered, Query


@dataclass
class Settled:
    """Questions with their answers, rows for answers.csv, and the answers that were not accepted."""

    questions: list[Query]
    rows: list[Answered] = field(default_factory=list)
    """New rows of answers.csv, without round and time."""
    num_taken: int = 0
    """Number of questions with a new answer."""
    num_skipped: int = 0
    """Number of these that were skipped."""
    num_known: int = 0
    """Number of samples whose answer the run knew already."""
    problems: list[str] = field(default_factory=list)
    """Answers that were not accepted."""
    has_conflict: bool = False
    """Whether some answers contradict each other."""
    differing: list[str] = field(default_factory=list)
    """Answers that differ from labels of earlier rounds, and that were not taken."""
    corrections: list[str] = field(default_factory=list)
    """Answers that differ from labels of earlier rounds, and that were taken."""
    notes: list[str] = field(default_factory=list)
    """What else to say of answers that were taken."""
