"""ModuleState: the state of a model without its weights, as it was before the first fit."""

import copy
from typing import Any

import lightning.pytorch as L
import torch
from torch import Tensor, nn

PLAIN = (bool, int, float, str, bytes, type(None), torch.device, torch.dtype)


class ModuleState:
    """Remembers frozen parameters, modes, and attributes that are numbers, texts or tensors, and puts them back.

    Attributes of these types that a fit added are removed.

    So each fit begins in the same state as in a new process. For example, a counter in a ``training_step`` or a layer
    that a callback froze does not reach the next round. Lists and mappings stay, because users keep records in them.

    Args:
        model: A model before its first fit.
    """

    def __init__(self, model: nn.Module) -> None:
        self._trained = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
        self._training = {name: module.training for name, module in model.named_modules()}
        self._attributes = {name: copy.deepcopy(_plain_attributes(module)) for name, module in model.named_modules()}
        self._names = {name: set(vars(module)) for name, module in model.named_modules()}

    def restore(self, model: nn.Module) -> None:
        """Puts the state back. Parameters and modules that were added later stay."""
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(self._trained.get(name, parameter.requires_grad))
        for name, module in model.named_modules():
            module.training = self._training.get(name, module.training)
            for attribute in set(_plain_attributes(module)) - self._names.get(name, set(vars(module))):
                delattr(module, attribute)
            for attribute, value in self._attributes.get(name, {}).items():
                object.__setattr__(module, attribute, copy.deepcopy(value))


def _plain_attributes(module: nn.Module) -> dict[str, Any]:
    not_its_own = _OF_LIGHTNING if isinstance(module, L.LightningModule) else _OF_TORCH
    return {
        name: value
        for name, value in vars(module).items()
        if name not in not_its_own and (isinstance(value, PLAIN) or (type(value) is Tensor and value.is_leaf))
    }


_OF_TORCH = frozenset(vars(nn.Module()))
_OF_LIGHTNING = frozenset(vars(L.LightningModule()))
