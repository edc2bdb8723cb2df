"""What a model must have, for data, training and strategy: found out before the first fit, not after it."""

import logging
import warnings

import lightning.pytorch as L
import torch
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from al_lightning.calling import call
from al_lightning.data import PoolDataModule
from al_lightning.data.blocks import OneBlock
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor
from al_lightning.inputs import Inputs, count_rows, describe, map_tensors, take_rows
from al_lightning.strategies import QueryStrategy

LOG = logging.getLogger(__name__)
NUM_POOL, NUM_LABELED, QUERY_SIZE = 32, 8, 8  # of the query that is tried


def check_model(model: L.LightningModule, datamodule: PoolDataModule) -> None:
    """Raises :class:`InputError` if a model lacks a method or does not go with the data."""
    name = type(model).__name__
    is_split = all(callable(getattr(model, part, None)) for part in ("embed", "head"))
    missing = [
        method
        for method in ("forward", "training_step", "configure_optimizers")
        if not is_overridden(method, model) and not (method == "forward" and is_split)
    ]
    if missing:
        raise InputError(f"Expected the model {name} to have `{'`, `'.join(missing)}`, but it has not.")
    sample = datamodule.sample_inputs(1)
    try:
        predictor = _predictor(model, sample, sample)
        logits = predictor.map(lambda batch: batch.logits)
        whole = logits
        if is_split and is_overridden("forward", model):
            returned = predictor.map(lambda batch: call(model, batch.inputs))
            whole = returned if isinstance(returned, Tensor) else logits  # it may return more, which nobody asks for
    except InputError:
        raise
    except (RuntimeError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        # as layers complain of shapes, each in its own way
        hint = "; see `model.input_dim`" if "input_dim" in model.hparams else ""
        raise InputError(
            f"Expected the model {name} to take inputs of {describe(sample)}{hint}, but got: {str(error).rstrip('.')}."
        ) from error
    num_classes = datamodule.count_classes()
    if logits.dim() != 2 or logits.shape[1] < num_classes:
        raise InputError(
            f"Expected logits of shape (B, {num_classes}) of the model {name}, but got {('B', *logits.shape[1:])}; "
            "see `model.num_classes`."
        )
    is_same = whole.shape == logits.shape and whole.float().allclose(logits, rtol=1e-2, atol=1e-3, equal_nan=True)
    if not is_same:
        raise InputError(
            f"Expected `head(embed(x))` of the model {name} to be its `forward` but for dropout, but it is not; "
            "give other names to methods or layers that are something else."
        )


def try_query(strategy: QueryStrategy, model: L.LightningModule, datamodule: PoolDataModule, query_size: int) -> None:
    """Makes a small query with the model as it is, which need not be fitted, and forgets it.

    What a strategy needs and a model lacks is found out so. Model and generators are left as they were.

    Raises:
        InputError: If the strategy raises it. What else it raises is left to its first query.
    """
    rows = datamodule.sample_inputs(NUM_POOL + NUM_LABELED)
    pool = take_rows(rows, slice(NUM_POOL))
    num_pool = count_rows(pool)
    predictor = _predictor(model, pool, take_rows(rows, slice(-NUM_LABELED, None)))
    # what is warned of, such as ties, is not to be held against a model that was never fitted, and is said later
    with isolate_rng(include_cuda=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            strategy.query(predictor, min(query_size, QUERY_SIZE, num_pool), torch.Generator().manual_seed(0))
        except InputError:
            raise
        except Exception as error:  # the strategy may count on a larger pool: its first query will tell
            LOG.debug("A small query before the first fit failed: %r", error)


def _predictor(model: L.LightningModule, pool: Inputs, labeled: Inputs) -> PoolPredictor:
    parameter = next(model.parameters(), None)
    if parameter is None:
        raise InputError(f"Expected the model {type(model).__name__} to have parameters to train, but it has none.")

    def transfer(block: Inputs) -> Inputs:
        return map_tensors(lambda part: part.to(parameter if part.is_floating_point() else parameter.device), block)

    return PoolPredictor(model, OneBlock(pool), OneBlock(labeled), transfer=transfer)
