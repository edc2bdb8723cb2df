"""``al-lightning check my_file.MyStrategy``: says what of the contract a query strategy keeps."""

import inspect
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import torch
from jsonargparse import ArgumentParser

from al_lightning import strategies
from al_lightning.cli.messages import explain
from al_lightning.cli.options import OneSentence
from al_lightning.errors import InputError, did_you_mean
from al_lightning.strategies import QueryStrategy
from al_lightning.testing.properties import CONTRACT
from al_lightning.testing.verdicts import Verdict, judge
from al_lightning.testing.watched_strategy import Subject, quiet

HELP = """\
usage: al-lightning check STRATEGY [--OPTION VALUE ...]

Holds a query strategy to what all strategies keep, on scikit-learn's digits, with a small model fitted to 100 of them.
Prints what holds and what fails, and the smallest case in which it fails. The exit code is 1 if anything fails.

The model is the first one that the strategy can query with: a network with dropout, an ensemble (it has
`sample_logits`), or a network without dropout. All have gradients; the networks have `embed` and `head`.

  STRATEGY        dotted path of a class, my_file.MyStrategy, or the name of one that comes with al-lightning
  --OPTION VALUE  argument of its constructor; --loop.strategy.OPTION, as for al-lightning fit, is the same

examples:
  al-lightning check my_file.MyStrategy --num_samples 50
  al-lightning check BALD
"""

PREFIX = "--loop.strategy."
TIME_LIMIT = 60.0
"""Seconds that a strategy may take for the cases of one property: a check must end, also for one that hangs."""

OWN_NAMES = [name for name in strategies.__all__ if not inspect.isabstract(getattr(strategies, name))]


class _Parser(OneSentence, ArgumentParser):
    """Parses the arguments of a strategy."""

    def sentence(self, message: str) -> str:
        """Names near options."""
        return explain(message, lambda option: [], self._option_string_actions)


def run(words: Sequence[str]) -> None:
    """Runs the command.

    Args:
        words: The words after ``check``.

    Raises:
        InputError: If there is no such strategy, or it cannot be made.
        SystemExit: With code 1 if the strategy fails.
    """
    if any(word in ("-h", "--help") for word in words):
        print(HELP, end="")
        return
    if not words or words[0].startswith("-"):
        raise InputError("Expected a strategy first, as in `al-lightning check my_file.MyStrategy`, but got none.")
    path, *options = words
    strategy = find_strategy(path)
    subject = Subject(_maker(path, strategy, options))
    _try_to_make(path, subject)
    torch.set_num_threads(1)  # as `fit` has it
    verdicts: list[Verdict] = []
    width = max(len(property.says) for property in CONTRACT)
    for property in CONTRACT:
        verdict = judge(property, subject, TIME_LIMIT)
        if not verdicts:  # the kind of model is known only now
            print(f"{strategy.__name__} on digits, with {subject.kind.name}:\n")
        print(f"  {property.code:3}  {property.says:{width}}  {verdict.outcome}", flush=True)
        verdicts.append(verdict)
    print("\n" + "\n".join(_conclusion(verdicts)))
    if any(verdict.outcome == "FAILS" for verdict in verdicts):
        sys.exit(1)


def _conclusion(verdicts: Sequence[Verdict]) -> list[str]:
    """Why verdicts are what they are, and how many there are of them."""
    lines = []
    for verdict in verdicts:
        if verdict.outcome == "holds":
            continue
        verb = "is noted" if verdict.outcome == "noted" else verdict.outcome
        first, *code = verdict.why.splitlines()
        lines += [f"{verdict.property.code} {verb}: {first}", *(f"    {line}" for line in code)]
        if verdict.outcome == "noted":
            lines.append(
                "    This is no fault: a strategy that makes as many clusters as are asked for has no such order."
            )
    failed = sum(verdict.outcome == "FAILS" for verdict in verdicts)
    applied = sum(verdict.outcome in ("holds", "FAILS") for verdict in verdicts)
    total = (
        f"{failed} of {applied} properties that apply fail{'s' * (failed == 1)}."
        if failed
        else f"All {applied} properties that apply hold."
    )
    return [*lines, "", total] if lines else [total]


def find_strategy(path: str) -> type[QueryStrategy]:
    """Returns the class that a name or a dotted path stands for.

    Raises:
        InputError: If it cannot be imported, or is not a query strategy that can be made.
    """
    module_name, _, name = path.rpartition(".")
    if not module_name and name in OWN_NAMES:
        module_name = strategies.__name__
    if not module_name:
        raise InputError(
            f"Expected the strategy to be one of {', '.join(OWN_NAMES)}, or the dotted path of a class of your own, "
            f"but got `{path}`{did_you_mean(path, OWN_NAMES)}"
        )
    try:
        with quiet():
            module = import_module(module_name)
    except (Exception, SystemExit) as error:
        raise InputError(
            f"Expected `{module_name}` to be a module that can be imported, but got {_told(error)}"
        ) from error
    found = getattr(module, name, None)
    if found is None:
        classes = [key for key, value in vars(module).items() if inspect.isclass(value)]
        raise InputError(
            f"Expected `{name}` to be a class in `{module_name}`, but there is none{did_you_mean(name, classes)}"
        )
    if not inspect.isclass(found) or not issubclass(found, QueryStrategy):
        raise InputError(f"Expected `{path}` to be a subclass of QueryStrategy, but it is none.")
    if inspect.isabstract(found):
        missing = ", ".join(f"`{method}`" for method in sorted(found.__abstractmethods__))
        raise InputError(f"Expected `{path}` to be a strategy that can be made, but it has no {missing}.")
    return found


def _maker(path: str, strategy: type[QueryStrategy], options: Sequence[str]) -> Callable[[], QueryStrategy]:
    """Returns what makes the strategy with the arguments of the command line.

    Raises:
        InputError: If these are not arguments of its constructor.
    """
    parser = _Parser(prog=f"al-lightning check {path}", add_help=False)
    names = parser.add_class_arguments(strategy, fail_untyped=False)
    settings = parser.parse_args(
        [f"--{word.removeprefix(PREFIX)}" if word.startswith(PREFIX) else word for word in options]
    )

    def make() -> QueryStrategy:
        arguments: dict[str, Any] = parser.instantiate(settings).as_dict()
        return strategy(**{name: arguments[name] for name in names})

    return make


def _try_to_make(path: str, subject: Subject) -> None:
    try:
        subject.new()
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"Expected `{path}` to be a strategy that can be made, but got {_told(error)}") from error


def _told(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}{f': {text}' * bool(text)}."
