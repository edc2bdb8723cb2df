"""Small real pools, on which the contract is checked, and pools with nothing to choose by.

All inputs and models are copies. So a strategy that writes to them spoils only one case.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from al_lightning.data import Arrays, PoolDataModule
from al_lightning.data.blocks import TensorBlocks
from al_lightning.inference import Known, PoolPredictor
from al_lightning.testing.small_models import DROPOUT, LABELED, POOL, Kind, digits, images

NUM_CLASSES = 10


class WatchedBlocks(TensorBlocks):
    """Blocks that know whether they were read."""

    was_read = False

    def __iter__(self) -> Iterator[Tensor]:
        self.was_read = True
        return super().__iter__()


class WatchedPool(PoolPredictor):
    """A pool that knows whether its inputs were read."""

    def __init__(self, model: nn.Module, pool: WatchedBlocks, labeled: WatchedBlocks, **kwargs: Any) -> None:
        super().__init__(model, pool, labeled, **kwargs)
        self.blocks = pool


def make_pool(
    inputs: Tensor, model: nn.Module | None = None, labeled: Tensor | None = None, block_size: int = 64, **kwargs: Any
) -> WatchedPool:
    """Makes a pool.

    Args:
        inputs: The inputs of the pool.
        model: A copy of the fitted model with dropout if not given.
        labeled: The labeled digits if not given.
        block_size: Number of rows in a block.
        kwargs: Arguments of PoolPredictor.
    """
    targets = digits().train_targets[LABELED]
    if labeled is not None:
        targets = torch.arange(len(labeled)) % NUM_CLASSES
    return WatchedPool(
        copy.deepcopy(DROPOUT.fitted) if model is None else model,
        WatchedBlocks(inputs, block_size=block_size),
        WatchedBlocks(images(LABELED) if labeled is None else labeled, block_size=block_size),
        **{"known": Known(labeled_targets=targets), **kwargs},
    )


class RelabeledDigits(PoolDataModule):
    """The labeled digits and the pool, with targets from elsewhere."""

    def __init__(self, targets: Tensor) -> None:
        super().__init__()
        self.targets = targets

    def load(self) -> Arrays:
        return Arrays(images(slice(0, len(self.targets))), self.targets, *digits()[2:])


# ---------------------------------------------------------------------------------------------- nothing to choose by


def _zero_features(network: Any) -> None:
    nn.init.zeros_(network.hidden.weight)
    nn.init.zeros_(network.hidden.bias)


def _uniform_probs(network: Any) -> None:
    nn.init.zeros_(network.head.weight)
    nn.init.zeros_(network.head.bias)


def _one_hot_probs(network: Any) -> None:
    network.head.weight.mul_(1e6)


def _inputs(make: Callable[[int], Tensor]) -> Callable[[Kind, int], WatchedPool]:
    """A pool of other inputs, with the fitted model."""
    return lambda kind, size: make_pool(make(size), copy.deepcopy(kind.fitted))


def _model(make: Callable[[Kind], nn.Module], num_classes: int = NUM_CLASSES) -> Callable[[Kind, int], WatchedPool]:
    """The usual pool with another model."""
    known = Known(labeled_targets=digits().train_targets[LABELED] % num_classes)
    return lambda kind, size: make_pool(images(POOL, size), make(kind), known=known)


DEGENERATE: dict[str, Callable[[Kind, int], WatchedPool]] = {
    "all inputs identical": _inputs(lambda size: images(POOL, 1).repeat(size, 1, 1, 1)),
    "all inputs labeled already": _inputs(lambda size: images(LABELED, size)),
    "two distinct inputs": _inputs(lambda size: images(POOL, 2).repeat(size // 2, 1, 1, 1)),
    "inputs of one class": _inputs(lambda size: digits().train_inputs[digits().train_targets == 3][:size].clone()),
    "a model of two classes": _model(lambda kind: kind.new(num_classes=2), num_classes=2),
    "a model with one feature": _model(lambda kind: kind.new(hidden_dim=1)),
    "uniform probabilities": _model(lambda kind: kind.changed(_uniform_probs)),
    "one-hot probabilities": _model(lambda kind: kind.changed(_one_hot_probs)),
    "features all zero": _model(lambda kind: kind.changed(_zero_features)),
}
"""Degenerate pools, by the degenerate part. Each is made from a kind of model and a size, an even number."""
