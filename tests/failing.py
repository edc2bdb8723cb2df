"""A strategy that fails when it is asked, for a sweep to survive."""

from torch import Generator, Tensor

from al_lightning import QueryStrategy
from al_lightning.inference import PoolPredictor


class Failing(QueryStrategy):
    """Queries nothing."""

    def query(self, pool: PoolPredictor, query_size: int, generator: Generator) -> Tensor:
        raise RuntimeError("nothing to query\nand more on another line")
