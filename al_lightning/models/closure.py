"""Optimizers that evaluate the loss themselves, several times in each step."""

import inspect
from collections.abc import Callable
from functools import cache

from torch.optim import Optimizer


def wants_closure(optimizer: Optimizer) -> bool:
    """Whether the ``step`` of an optimizer gets a function that evaluates the loss.

    LBFGS needs this function. Optimizers of other libraries may need it even if their ``step`` has a default for it.
    All other optimizers evaluate it once, and take the same step.
    """
    return _wants_closure(type(optimizer).step)


@cache
def _wants_closure(step: Callable) -> bool:
    closure = inspect.signature(step).parameters.get("closure")
    if closure is None:
        return False
    return closure.default is inspect.Parameter.empty or not step.__module__.startswith("torch.optim.")
