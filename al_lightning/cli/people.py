"""The defaults of a run that asks people, where neither a flag nor a config file gives anything. Needs no torch.

The defaults of the other runs are those of an experiment: Fashion-MNIST, a perceptron, Random, 100 rounds of 100. Two
of them depend on the data: see :data:`CHOICES_OF_EXPERIMENTS`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from al_lightning.cli.given_options import last_name

PER_CLASS, QUERY_SIZE = 10, 20
FEATURES = "Features"
IMAGES = ("ImageFolder", "Torchvision")
"""Data modules that have images."""
OF_BACKBONE = ("name", "num_classes", "weights", "dropout", "optimizer")
"""Arguments of Backbone."""
OF_PROBE = {"input_dim", "num_classes", "weight_decay"}
"""Arguments of LinearProbe."""
ONLY_OF_BACKBONE = {"name", "weights"}
"""Arguments of Backbone that DropoutMLP has not. With one of them, the message about a mistyped other one is right."""

Options = Mapping[str, Any]
"""What is given, by dotted name: see :func:`~al_lightning.cli.given_options.given_options`."""


class Choice(NamedTuple):
    """One default."""

    option: str
    choose: Callable[[Options], str | None]
    """Returns the value; ``None`` where the option is given, or where there is nothing to choose."""
    why: str


def asks_people(options: Options) -> bool:
    """Whether the oracle of a run is not the simulated one."""
    return last_name(options.get("loop.oracle")) not in ("", "SimulatedOracle")


def _probe(given: Options) -> str | None:
    is_chosen = "model" not in given and last_name(given.get("data")) == FEATURES
    return "LinearProbe" if is_chosen and _arguments_of_model(given) <= OF_PROBE else None


def _arguments_of_model(given: Options) -> set[str]:
    return {name.split(".")[1] for name in given if name.startswith("model.")}


def _model(given: Options) -> str | None:
    if last_name(given.get("data")) == FEATURES:
        return _probe(given)
    arguments = _arguments_of_model(given)
    if "model" in given or last_name(given.get("data")) not in IMAGES:
        return None
    return "Backbone" if arguments <= set(OF_BACKBONE) or arguments & ONLY_OF_BACKBONE else None


def _reinit(given: Options) -> str | None:
    return "initial" if "loop.reinit" not in given and given.get("model.weights") is not None else None


def _strategy(given: Options) -> str | None:
    return None if any(name.split(".")[:2] == ["loop", "strategy"] for name in given) else "Margin"


def _num_initial(given: Options) -> str | None:
    names = given.get("data.classes")
    if "data.num_initial" in given or not isinstance(names, list) or not names:
        return None
    return str(PER_CLASS * len(names))


def _initial(given: Options) -> str | None:
    is_features = last_name(given.get("data")) == FEATURES
    return _initial_of_query(given) or ("typiclust" if is_features and "data.initial" not in given else None)


def _initial_of_query(given: Options) -> str | None:
    is_query = str(given.get("data.num_initial")) == "0"
    return "typiclust" if is_query and "data.initial" not in given else None


def _query_size(given: Options) -> str | None:
    return None if "loop.query_size" in given else str(QUERY_SIZE)


def _num_rounds(given: Options) -> str | None:
    return None if "loop.num_rounds" in given else "null"


CHOICES = (
    Choice(
        "model",
        _model,
        "Backbone for images, which want a convolutional network; LinearProbe for features; DropoutMLP for all else",
    ),
    Choice("loop.reinit", _reinit, "initial with --model.weights: each fit starts from the pretrained weights"),
    Choice("loop.strategy", _strategy, "Margin, which suits every model and is among the best in most benchmarks"),
    Choice("data.num_initial", _num_initial, "10 for each class; all samples if there are fewer"),
    Choice("data.initial", _initial, "typiclust for features, or with --data.num_initial 0; otherwise random"),
    Choice("loop.query_size", _query_size, "20; the last query takes what the pool has left"),
    Choice("loop.num_rounds", _num_rounds, "null, which is no end: for as long as people answer"),
)
"""The defaults, in the order in which they are printed. The run folder is chosen in
:mod:`~al_lightning.cli.run_of_people`."""


CHOICES_OF_EXPERIMENTS = (
    Choice("model", _probe, "LinearProbe for features"),
    Choice("data.initial", _initial_of_query, "typiclust with --data.num_initial 0"),
)
"""The same for runs that ask nobody. All other defaults of experiments are fixed, so that they can be compared."""


def choices(given: Options) -> dict[str, str]:
    """Returns the defaults for what is not given, by option, as values of flags."""
    of_run = CHOICES if asks_people(given) else CHOICES_OF_EXPERIMENTS
    chosen = {choice.option: choice.choose(given) for choice in of_run}
    return {option: value for option, value in chosen.items() if value is not None}
