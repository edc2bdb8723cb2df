"""A small network fitted to some of the digits, and the rest of them as its pool."""

import builtins
import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from al_lightning import strategies
from al_lightning.data import Arrays
from al_lightning.data.blocks import TensorBlocks
from al_lightning.inference import Known, PoolPredictor
from al_lightning.strategies import BatchBALD, Consistency, Entropy, Margin, QueryStrategy, Replay, Stochastic, Switch
from al_lightning.testing.small_models import NUM_LABELED, NUM_POOL, fitted_model
from tests.digits import FlatDigits


@cache
def digits() -> Arrays:
    return FlatDigits().load()


def labeled_inputs() -> Tensor:
    return digits().train_inputs[:NUM_LABELED]


def pool_inputs(size: int = NUM_POOL) -> Tensor:
    return digits().train_inputs[NUM_LABELED : NUM_LABELED + size]


def make_pool(
    inputs: Tensor | None = None,
    model: nn.Module | None = None,
    labeled: Tensor | None = None,
    block_size: int = 64,
    mask_seed: int = 0,
    **kwargs: Any,
) -> PoolPredictor:
    if labeled is None:
        kwargs = {"known": Known(labeled_targets=digits().train_targets[:NUM_LABELED]), **kwargs}
    return PoolPredictor(
        model or fitted_model(),
        TensorBlocks(pool_inputs() if inputs is None else inputs, block_size=block_size),
        TensorBlocks(labeled_inputs() if labeled is None else labeled, block_size=block_size),
        mask_generator=torch.Generator().manual_seed(mask_seed),
        **kwargs,
    )


def probs_one_by_one(inputs: Tensor | None = None) -> Tensor:
    """Class probabilities of the fitted model without dropout, float64, by one forward pass a row."""
    model = copy.deepcopy(fitted_model()).eval()
    with torch.no_grad():
        logits = [model(x[None]) for x in (pool_inputs() if inputs is None else inputs)]
    return torch.cat(logits).double().softmax(dim=1)


class Logits(nn.Module):
    """Takes its inputs for logits."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def embed(self, x: Tensor) -> Tensor:
        return x

    def head(self, embeddings: Tensor) -> Tensor:
        return embeddings


def pool_of_probs(probs: Tensor) -> PoolPredictor:
    """A pool on which the model predicts these probabilities."""
    return make_pool(probs.log().clamp(min=-1e4), Logits(), labeled=probs[:0])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_probs(size: int, num_classes: int, seed: int = 0, spread: float = 2.0) -> Tensor:
    return (spread * torch.randn(size, num_classes, generator=generator(seed))).softmax(dim=1)


def rows_by_hand(score: Callable[[Tensor], float], rows: Tensor) -> Tensor:
    """Scores rows one at a time in float64."""
    return torch.tensor([score(row) for row in rows.double()], dtype=torch.float64)


MADE: dict[str, Callable[[], QueryStrategy]] = {
    "BatchBALD": lambda: BatchBALD(20, 100),
    "Consistency": lambda: Consistency(5),
    "Replay": lambda: Replay("runs/margin/seed0"),
    "Stochastic": lambda: Stochastic(Entropy()),
    "Switch": lambda: Switch(Entropy(), Margin(), at_labels=200),
}
"""How strategies are made that need arguments, or would take long without."""


def make_strategy(name: str) -> QueryStrategy:
    """Makes a strategy of the package by its name."""
    return MADE[name]() if name in MADE else getattr(strategies, name)()


def hide_packages(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Makes imports of packages fail, as if they were not installed."""
    find = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name in packages:
            raise ImportError(name)
        return find(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
