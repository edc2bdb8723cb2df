"""Flags of what a function or a class passes on by ``**kwargs``, such as ``num_classes`` of ``timm.create_model``."""

import inspect
from importlib import import_module
from typing import Any

from jsonargparse import ArgumentParser

from al_lightning.cli.given_options import options_of_config

PASSED_ON = "dict_kwargs"
"""The name that jsonargparse has for arguments of which it does not know who takes them."""


def name_passed_on(words: list[str]) -> list[str]:
    """Renames flags that a function takes by ``**kwargs``, for which jsonargparse wants a name of its own.

    ``--model.network timm.create_model --model.network.num_classes 4`` becomes
    ``--model.network timm.create_model --model.network.dict_kwargs.num_classes 4``. The function is named by an earlier
    flag or in a config file. Flags that the function is known to take stay as they are.

    Args:
        words: The words of a command line.

    Returns:
        As many words.
    """
    chosen: dict[str, Any] = {}  # by option, the path of what was chosen
    renamed = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        flag, has_value, value = word.partition("=")
        if flag in ("-c", "--config"):
            chosen |= options_of_config(value if has_value else following)
        elif flag.startswith("--"):
            chosen[flag[2:]] = value if has_value else following
            owner, _, name = flag[2:].rpartition(".")
            if isinstance(chosen.get(owner), str) and name != PASSED_ON and _passes_on(chosen[owner], name):
                flag = f"--{owner}.{PASSED_ON}.{name}"
        renamed.append(f"{flag}{'=' if has_value else ''}{value}")
    return renamed


def _passes_on(path: str, name: str) -> bool:
    """Whether what a dotted path names takes this argument, but only by ``**kwargs``."""
    module, _, attribute = path.rpartition(".")
    if not module or not all(part.isidentifier() for part in path.split(".")):
        return False
    try:
        chosen = getattr(import_module(module), attribute)
        parameters = inspect.signature(chosen).parameters.values()
    except (ImportError, AttributeError, TypeError, ValueError):  # jsonargparse says what is wrong with it
        return False
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return False
    parser = ArgumentParser(exit_on_error=False)
    add = parser.add_class_arguments if inspect.isclass(chosen) else parser.add_function_arguments
    known = add(chosen, "chosen", fail_untyped=False)  # jsonargparse follows **kwargs through the source if it can
    return f"chosen.{name}" not in known
