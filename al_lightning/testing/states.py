"""The state that a strategy could change: of a model, and of the strategy itself."""

import pickle
from typing import Any

from torch import Tensor, nn

State = dict[tuple[str, str], Any]
"""Values by kind and name, such as ``("gradient", "`head.bias`")``."""


def state_of(model: nn.Module) -> State:
    """Returns all that a strategy could change in a model."""
    state: State = {}
    for name, value in model.state_dict().items():
        state["value", f"`{name}`"] = value.clone()
    for name, parameter in model.named_parameters():
        state["gradient", f"`{name}`"] = None if parameter.grad is None else parameter.grad.clone()
        state["requires_grad", f"`{name}`"] = parameter.requires_grad
    for name, module in model.named_modules():
        state["training mode", f"`{name}`" if name else "the model"] = module.training
    return state


def differences(before: State, after: State) -> list[str]:
    """Describes the differences between two states of a model."""

    def same(a: Any, b: Any) -> bool:
        return a.equal(b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a is b

    keys = {**before, **after}
    return [f"the {k} of {name}" for k, name in keys if not same(before.get((k, name)), after.get((k, name)))]


def attributes(strategy: object) -> dict[str, Any]:
    """Returns the attributes of a strategy, each as something that is equal if nothing in it was changed."""

    def frozen(value: Any) -> Any:
        try:
            return pickle.dumps(value)
        except (pickle.PicklingError, TypeError, AttributeError):  # a function, a lock
            return id(value)

    return {name: frozen(value) for name, value in getattr(strategy, "__dict__", {}).items()}
