"""What a run is of besides its settings: data, and networks that a strategy brings along."""

from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from al_lightning.data import PoolDataModule
from al_lightning.digest import digest
from al_lightning.strategies import QueryStrategy


def identity(datamodule: PoolDataModule, strategy: QueryStrategy) -> dict[str, Any]:
    """Describes what settings only name: a path stays the same when images are added, or a file is overwritten.

    Args:
        datamodule: The data.
        strategy: Its attributes that are networks count; one whose shapes are not known before it is used does not.

    Returns:
        Plain values, ``networks`` only if there are some.
    """
    found: dict[str, Any] = {"samples": datamodule.fingerprint(), "classes": datamodule.list_class_names()}
    networks = {}
    for name, network in vars(strategy).items():
        if isinstance(network, nn.Module):
            # modules may keep anything else in their state, by get_extra_state
            weights = {key: value for key, value in network.state_dict().items() if isinstance(value, Tensor)}
            if not any(is_lazy(value) for value in weights.values()):
                networks[name] = digest(weights)
    return found | ({"networks": networks} if networks else {})
