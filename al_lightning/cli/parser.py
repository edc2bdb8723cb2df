"""The parser of the commands that train and test: it says what is wrong in one sentence."""

import inspect
from collections.abc import Iterable
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.cli import LightningArgumentParser

from al_lightning import data, labeling, models, strategies
from al_lightning.cli.messages import explain
from al_lightning.cli.options import OneSentence
from al_lightning.data import PoolDataModule

KNOWN_CLASSES: dict[str, list[str]] = {
    option: [name for name in package.__all__ if not inspect.isabstract(getattr(package, name))]
    for option, package in {"loop.strategy": strategies, "loop.oracle": labeling}.items()
} | {
    # without DropoutHead, one half of a model, and without PretrainedMLP and SimCLR, which predict no classes
    "model": [
        name for name in models.__all__ if issubclass(getattr(models, name), L.LightningModule) and name != "SimCLR"
    ],
    "data": [
        name for name in data.__all__ if issubclass(getattr(data, name), PoolDataModule) and name != "PoolDataModule"
    ],
    "model.optimizer": ["Adam", "AdamW", "RMSprop", "SGD"],
}


KNOWN_CLASSES |= {
    "loop.strategy.base": [
        name
        for name in KNOWN_CLASSES["loop.strategy"]
        if issubclass(getattr(strategies, name), strategies.ScoreStrategy)
    ],
    "loop.strategy.first": KNOWN_CLASSES["loop.strategy"],
    "loop.strategy.then": KNOWN_CLASSES["loop.strategy"],
    "model.member": ["Backbone", "DropoutMLP", "SentenceEncoder"],
}
"""The strategies that a strategy takes as arguments, and the models that an ensemble takes."""


class Parser(OneSentence, LightningArgumentParser):
    """Knows the options of all classes that may be chosen.

    Args:
        *args: Arguments of LightningArgumentParser.
        names_data: Whether the words that are parsed name a class of data.
        **kwargs: Arguments of LightningArgumentParser.
    """

    def __init__(self, *args: Any, names_data: bool = False, **kwargs: Any) -> None:
        self.names_data = names_data
        super().__init__(*args, **kwargs)

    def sentence(self, message: str) -> str:
        """Names near options, and the classes that have an option."""
        owners = self._owners()
        return explain(
            message,
            lambda option: KNOWN_CLASSES.get(option, []),
            [*self._own_options(), *owners],
            lambda option: " or ".join(owners.get(option, [])),
        )

    def _own_options(self) -> Iterable[str]:
        subcommands = self._subcommands_action.choices.values() if self._subcommands_action else ()
        return [option for parser in (self, *subcommands) for option in parser._option_string_actions]

    def _owners(self) -> dict[str, list[str]]:
        """The options of classes that may be chosen, each with the flags that choose one that has it."""
        packages = {"loop.strategy": strategies, "loop.oracle": labeling, "data": data}
        packages |= {"model": models, "model.member": models}
        packages |= {option: strategies for option in KNOWN_CLASSES if option.startswith("loop.strategy.")}
        owners: dict[str, list[str]] = {}
        for option, classes in packages.items():
            for name in KNOWN_CLASSES[option]:
                for parameter in inspect.signature(getattr(classes, name)).parameters:
                    owners.setdefault(f"--{option}.{parameter}", []).append(f"`--{option} {name}`")
        return owners
