"""Optimizers that evaluate the loss themselves, several times a step."""

import inspect
from collections.abc import Callable
from functools import cache

from torch.optim import Optimizer


def wants_closure(optimizer: Optimizer) -> bool:
    """Whether the ``step`` of an optimizer is to be given a function that evaluates the loss.

    LBFGS needs one. Optimizers of other libraries may need one even if their ``step`` has a default for it; all others
    evaluate it once, and take the same step.
    """
    return _wants_closure(type(optimizer).step)


@cache
def _wants_closure(step: Callable) -> bool:
    closure = inspect.signature(step).parameters.get("closure")
    if closure is None:
        return False
    return closure.default is inspect.Parameter.empty or not step.__module__.startswith("torch.optim.")
