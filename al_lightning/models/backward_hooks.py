"""Lightning's hooks of the backward pass."""

import lightning.pytorch as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.utilities.model_helpers import is_overridden

HOOKS = ("on_before_backward", "on_after_backward")
METHODS = ("backward", "manual_backward")


def hears_backward(model: L.LightningModule) -> bool:
    """Whether anything happens in a backward pass by Lightning besides the pass itself.

    Args:
        model: A model that a trainer fits. Its hooks count, those of the callbacks, and its methods ``backward`` and
            ``manual_backward``. A precision or a strategy that is not one of Lightning's plain ones counts, too.
    """
    trainer = model.trainer
    is_plain = type(trainer.strategy) is SingleDeviceStrategy and type(trainer.precision_plugin) in (
        Precision,
        MixedPrecision,
    )
    return (
        not is_plain
        or trainer.scaler is not None
        or any(is_overridden(method, model, L.LightningModule) for method in (*METHODS, *HOOKS))
        or any(
            is_overridden(hook, callback, Callback)
            for callback in trainer.callbacks  # type: ignore[attr-defined]
            for hook in HOOKS
        )
    )
