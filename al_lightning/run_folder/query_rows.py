"""Turns a query into rows of queries.csv and asked.csv."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from al_lightning.data import PoolDataModule
from al_lightning.run_folder.tables import Query


def query_rows(
    round: int,
    indices: Tensor,
    labels: Tensor | None,
    datamodule: PoolDataModule,
    scores: Tensor | None = None,
    predicted: Sequence[tuple[int, float]] | None = None,
) -> list[Query]:
    """The rows for samples that a query chose, in its order.

    Args:
        round: The first round that trains on them.
        indices: Training-set indices, int64, shape ``(b,)``.
        labels: Their class indices, int64, shape ``(b,)``; ``None`` for open questions, which go to asked.csv.
        datamodule: The data, which know the files of the samples.
        scores: Acquisition scores, float, shape ``(b,)``, if the strategy has them.
        predicted: Predicted class and confidence of each sample.
    """
    nothing: list[None] = [None] * len(indices)
    columns = zip(
        indices.tolist(),
        nothing if labels is None else labels.tolist(),
        nothing if scores is None else map(shortest, scores.tolist()),
        [(None, None)] * len(indices) if predicted is None else predicted,
        strict=True,
    )
    return [
        Query(round, order, index, label, score, *prediction, file=datamodule.file_of(index) or "")
        for order, (index, label, score, prediction) in enumerate(columns)
    ]


def shortest(value: float) -> float:
    """The shortest decimal with the same float32 value: 0.7895, not 0.7894999980926514."""
    return float(str(np.float32(value)))
