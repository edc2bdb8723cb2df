"""Small real pools and a small fitted model, on which the contract is checked; and pools with nothing to choose by.

Whatever is handed out here is a copy: a strategy that writes to its inputs or its model spoils one case, not the next.
"""

import copy
from collections.abc import Callable, Iterator
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from al_lightning.data import Arrays, Digits, PoolDataModule
from al_lightning.data.blocks import TensorBlocks
from al_lightning.inference import PoolPredictor
from al_lightning.models import DropoutMLP

NUM_LABELED = 100
NUM_POOL = 300
HIDDEN_DIM = 32
LABELED = slice(0, NUM_LABELED)
POOL = slice(NUM_LABELED, NUM_LABELED + NUM_POOL)
OTHER_POOL = slice(POOL.stop, POOL.stop + NUM_POOL)


@cache
def digits() -> Arrays:
    """1,400 training and 397 test images, ``(N, 1, 8, 8)``."""
    return Digits().load()


def images(rows: slice, size: int | None = None) -> Tensor:
    """Returns the first ``size`` of these training images, or all of them."""
    return digits().train_inputs[rows][:size].clone()


@cache
def fitted_model() -> DropoutMLP:
    """Fitted to the labeled digits, in training mode as a strategy finds it. Copy it to change it."""
    inputs, targets = digits().train_inputs[LABELED], digits().train_targets[LABELED]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = DropoutMLP(input_dim=64, hidden_dim=HIDDEN_DIM)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(40):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
        optimizer.zero_grad()
    return model


def new_model(hidden_dim: int, num_classes: int = 10) -> DropoutMLP:
    """Returns a model that was never fitted; always the same one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return DropoutMLP(input_dim=64, hidden_dim=hidden_dim, num_classes=num_classes)


def changed_model(change: Callable[[DropoutMLP], object]) -> DropoutMLP:
    """Returns a copy of the fitted model after a change to its weights."""
    model = copy.deepcopy(fitted_model())
    with torch.no_grad():
        change(model)
    return model


class NormalisedMLP(DropoutMLP):
    """Has buffers that move in training mode, gradients, and a layer in evaluation mode: all must stay as they are."""

    def __init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            super().__init__(input_dim=64, hidden_dim=HIDDEN_DIM)
            self.norm = nn.BatchNorm1d(HIDDEN_DIM)
            F.cross_entropy(self(digits().train_inputs[:50]), digits().train_targets[:50]).backward()
        self.hidden.eval()

    def embed(self, x: Tensor) -> Tensor:
        """Maps inputs ``(B, ...)`` to normalised hidden activations ``(B, D)``."""
        return F.relu(self.norm(self.hidden(x.flatten(1))))


class WatchedBlocks(TensorBlocks):
    """Blocks that know whether they were read."""

    was_read = False

    def __iter__(self) -> Iterator[Tensor]:
        self.was_read = True
        return super().__iter__()


def make_pool(
    inputs: Tensor, model: nn.Module | None = None, labeled: Tensor | None = None, block_size: int = 64
) -> PoolPredictor:
    """Returns a pool of these inputs, of a copy of the fitted model and of the labeled digits if not given others."""
    return PoolPredictor(
        copy.deepcopy(fitted_model()) if model is None else model,
        WatchedBlocks(inputs, block_size=block_size),
        WatchedBlocks(images(LABELED) if labeled is None else labeled, block_size=block_size),
    )


class RelabeledDigits(PoolDataModule):
    """The labeled digits and the pool, with targets from elsewhere."""

    def __init__(self, targets: Tensor) -> None:
        super().__init__()
        self.targets = targets

    def load(self) -> Arrays:
        return Arrays(images(slice(0, len(self.targets))), self.targets, *digits()[2:])


# ---------------------------------------------------------------------------------------------- nothing to choose by


def _zero_features(model: DropoutMLP) -> None:
    nn.init.zeros_(model.hidden.weight)
    nn.init.zeros_(model.hidden.bias)


def _uniform_probs(model: DropoutMLP) -> None:
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)


def _one_hot_probs(model: DropoutMLP) -> None:
    model.head.weight.mul_(1e6)


def _threes(size: int) -> Tensor:
    return digits().train_inputs[digits().train_targets == 3][:size].clone()


def _repeated(distinct: int, size: int) -> Tensor:
    return images(POOL, distinct).repeat(size // distinct, 1, 1, 1)


DEGENERATE: dict[str, Callable[[int], PoolPredictor]] = {
    "all inputs identical": lambda size: make_pool(_repeated(1, size)),
    "all inputs labeled already": lambda size: make_pool(images(LABELED, size)),
    "two distinct inputs": lambda size: make_pool(_repeated(2, size)),
    "inputs of one class": lambda size: make_pool(_threes(size)),
    "a model of two classes": lambda size: make_pool(images(POOL, size), new_model(HIDDEN_DIM, num_classes=2)),
    "a model with one feature": lambda size: make_pool(images(POOL, size), new_model(hidden_dim=1)),
    "uniform probabilities": lambda size: make_pool(images(POOL, size), changed_model(_uniform_probs)),
    "one-hot probabilities": lambda size: make_pool(images(POOL, size), changed_model(_one_hot_probs)),
    "features all zero": lambda size: make_pool(images(POOL, size), changed_model(_zero_features)),
}
"""What a pool has of its own that is degenerate, and how to make one of a size, which is even."""
