"""Switch: one strategy up to a number of labels, and another one from there on."""

from collections.abc import Mapping

import torch
from torch import Tensor

from al_lightning.errors import InputError
from al_lightning.inference import Known, PoolPredictor
from al_lightning.strategies.base import Answer, QueryStrategy


class Switch(QueryStrategy):
    """Queries by one strategy while there are few labels, and by another one from a number of labels on.

    The labels at the beginning of a query decide, and the whole query is made by one strategy. So the first strategy
    may buy more than ``at_labels`` labels, by less than one query.

    Args:
        first: Queries while there are fewer than ``at_labels`` labels.
        then: Queries from ``at_labels`` labels on.
        at_labels: Number of labels, at least 1. Samples that a labeler skipped do not count.

    Raises:
        InputError: If an argument is out of range.

    Reference:
        Hacohen, Dekel and Weinshall, "Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets", ICML
        2022.
    """

    def __init__(self, first: QueryStrategy, then: QueryStrategy, at_labels: int) -> None:
        for name, strategy in (("first", first), ("then", then)):
            if not isinstance(strategy, QueryStrategy):
                raise InputError(
                    f"Expected `{name}` of Switch to be a query strategy, but got {type(strategy).__name__}."
                )
        if at_labels < 1:
            raise InputError(f"Expected `at_labels` of Switch to be at least 1, but got {at_labels}.")
        self.first = first
        self.then = then
        self.at_labels = at_labels
        self.needs_predictions = first.needs_predictions

    def rehearsed(self) -> tuple[QueryStrategy, ...]:
        return (*self.first.rehearsed(), *self.then.rehearsed())

    def check_run(self, known: Known, num_queried: int | None) -> None:
        self.first.check_run(known, None)  # how many samples the first strategy takes is known by no one else

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor | tuple[Tensor, Tensor]:
        return self._active(pool).query(pool, query_size, generator)

    def answer(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Answer:
        return self._active(pool).answer(pool, query_size, generator)

    def diagnose(self, pool: PoolPredictor, query: Tensor) -> Mapping[str, float]:
        return self._active(pool).diagnose(pool, query)

    def _active(self, pool: PoolPredictor) -> QueryStrategy:
        return self.first if pool.num_labeled < self.at_labels else self.then
