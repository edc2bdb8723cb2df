"""Small models that are fitted to a few digits: with dropout, an ensemble, and without dropout.

A strategy is checked with the first kind that it can query with; see ``kind`` of
:class:`~al_lightning.testing.watched_strategy.Subject`.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from al_lightning.data import Arrays, Digits
from al_lightning.models import DropoutMLP

NUM_LABELED = 100
NUM_POOL = 300
HIDDEN_DIM = 32
NUM_MEMBERS = 5
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


class NormalisedMLP(DropoutMLP):
    """DropoutMLP with batch normalisation, whose buffers move in training mode."""

    def __init__(self, **kwargs: int) -> None:
        super().__init__(**{"input_dim": 64, "hidden_dim": HIDDEN_DIM, **kwargs})  # type: ignore[arg-type]
        self.norm = nn.BatchNorm1d(self.hidden.out_features)

    def embed(self, x: Tensor) -> Tensor:
        """Maps inputs ``(B, ...)`` to normalised hidden activations ``(B, D)``."""
        return F.relu(self.norm(self.hidden(x.flatten(1))))


class FeaturesMLP(nn.Module):
    """Has features and a head, and no dropout."""

    def __init__(self, hidden_dim: int, num_classes: int, normalised: bool = False) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, hidden_dim)
        self.norm = nn.BatchNorm1d(hidden_dim) if normalised else nn.Identity()
        self.head = nn.Linear(hidden_dim, num_classes)

    def embed(self, x: Tensor) -> Tensor:
        """Maps inputs ``(B, ...)`` to hidden activations ``(B, D)``."""
        return F.relu(self.norm(self.hidden(x.flatten(1))))

    def forward(self, x: Tensor) -> Tensor:
        """Maps inputs ``(B, ...)`` to logits ``(B, C)``."""
        return self.head(self.embed(x))


class Ensemble(nn.Module):
    """Networks of the kind of :class:`FeaturesMLP`, whose mean probability is the prediction."""

    def __init__(self, hidden_dim: int, num_classes: int, normalised: bool = False) -> None:
        super().__init__()
        self.members = nn.ModuleList(FeaturesMLP(hidden_dim, num_classes, normalised) for _ in range(NUM_MEMBERS))

    def sample_logits(self, x: Tensor, num_samples: int) -> Tensor:
        """Returns the logits of all members, ``(B, T, C)``."""
        return torch.stack([member(x) for member in self.members], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logarithm of the mean probability, but for a constant."""
        return self.sample_logits(x, NUM_MEMBERS).log_softmax(dim=2).logsumexp(dim=1)


@dataclass(frozen=True)
class Kind:
    """A kind of small model."""

    name: str
    make: Callable[..., nn.Module]
    """Makes a model of ``hidden_dim`` and ``num_classes``."""
    make_normalised: Callable[..., nn.Module]
    """Makes one with batch normalisation."""

    def new(self, hidden_dim: int = HIDDEN_DIM, num_classes: int = 10, normalised: bool = False) -> Any:
        """Returns a model that was never fitted; always the same one."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return (self.make_normalised if normalised else self.make)(hidden_dim=hidden_dim, num_classes=num_classes)

    @cached_property
    def fitted(self) -> Any:
        """A model fitted to the labeled digits, in training mode as a strategy finds it. Copy it to change it."""
        inputs, targets = digits().train_inputs[LABELED], digits().train_targets[LABELED]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = self.make(hidden_dim=HIDDEN_DIM, num_classes=10)
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
            for _ in range(40):
                optimizer.zero_grad()
                torch.stack([F.cross_entropy(network(inputs), targets) for network in networks(model)]).sum().backward()
                optimizer.step()
            optimizer.zero_grad()
        return model

    def changed(self, change: Callable[[Any], object]) -> Any:
        """Returns a copy of the fitted model after a change to each of its networks."""
        model = copy.deepcopy(self.fitted)
        with torch.no_grad():
            for network in networks(model):
                change(network)
        return model

    def with_all_that_may_change(self) -> Any:
        """Returns a model with buffers that move in training mode, gradients, and layers in evaluation mode."""
        model = self.new(normalised=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            F.cross_entropy(model(digits().train_inputs[:50]), digits().train_targets[:50]).backward()
        for network in networks(model):
            network.hidden.eval()
        return model


def networks(model: Any) -> list[Any]:
    """Returns the networks of a small model, each with the layers ``hidden`` and ``head``: one, or all members."""
    return list(model.members) if isinstance(model, Ensemble) else [model]


def _mlp(hidden_dim: int, num_classes: int) -> DropoutMLP:
    return DropoutMLP(input_dim=64, hidden_dim=hidden_dim, num_classes=num_classes)


def _normalised(make: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    return lambda **sizes: make(normalised=True, **sizes)


DROPOUT = Kind("a network with dropout", _mlp, NormalisedMLP)
KINDS = (
    DROPOUT,
    Kind("an ensemble", Ensemble, _normalised(Ensemble)),
    Kind("a network without dropout", FeaturesMLP, _normalised(FeaturesMLP)),
)
"""In the order in which they are tried with a strategy."""


def fitted_model() -> DropoutMLP:
    """The fitted model with dropout. Copy it to change it."""
    return DROPOUT.fitted
