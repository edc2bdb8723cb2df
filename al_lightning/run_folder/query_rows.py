"""Rows of queries.csv and asked.csv: what a query is on disk."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from al_lightning.data import PoolDataModule
from al_lightning.run_folder.folder import Query, Question


def bought_rows(
    round: int,
    indices: Tensor,
    labels: Tensor,
    scores: Tensor | None = None,
    predicted: Sequence[tuple[int, float]] | None = None,
) -> list[Query]:
    """The rows of queries.csv for labels that are first trained on in a round."""
    columns = _columns(indices, scores, predicted)
    return [
        Query(round, order, index, label, score, *prediction)
        for (order, index, score, prediction), label in zip(columns, labels.tolist(), strict=True)
    ]


def question_rows(
    round: int,
    indices: Tensor,
    datamodule: PoolDataModule,
    scores: Tensor | None = None,
    predicted: Sequence[tuple[int, float]] | None = None,
) -> list[Question]:
    """The rows of asked.csv for labels that are first trained on in a round."""
    return [
        Question(round, order, index, datamodule.file_of(index) or "", score, *prediction)
        for order, index, score, prediction in _columns(indices, scores, predicted)
    ]


def _columns(
    indices: Tensor, scores: Tensor | None, predicted: Sequence[tuple[int, float]] | None
) -> Iterator[tuple[int, int, float | None, tuple[int | None, float | None]]]:
    """Order, index, score and prediction of each sample of a query."""
    nothing = [None] * len(indices)
    return zip(
        range(len(indices)),
        indices.tolist(),
        nothing if scores is None else map(shortest, scores.tolist()),
        [(None, None)] * len(indices) if predicted is None else predicted,
        strict=True,
    )


def shortest(value: float) -> float:
    """The shortest decimal that is the same float32: 0.7895, not 0.7894999980926514."""
    return float(str(np.float32(value)))
