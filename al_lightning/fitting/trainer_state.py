"""FreshTrainer: a trainer and its data module are in the same state before each fit."""

import copy
import inspect
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import Callback

PLAIN = (bool, int, float, str, type(None))
LOGGED_STEPS = "_batches_that_stepped"
"""Step count of the loggers. It is not put back, because their curves go on from round to round."""


class FreshTrainer:
    """Remembers the attributes of a trainer that callbacks change, and puts them back before each later fit.

    GradientAccumulationScheduler sets ``trainer.accumulate_grad_batches``, StochasticWeightAveraging raises
    ``max_epochs``, BatchSizeFinder sets the batch size of the data, LearningRateFinder a hyperparameter.

    Args:
        trainer: The trainer, before its first fit of a run.
        model: The model. Its hyperparameters are put back.
        datamodule: The data. Its hyperparameters are put back, and attributes with the names of its constructor's
            arguments.
    """

    def __init__(self, trainer: L.Trainer, model: L.LightningModule, datamodule: L.LightningDataModule) -> None:
        self._trainer = trainer
        self._callbacks: list[Callback] = list(trainer.callbacks)  # type: ignore[attr-defined]
        self._scaling = copy.deepcopy(trainer.precision_plugin.state_dict())
        fit, test = trainer.fit_loop, trainer.test_loop
        steps = fit.epoch_loop
        loops = [fit, steps, steps.automatic_optimization, steps.manual_optimization, steps.val_loop, test]
        self._attributes = [(part, _plain(vars(part))) for part in (trainer, *loops)]
        arguments = _arguments(datamodule)
        settings = {name: value for name, value in vars(datamodule).items() if name in arguments}
        self._attributes.append((datamodule, _plain(settings)))
        self._hparams = [(part.hparams, _plain(part.hparams)) for part in (model, datamodule) if part.hparams]
        self._is_first = True

    def restore(self) -> None:
        """Puts everything back, except before the first fit."""
        if self._is_first:
            self._is_first = False
            return
        callbacks: list[Callback] = self._trainer.callbacks  # type: ignore[attr-defined]
        callbacks[:] = self._callbacks
        for part, attributes in self._attributes:
            vars(part).update(attributes)
        for hparams, values in self._hparams:
            hparams.update(values)
        if self._scaling:  # only in 16-mixed
            self._trainer.precision_plugin.load_state_dict(copy.deepcopy(self._scaling))


def _plain(attributes: Any) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if isinstance(value, PLAIN) and name != LOGGED_STEPS}


def _arguments(part: object) -> set[str]:
    """Names of the arguments of an object's constructor, including its base classes."""
    return {name for base in type(part).__mro__ for name in inspect.signature(base).parameters}
