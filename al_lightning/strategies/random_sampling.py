"""Random sampling: the baseline that every other strategy has to beat."""

import torch
from torch import Tensor

from al_lightning.inference import PoolPredictor
from al_lightning.strategies.base import QueryStrategy, check_query_size


class Random(QueryStrategy):
    """Queries samples uniformly at random, without replacement; never looks at the model.

    Reference:
        Settles, "Active Learning Literature Survey", 2009: the passive baseline of all comparisons.
    """

    needs_predictions = False

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        check_query_size(query_size, len(pool))
        return torch.randperm(len(pool), generator=generator)[:query_size]
