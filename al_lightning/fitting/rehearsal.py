"""Makes a small query before the first fit.

If a model lacks something that a strategy needs, it shows before hours of training.
"""

import copy
import logging
import warnings

import lightning.pytorch as L
import torch
from lightning.pytorch.utilities.seed import isolate_rng

from al_lightning.data import PoolDataModule
from al_lightning.data.blocks import OneBlock
from al_lightning.data.inputs import count_rows, take_rows
from al_lightning.errors import InputError
from al_lightning.fitting.model_contract import predictor_of_sample
from al_lightning.inference import Known
from al_lightning.strategies import QueryStrategy

LOG = logging.getLogger(__name__)
NUM_POOL, NUM_LABELED, QUERY_SIZE = 32, 8, 8


def rehearse_query(
    strategy: QueryStrategy, model: L.LightningModule, datamodule: PoolDataModule, query_size: int
) -> None:
    """Asks a copy of a strategy for a small query, with a model that need not be fitted.

    The strategy itself is not touched. Model and generators stay unchanged.

    Raises:
        InputError: If the strategy raises it. Any other error is left to the first real query.
    """
    for one in strategy.rehearsed():
        _rehearse(one, model, datamodule, query_size)


def _rehearse(strategy: QueryStrategy, model: L.LightningModule, datamodule: PoolDataModule, query_size: int) -> None:
    rows = datamodule.sample_inputs(NUM_POOL + NUM_LABELED)
    pool = take_rows(rows, slice(NUM_POOL))
    num_pool = count_rows(pool)
    labeled = take_rows(rows, slice(-NUM_LABELED, None))
    made_up = Known(
        labeled_targets=torch.arange(count_rows(labeled)) % datamodule.count_classes(),
        test_blocks=lambda: OneBlock(pool),
    )
    predictor = predictor_of_sample(model, pool, labeled, known=made_up)
    # Ignore warnings here, for example about ties: the model is not fitted yet. The first real query repeats them.
    with isolate_rng(include_cuda=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            rehearsing = copy.deepcopy(strategy)
            rehearsing.answer(predictor, min(query_size, QUERY_SIZE, num_pool), torch.Generator().manual_seed(0))
        except InputError:
            raise
        except Exception as error:  # the strategy may need a larger pool: its first real query will show
            LOG.debug("A small query before the first fit failed: %r", error)
