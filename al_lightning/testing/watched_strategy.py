"""Subject: a strategy that is asked under watch, which shows what it does besides its answer."""

import contextlib
import copy
import inspect
import linecache
import os
import random
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from al_lightning.inference import PoolPredictor
from al_lightning.random_streams import seeded
from al_lightning.strategies import QueryStrategy
from al_lightning.strategies.base import Answer
from al_lightning.testing.small_models import KINDS, POOL, Kind, images
from al_lightning.testing.small_pools import WatchedPool, make_pool

SIZES = ((2, 1), (20, 7), (300, 30))
"""Sizes of pool and query in ascending order, so that the first failing case is the smallest one."""

MAX_SHOWN = 10


class Violation(Exception):
    """A case in which a strategy breaks a property.

    Args:
        case: The pool and the query, in words.
        found: What the strategy did.
        error: The exception that it raised, if that is what it did.
    """

    def __init__(self, case: str, found: str, error: BaseException | None = None) -> None:
        super().__init__(f"{case}: {found}")
        self.error = error


@dataclass(frozen=True)
class Observed:
    """What a strategy did when it was asked."""

    case: str
    """The pool and the query, in words."""
    answer: Answer
    """What it returned: positions that nobody checked, and scores."""
    moved: tuple[str, ...]
    """The global random generators that it drew from or seeded."""

    @property
    def positions(self) -> list[Any]:
        """The positions as a list, for comparisons. Only U1 says whether they are a query.

        Raises:
            Violation: If it is no tensor.
        """
        if not isinstance(self.answer.positions, Tensor):
            raise Violation(self.case, f"returned {type(self.answer.positions).__name__}, not a tensor")
        return self.answer.positions.flatten().tolist()

    def violation(self, found: str) -> Violation:
        """Returns the exception to raise."""
        return Violation(self.case, found)


class Subject:
    """A strategy under check.

    Args:
        make: Makes the strategy. Each query asks a new strategy. So a strategy that keeps state breaks one property and
            not all of them.
    """

    def __init__(self, make: Callable[[], QueryStrategy]) -> None:
        self._make = make
        self._kind: Kind | None = None
        self.case = ""
        """The case of the latest query, for one that never ends."""

    def new(self) -> QueryStrategy:
        """Makes the strategy. Its constructor finds the global generators in the same state each time."""
        with seeded(0), quiet():
            return self._make()

    def ask(
        self,
        pool: PoolPredictor,
        query_size: int,
        where: str = "",
        seed: int = 0,
        global_seed: int = 0,
        strategy: QueryStrategy | None = None,
    ) -> Observed:
        """Asks a new strategy for a query.

        Args:
            pool: Goes to the strategy.
            query_size: Goes to the strategy.
            where: What else there is to say about the case.
            seed: Seed of the strategy's generator.
            global_seed: Seed of the global generators, which are put back afterwards.
            strategy: Asked in place of a new one.

        Raises:
            Violation: If the strategy raises.
        """
        self.case = describe(len(pool), query_size, where)
        strategy = self.new() if strategy is None else strategy
        with seeded(global_seed), quiet():
            before = _global_states()
            try:
                answer = strategy.answer(pool, query_size, torch.Generator().manual_seed(seed))
            except (Exception, SystemExit) as error:
                raise Violation(self.case, _raised(error, type(strategy)), error) from error
            after = _global_states()
        return Observed(self.case, answer, tuple(name for name in after if after[name] != before[name]))

    @property
    def kind(self) -> Kind:
        """The first kind of small model with which the strategy answers a query. If there is none, the first kind.

        A strategy says what it asks for by asking for it. If it raises with each kind, the fault is its own.
        """
        if self._kind is None:
            self._kind = KINDS[0]  # now, so that a strategy that hangs is tried once
            for kind in KINDS:
                try:
                    self.ask(make_pool(images(POOL, 20), copy.deepcopy(kind.fitted)), 7)
                except Violation:
                    continue
                self._kind = kind
                break
        return self._kind

    def pool(
        self,
        size: int | None = None,
        inputs: Tensor | None = None,
        model: nn.Module | None = None,
        labeled: Tensor | None = None,
        block_size: int = 64,
    ) -> WatchedPool:
        """Makes a pool with a copy of the small model that the strategy asks for.

        Args:
            size: How many of the digits; all if not given.
            inputs: In place of digits.
            model: In place of the fitted one.
            labeled: In place of the labeled digits.
            block_size: Number of rows in a block.
        """
        inputs = images(POOL, size) if inputs is None else inputs
        model = copy.deepcopy(self.kind.fitted) if model is None else model
        return make_pool(inputs, model, labeled, block_size)

    @cached_property
    def is_stochastic(self) -> bool:
        """Whether the query changes with the seed of the generator, or of a global one, which U4 then reports.

        Raises:
            Violation: If the strategy raises.
        """
        for pool_size, query_size in SIZES:
            first = self.ask(self.pool(pool_size), query_size).positions
            for seed, global_seed in ((1, 0), (2, 0), (3, 0), (0, 1), (0, 2)):
                again = self.ask(self.pool(pool_size), query_size, seed=seed, global_seed=global_seed)
                if again.positions != first:
                    return True
        return False

    @cached_property
    def reads_the_pool(self) -> bool:
        """Whether the strategy looks at the inputs of the pool, itself or through the model.

        Raises:
            Violation: If the strategy raises.
        """
        pool_size, query_size = SIZES[0]
        pool = self.pool(pool_size)
        self.ask(pool, query_size)
        return pool.blocks.was_read

    @cached_property
    def asks_the_model(self) -> bool:
        """Whether the strategy looks at what the model predicts.

        Raises:
            Violation: If the strategy raises.
        """
        pool_size, query_size = SIZES[0]
        pool, calls = self.pool(pool_size), []
        for module in pool.model.modules():
            module.register_forward_pre_hook(lambda *call: calls.append(call))
        self.ask(pool, query_size)
        return bool(calls)


def describe(pool_size: int, query_size: int, where: str = "") -> str:
    """Says in words what a strategy was asked.

    Example:
        >>> describe(1, 2, "all inputs identical")
        'pool of 1 sample, all inputs identical, query of 2'
    """
    return f"pool of {pool_size} sample{'s' * (pool_size != 1)}, {f'{where}, ' * bool(where)}query of {query_size}"


def show(positions: Sequence[Any]) -> str:
    """Shows a query, or its beginning.

    Example:
        >>> show([4, 2]), show(range(12))
        ('[4, 2]', '[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...]')
    """
    shown = [str(position) for position in positions[:MAX_SHOWN]]
    return f"[{', '.join(shown + ['...'] * (len(positions) > MAX_SHOWN))}]"


def _raised(error: BaseException, strategy: type[QueryStrategy]) -> str:
    """Returns type and message of an error, and the last line of the strategy's own file that it came from."""
    text = " ".join(str(error).split())
    raised = f"raised {type(error).__name__}{f': {text}' * bool(text)}"
    path = inspect.getfile(strategy)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    if not lines or lines[-1] is None:
        return raised
    return f"{raised}\n{Path(path).name}, line {lines[-1]}: {linecache.getline(path, lines[-1]).strip()}"


def _global_states() -> dict[str, Any]:
    """States of the global random generators, by name, that can be compared."""
    _, keys, *counts = np.random.get_state()
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (np.asarray(keys).tobytes(), counts),
        "random": random.getstate(),
    }


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps prints and warnings of a strategy out of the table."""
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
