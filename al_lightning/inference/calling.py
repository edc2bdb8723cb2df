"""The one rule for calling a model with the inputs of a block."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from al_lightning.data.inputs import Inputs
from al_lightning.errors import InputError
from al_lightning.models.protocol import traits

LABEL_NAMES = ("label", "labels", "target", "targets", "y")
"""Parameters of a ``forward`` that scoring never fills in."""

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
NOT_TAKEN = (TypeError, LookupError, AttributeError, ValueError, RuntimeError, AssertionError)

Form = Callable[[Any], Any]

_forms: WeakKeyDictionary[nn.Module, dict[tuple[str, tuple[str, ...]], Form]] = WeakKeyDictionary()
"""The form of inputs that a model with one parameter takes, by model, method and names of the inputs; found once."""


def call(model: nn.Module, inputs: Inputs, method: str = "forward") -> Any:
    """Calls a model with the inputs of a block.

    - A tensor is the argument.
    - A mapping of tensors becomes keyword arguments: the tensors with names of parameters of ``forward``, or all of
      them if it has ``**kwargs``. If no name fits and there is one parameter, this parameter gets the mapping. If the
      model does not take the mapping, it gets the only tensor of two or more dimensions in it.
    - From a tuple of tensors, ``forward`` gets one for each parameter without a default. It also gets a tensor of two
      or more dimensions for a parameter with the default ``None``, such as an attention mask.

    Parameters named ``labels``, ``targets`` or ``y`` get nothing. A model with ``passes_inputs_to`` hands its inputs to
    the network of this name. The rule then applies to the network.

    Args:
        model: A network, already in training or evaluation mode.
        inputs: The inputs of B samples.
        method: ``forward`` for the model itself, or ``embed``.

    Returns:
        The result of the model.

    Raises:
        InputError: If there is nothing for a parameter without a default.
    """
    function = model if method == "forward" else getattr(model, method)
    inputs = narrowed(model, inputs, method)
    if method == "forward" and traits(model).passes_inputs_to is not None:
        return function(inputs)
    if isinstance(inputs, Tensor):
        return function(inputs)
    if isinstance(inputs, tuple):
        return function(*inputs)
    return _call_by_names(model, function, inputs, method)


def narrowed(model: nn.Module, inputs: Inputs, method: str = "forward") -> Inputs:
    """Returns the inputs of a tuple that a model takes: a tuple, or the first input if it takes only one."""
    network = traits(model).passes_inputs_to
    if method == "forward" and network is not None:
        return narrowed(model.get_submodule(network), inputs)
    if not isinstance(inputs, tuple | list):
        return inputs
    if isinstance(inputs[0], Mapping):
        return inputs[0]
    parameters, takes_more = _positional(model, method)
    if takes_more and not parameters:
        num = len(inputs)
    else:
        num = max(1, sum(parameter.default is inspect.Parameter.empty for parameter in parameters))
        for parameter, part in list(zip(parameters, inputs, strict=False))[num:]:
            is_wide = isinstance(part, Tensor) and part.dim() > 1
            if parameter.default is not None or parameter.name in LABEL_NAMES or not is_wide:
                break
            num += 1
    if num > len(inputs):
        raise InputError(
            f"Expected `{method}` of {type(model).__name__} to take {len(inputs)} inputs, as items have, but it takes "
            f"{', '.join(parameter.name for parameter in parameters[:num])}."
        )
    return inputs[0] if num == 1 else tuple(inputs[:num])


def _positional(model: nn.Module, method: str) -> tuple[list[inspect.Parameter], bool]:
    """Parameters that take an argument by its place, and whether there is ``*args``."""
    parameters = inspect.signature(getattr(model, method)).parameters.values()
    return (
        [parameter for parameter in parameters if parameter.kind in POSITIONAL],
        any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters),
    )


def _call_by_names(model: nn.Module, function: Callable[..., Any], inputs: Mapping[str, Any], method: str) -> Any:
    parameters = [
        parameter
        for parameter in inspect.signature(getattr(model, method)).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_POSITIONAL and parameter.name not in LABEL_NAMES
    ]
    takes_all = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    parameters = [parameter for parameter in parameters if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    known = {parameter.name for parameter in parameters}
    missing = [p.name for p in parameters if p.default is inspect.Parameter.empty and p.name not in inputs]
    named = {name: part for name, part in inputs.items() if takes_all or name in known}
    if named and not missing:
        return function(**named)
    if known & set(inputs) or len(missing) > 1:
        raise InputError(
            f"Expected the inputs to have {', '.join(missing)}, which `{method}` of {type(model).__name__} takes, but "
            f"got {', '.join(inputs)}."
        )
    return _call_with_one(model, function, inputs, method)


def _call_with_one(model: nn.Module, function: Callable[..., Any], inputs: Mapping[str, Any], method: str) -> Any:
    """Calls a function of one parameter with the mapping, or with its only tensor if it refuses the mapping."""
    found = _forms.setdefault(model, {})
    key = method, tuple(inputs)
    if key in found:
        return function(found[key](inputs))
    wide = [name for name, part in inputs.items() if isinstance(part, Tensor) and part.dim() > 1]
    only = wide or list(inputs)
    forms: list[Form] = [lambda block: block]
    if len(only) == 1:
        forms.append(lambda block: block[only[0]])
    error: Exception | None = None
    for form in forms:
        try:
            result = function(form(inputs))
        except InputError:  # the model's own message about its inputs
            raise
        except NOT_TAKEN as raised:
            error = raised if len(forms) > 1 and form is forms[-1] else error or raised
        else:
            found[key] = form
            return result
    assert error is not None
    if len(forms) == 1:
        raise InputError(
            f"Expected `{method}` of {type(model).__name__} to have parameters named {', '.join(inputs)}, or to take "
            f"them as one mapping, but got {type(error).__name__}: {' '.join(str(error).split())}; `data.image_key` "
            "names the one input of a model that takes a tensor."
        ) from error
    raise error
