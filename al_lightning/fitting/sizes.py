"""Sizes: the number of classes and the inputs of the data, which decide the sizes that a model was not given."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as L

from al_lightning.data.inputs import Inputs
from al_lightning.fitting.model_maker import forget_maker
from al_lightning.models.base import SIZES
from al_lightning.models.protocol import traits


@dataclass(frozen=True)
class Sizes:
    """The sizes of the data."""

    num_classes: int
    inputs: Inputs
    """Inputs of one sample."""

    def give_to(self, model: L.LightningModule) -> None:
        """Lets a model take the sizes that its constructor left to the data; see ``suit_data`` of Traits.

        Other models stay unchanged.
        """
        suit_data = traits(model).suit_data
        if suit_data is None:
            return
        before = list(model.parameters())
        suit_data(self.num_classes, self.inputs)
        if hasattr(model, "_hparams_initial"):  # which Lightning gives to loggers
            vars(model)["_hparams_initial"] = copy.deepcopy(model.hparams)
        after = list(model.parameters())
        if len(before) != len(after) or any(was is not now for was, now in zip(before, after, strict=True)):
            forget_maker(model)


def with_sizes(settings: Mapping[str, Any], model: L.LightningModule) -> dict[str, Any]:
    """Returns settings of a run, with the numbers of its model in place of sizes that are null.

    Args:
        settings: Nested mappings of plain values.
        model: The model, which has met its data.
    """
    part = settings.get("model")
    if not isinstance(part, Mapping) or not isinstance(part.get("init_args"), Mapping):
        return dict(settings)
    arguments = part["init_args"]
    return {**settings, "model": {**part, "init_args": {**arguments, **taken_sizes(arguments, model)}}}


def taken_sizes(arguments: Mapping[str, Any], model: L.LightningModule) -> dict[str, int]:
    """Returns the sizes by name that are null in the arguments of a model and that it took from its data."""
    names = [name for name in SIZES if name in arguments and arguments[name] is None]
    return {name: model.hparams[name] for name in names if isinstance(model.hparams.get(name), int)}
