"""Drawing all the weights of a model anew."""

from torch import nn

from al_lightning.errors import InputError


def reset_parameters(model: nn.Module) -> None:
    """Puts a model back to where it was before training, with new weights from torch's global generator.

    Calls ``model.reset_parameters()`` if the model has it, and otherwise that of all its submodules, which also resets
    the statistics of normalisation layers.

    Raises:
        InputError: If a submodule has parameters and no way to reset them: they would be carried from round to round.
    """
    for name, module in model.named_modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
            if module is model:
                return
        elif any(True for _ in module.parameters(recurse=False)):
            raise InputError(
                f"Expected a method `reset_parameters` of {type(module).__name__} `{name or 'model'}`, which has "
                "parameters of its own, but there is none."
            )
