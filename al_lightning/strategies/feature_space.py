"""FeatureSpace: the space in which a strategy measures distances."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor, nn

from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor, Predictions, evaluation_mode

Features = Literal["penultimate", "inputs"] | nn.Module
"""``penultimate`` features of the model, without dropout; the ``inputs`` as the model gets them; or the outputs of
another network."""


class FeatureSpace:
    """Computes the features in which a strategy measures distances.

    Args:
        features: Which features.
        name: Name of the strategy, for messages.

    Raises:
        InputError: If ``features`` is something else.
    """

    def __init__(self, features: Features, name: str) -> None:
        if not isinstance(features, nn.Module) and features not in ("penultimate", "inputs"):
            raise InputError(
                f"Expected `features` of {name} to be penultimate, inputs or a network, but got {features!r}."
            )
        self._features = features
        self._name = name

    def of_pool(self, pool: PoolPredictor) -> Tensor:
        """Features of the pool, float32, shape ``(N, D)``."""
        return self._map(pool.map)

    def of_rows(self, pool: PoolPredictor, positions: Tensor) -> Tensor:
        """Features of the samples at K distinct positions in the pool, in their order, float32, shape ``(K, D)``."""
        ascending, order = positions.sort()
        features = self._map(lambda fn: pool.map(fn, over=pool.blocks_at(ascending)))
        return torch.empty_like(features).index_copy_(0, order, features)

    def of_labeled(self, pool: PoolPredictor) -> Tensor:
        """Features of the labeled samples, float32, shape ``(M, D)``; of any shape if there are none."""
        return self._map(pool.map_labeled)

    def _map(self, over: Callable[[Callable[[Predictions], Tensor]], Tensor]) -> Tensor:
        network = self._features if isinstance(self._features, nn.Module) else None

        def features(batch: Predictions) -> Tensor:
            if self._features == "penultimate":
                return batch.embeddings
            if not isinstance(batch.inputs, Tensor):
                raise InputError(
                    f"Expected `features` of {self._name} to be penultimate for inputs of several tensors, but got "
                    f"{'inputs' if network is None else type(network).__name__}."
                )
            return batch.inputs.flatten(1).float() if network is None else self._of_network(network, batch.inputs)

        with evaluation_mode(network) if network is not None else nullcontext():
            return over(features)

    def _of_network(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """Returns the outputs of a network for inputs ``(B, ...)`` of any precision: float32, ``(B, D)``."""
        dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)
        expected = f"Expected `features` of {self._name} to map inputs of shape {tuple(inputs.shape)} to (B, D)"
        try:
            features = network.to(inputs.device)(inputs.to(dtype))
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())  # some of torch's are of many lines
            raise InputError(f"{expected}, but {type(network).__name__} fails: {reason}.") from error
        if not isinstance(features, Tensor) or features.dim() < 2 or len(features) != len(inputs):
            got = f"shape {tuple(features.shape)}" if isinstance(features, Tensor) else type(features).__name__
            raise InputError(f"{expected}, but {type(network).__name__} returns {got}.")
        return features.flatten(1).float()
