"""What a model must have, for data, training and strategy: found out before the first fit, not after it."""

import warnings

import lightning.pytorch as L
import torch
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from al_lightning.data import PoolDataModule
from al_lightning.data.blocks import TensorBlocks
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor, evaluation_mode
from al_lightning.strategies import QueryStrategy

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
        logits = _predictor(model, sample, sample).map(lambda batch: batch.logits)
        whole = _forward(model, sample) if is_split and is_overridden("forward", model) else logits
    except InputError:
        raise
    except (RuntimeError, AssertionError, AttributeError, IndexError, TypeError, ValueError) as error:
        # as layers complain of shapes, each in its own way
        shape = tuple(sample.shape[1:])
        raise InputError(f"Expected the model {name} to take inputs of shape {shape}, but got: {error}.") from error
    num_classes = datamodule.count_classes()
    if logits.dim() != 2 or logits.shape[1] < num_classes:
        raise InputError(
            f"Expected logits of shape (B, {num_classes}) of the model {name}, but got {('B', *logits.shape[1:])}; "
            "see `model.num_classes`."
        )
    if whole.shape != logits.shape or not torch.allclose(whole, logits, rtol=1e-2, atol=1e-3, equal_nan=True):
        raise InputError(
            f"Expected `head(embed(x))` of the model {name} to be its `forward` but for dropout, but it is not; "
            "give other names to methods or layers that are something else."
        )


def try_query(strategy: QueryStrategy, model: L.LightningModule, datamodule: PoolDataModule, query_size: int) -> None:
    """Makes a small query with the model as it is, which need not be fitted, and forgets it.

    What a strategy needs and a model lacks is found out so. Model and generators are left as they were.

    Raises:
        InputError: If the strategy raises it.
    """
    rows = datamodule.sample_inputs(NUM_POOL + NUM_LABELED)
    pool = rows[:NUM_POOL]
    # all samples that are alike share a score before the first fit: what is said of that, and of cost, is for later
    with isolate_rng(include_cuda=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        strategy.query(
            _predictor(model, pool, rows[-NUM_LABELED:]),
            min(query_size, QUERY_SIZE, len(pool)),
            torch.Generator().manual_seed(0),
        )


def _predictor(model: L.LightningModule, pool: Tensor, labeled: Tensor) -> PoolPredictor:
    parameter = next(model.parameters())

    def transfer(block: Tensor) -> Tensor:
        return block.to(parameter if block.is_floating_point() else parameter.device)

    def blocks(rows: Tensor) -> TensorBlocks:  # copies, lest a model that writes to its inputs spoils them
        return TensorBlocks(rows, torch.arange(len(rows)))

    return PoolPredictor(model, blocks(pool), blocks(labeled), transfer=transfer)


def _forward(model: L.LightningModule, sample: Tensor) -> Tensor:
    """What the model says itself, in evaluation mode."""
    with evaluation_mode(model), torch.inference_mode():
        return model(sample.to(next(model.parameters()))).float().cpu()
