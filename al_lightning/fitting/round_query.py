"""The query of one round."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from al_lightning.data import PoolDataModule
from al_lightning.errors import InputError
from al_lightning.fitting.run_parts import RunParts
from al_lightning.random_streams import stream
from al_lightning.run_folder.query_rows import query_rows, shortest
from al_lightning.run_folder.tables import Query
from al_lightning.strategies import QueryStrategy


@dataclass(frozen=True)
class Queried:
    """The samples that a strategy chose, with their scores and predictions."""

    indices: Tensor
    """Training-set indices in the order of the choice, int64, shape ``(b,)``; empty after the last round."""
    scores: Tensor | None = None
    """Their acquisition scores, float, shape ``(b,)``, if the strategy has scores."""
    predicted: tuple[tuple[int, float], ...] = ()
    """Predicted class and confidence of each sample."""
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    seconds_score: float = 0.0
    """Seconds spent on predictions."""
    seconds_select: float = 0.0
    """Seconds spent on the choice."""

    def rows(self, round: int, labels: Tensor | None, datamodule: PoolDataModule) -> list[Query]:
        """The rows of queries.csv for labels that ``round`` is the first to train on.

        Without labels, open questions.
        """
        return query_rows(round, self.indices, labels, datamodule, self.scores, self.predicted)


NOTHING = Queried(torch.empty(0, dtype=torch.int64))
"""The query of the last round."""


def query_pool(parts: RunParts, strategy: QueryStrategy, query_size: int, round: int) -> Queried:
    """Asks a strategy for a query, with the fitted model on its device. Checks and times the answer.

    Raises:
        InputError: If the answer is not a query of this size, or the strategy refuses.
    """
    pool = parts.predictor(round, parts.scoring_precision)
    started = time.perf_counter()
    answer = strategy.answer(pool, query_size, stream(parts.seed, "query", round))
    seconds = time.perf_counter() - started
    positions = answer.positions
    if not isinstance(positions, Tensor) or positions.shape != (query_size,):
        got = tuple(positions.shape) if isinstance(positions, Tensor) else type(positions).__name__
        raise InputError(
            f"Expected {type(strategy).__name__}.query to return a tensor of shape ({query_size},), but got {got}."
        )
    positions = parts.ranks.on_writer(lambda: positions)  # devices may differ if a strategy has its own randomness
    diagnostics = _figures(strategy, strategy.diagnose(pool, positions))
    indices = parts.datamodule.indices_of(positions)
    confidences, classes = parts.predictor(round).predicted(
        parts.datamodule.count_classes(), over=parts.datamodule.train_blocks(indices)
    )
    return Queried(
        indices,
        None if answer.scores is None else answer.scores[positions],
        tuple(zip(classes.tolist(), map(shortest, confidences.tolist()), strict=True)),
        diagnostics,
        pool.seconds,
        seconds - pool.seconds,
    )


def _figures(strategy: QueryStrategy, returned: Mapping[str, Any]) -> dict[str, float]:
    """The figures that a strategy reports, as floats."""
    try:
        return {str(name): float(value) for name, value in returned.items()}
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"Expected {type(strategy).__name__}.diagnose to return numbers by name, but got {returned!r}."
        ) from error
