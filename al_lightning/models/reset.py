"""Drawing all the weights of a model anew."""

from torch import nn

from al_lightning.errors import InputError


def reset_parameters(model: nn.Module) -> None:
    """Puts a model back to where it was before training, with new weights from torch's global generator.

    Calls ``model.reset_parameters()`` if the model has it, and otherwise that of all its submodules, which also resets
    the statistics of normalisation layers. A submodule comes after those within it, so that what it does to them stays.

    Raises:
        InputError: If a submodule has parameters and no way to reset them: they would be carried from round to round.
    """
    reset = getattr(model, "reset_parameters", None)
    if reset is not None:
        reset()
    else:
        _reset(model, "model")


def _reset(module: nn.Module, name: str) -> None:
    for child_name, child in module.named_children():
        _reset(child, child_name if name == "model" else f"{name}.{child_name}")
    reset = getattr(module, "reset_parameters", None)
    if reset is not None:
        reset()
    elif any(True for _ in module.parameters(recurse=False)):
        what = f"{type(module).__name__} `{name}`"
        raise InputError(
            f"Expected a method `reset_parameters` of {what}, which has parameters of its own, but there is none."
        )
