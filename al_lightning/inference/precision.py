"""The precision in which the model scores the pool for a query, apart from the precision of the fits."""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from al_lightning.data.inputs import map_tensors
from al_lightning.errors import InputError

if TYPE_CHECKING:
    import lightning.pytorch as L

ScoringPrecision = Literal["auto", "trainer", "32-true", "bf16-mixed", "16-mixed"]
SCORING_PRECISIONS = get_args(ScoringPrecision)
DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
OF_FLOAT32 = ("32-true", *DTYPES)
"""Precisions of a trainer that keep the weights in float32. Only such weights can be used in each of these."""


def check_scoring_precision(precision: ScoringPrecision, trainer: "L.Trainer") -> None:
    """Raises :class:`InputError` if a model of this trainer cannot score in a precision."""
    if precision in ("auto", "trainer", str(trainer.precision)):
        return
    if trainer.precision not in OF_FLOAT32:
        raise InputError(
            f"Expected `loop.scoring_precision` to be trainer with `trainer.precision` {trainer.precision}, whose "
            f"weights are not float32, but got {precision}."
        )
    device = trainer.strategy.root_device
    if precision in DTYPES and not _has(device, DTYPES[precision]):
        raise InputError(
            f"Expected `loop.scoring_precision` to be one that torch has on the device {device}, but got {precision}."
        )


def _has(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch computes in a dtype on a device. On some devices it refuses, on others it warns and does not."""
    one = torch.ones(1, 1, device=device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.autocast(device.type, dtype):
                return (one @ one).dtype == dtype
        except RuntimeError:
            return False


def settled(precision: ScoringPrecision, trainer: "L.Trainer") -> str:
    """Returns the precision that ``auto`` stands for with this trainer; each other precision as it is.

    A trainer of another precision than float32 was asked for it, so its queries keep this precision.
    """
    if precision != "auto":
        return precision
    is_fast = trainer.strategy.root_device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16-mixed" if is_fast and trainer.precision == "32-true" else "trainer"


def context_of(precision: ScoringPrecision, trainer: "L.Trainer") -> Callable[[], AbstractContextManager]:
    """Returns what makes the context in which a model of this trainer is called."""
    name = settled(precision, trainer)
    if _is_of_trainer(name, trainer):
        return trainer.precision_plugin.forward_context
    device = trainer.strategy.root_device.type
    if name in DTYPES:  # as Lightning does it: without the cache, which would hold the weights of an earlier fit
        return partial(torch.autocast, device, DTYPES[name], cache_enabled=False)
    return partial(torch.autocast, device, enabled=False)


def converter_of(precision: ScoringPrecision, trainer: "L.Trainer") -> Callable[[Any], Any]:
    """Returns what brings inputs to a dtype that the model takes in this precision."""
    convert = trainer.precision_plugin.convert_input
    if settled(precision, trainer) != "32-true" or _is_of_trainer("32-true", trainer):
        return convert
    return lambda inputs: map_tensors(_widened, convert(inputs))


def _widened(tensor: Tensor) -> Tensor:
    """Float16 and bfloat16 as float32. In the fits of a mixed precision, autocast takes such inputs as they are."""
    return tensor.float() if tensor.is_floating_point() and tensor.dtype.itemsize < 4 else tensor


def _is_of_trainer(name: str, trainer: "L.Trainer") -> bool:
    return name in ("trainer", str(trainer.precision))
