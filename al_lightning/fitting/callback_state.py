"""FreshCallbacks: callbacks are in the same state before each fit.

A continued run has new callbacks. A run that was never stopped has callbacks that took part in earlier rounds. To make
both runs the same, each round puts all attributes of the callbacks back to their values before the first fit. Their
``state_dict`` is not used.
"""

import copy
import io
import logging
import threading
import types
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from al_lightning.errors import InputError

PLAIN = (bool, int, float, complex, str, bytes, type(None))
RECORDS = (list, dict, set, deque)
"""Types of records that users fill in a fit and read after the run."""
OF_LIGHTNING = ("log", "log_dict")
"""Methods of the module that Lightning sets on all callbacks in each fit."""
LIBRARIES = ("abc", "al_lightning", "builtins", "lightning", "pytorch_lightning", "torch", "typing")
"""Packages with classes that keep no state of a fit."""
OUTLETS = (io.IOBase, logging.Logger, type(threading.Lock()), type(threading.RLock()), threading.Thread)
"""Types of objects that are written to and that do not change a fit."""


class FreshCallbacks:
    """Remembers callbacks as they are now, and puts them back before each later fit.

    The state of a callback consists of three parts:

    - its attributes;
    - numbers and records of its class;
    - variables that functions among its attributes close over, for example in a LambdaCallback.

    A list, set or mapping stays the same object. After the run it holds the entries of all fits.

    Args:
        callbacks: The callbacks, or other objects of a trainer, such as a profiler.
        shared: Objects that callbacks may use but do not own: trainer, model, data.

    Raises:
        InputError: If an attribute is a generator of Python, which cannot be put back.
    """

    def __init__(self, callbacks: Iterable[object], shared: Iterable[object]) -> None:
        self._shared = {id(part): part for part in shared}
        self._callbacks: list[object] = []
        self._names: list[set[str]] = []
        self._slots: list[_Slot] = []
        self._is_first = True
        self.add(callbacks)

    def add(self, callbacks: Iterable[object]) -> None:
        """Remembers more callbacks, for example from a model's ``configure_callbacks``, unless they are known."""
        new = [callback for callback in callbacks if not any(callback is known for known in self._callbacks)]
        self._callbacks += new
        self._shared |= {id(callback): callback for callback in new}
        self._names += [set(vars(callback)) for callback in new]
        memo = self._memo()
        for callback in new:
            self._slots += _slots(callback, memo)

    def _memo(self) -> dict[int, Any]:
        return {**self._shared}  # deepcopy uses these objects instead of copies

    def restore(self) -> None:
        """Puts the callbacks back, except before the first fit."""
        if self._is_first:
            self._is_first = False
            return
        for callback, names in zip(self._callbacks, self._names, strict=True):
            for name in [name for name in vars(callback) if name not in names and name not in OF_LIGHTNING]:
                delattr(callback, name)
        memo = self._memo()
        refilled: set[int] = set()
        for slot in self._slots:
            slot.restore(memo, refilled)

    def gather(self) -> None:
        """Joins the records of all fits, for users who read them after the run."""
        gathered: set[int] = set()
        for slot in self._slots:
            slot.gather(gathered)


class _Slot:
    """One place that holds state: an attribute, or a variable that a function closes over."""

    def __init__(self, get: Callable[[], Any], put: Callable[[Any], None], fresh: Any, has_records: bool) -> None:
        self._get = get
        self._put = put
        self._original = get()
        self._fresh = fresh
        self._has_records = has_records
        self._rounds: list[Any] = []

    def restore(self, memo: dict[int, Any], refilled: set[int]) -> None:
        # An object that cannot be copied is still the original.
        is_kept = isinstance(self._fresh, PLAIN) or self._fresh is self._original
        fresh = self._fresh if is_kept else copy.deepcopy(self._fresh, memo)
        if isinstance(self._original, RECORDS):
            if id(self._original) not in refilled:
                self._keep_round()
                _refill(self._original, fresh)
                refilled.add(id(self._original))
            fresh = self._original
        self._put(fresh)

    def gather(self, gathered: set[int]) -> None:
        if not self._has_records or not isinstance(self._original, RECORDS) or id(self._original) in gathered:
            return
        if not self._rounds:  # there was one fit, or another slot keeps the records
            return
        gathered.add(id(self._original))
        self._keep_round()
        whole = copy.copy(self._fresh)
        for records in self._rounds:
            whole = _joined(whole, records, self._fresh)
        _refill(self._original, whole)

    def _keep_round(self) -> None:
        if self._has_records and self._get() is self._original:  # otherwise each fit has its own list
            self._rounds.append(copy.copy(self._original))


def _slots(callback: object, memo: dict[int, Any]) -> Iterator[_Slot]:
    is_lightnings = type(callback).__module__.startswith("lightning.")
    for name, value in list(vars(callback).items()):
        if name in OF_LIGHTNING:
            continue
        if isinstance(value, types.FunctionType):
            for cell_name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
                try:
                    content = cell.cell_contents
                except ValueError:  # the variable has no value yet
                    continue
                if isinstance(content, PLAIN + RECORDS) and id(content) not in memo:
                    yield _slot_of_cell(cell, _copy(callback, f"{name}: {cell_name}", content, memo))
        else:
            yield _slot_of_attribute(callback, name, _copy(callback, name, value, memo), not is_lightnings)
    for owner in type(callback).__mro__:
        if owner.__module__.split(".")[0] in LIBRARIES:
            continue
        for name, value in list(vars(owner).items()):
            if isinstance(value, PLAIN + RECORDS) and not name.startswith("__") and not name.startswith("_abc_"):
                yield _slot_of_class(owner, name, _copy(callback, name, value, memo))


def _slot_of_cell(cell: types.CellType, fresh: Any) -> _Slot:
    def put(value: Any) -> None:
        cell.cell_contents = value

    return _Slot(lambda: cell.cell_contents, put, fresh, has_records=True)


def _slot_of_class(owner: type, name: str, fresh: Any) -> _Slot:
    return _Slot(lambda: vars(owner).get(name), lambda value: setattr(owner, name, value), fresh, has_records=True)


def _slot_of_attribute(callback: object, name: str, fresh: Any, has_records: bool) -> _Slot:
    return _Slot(
        lambda: vars(callback).get(name), lambda value: vars(callback).update({name: value}), fresh, has_records
    )


def _copy(callback: object, name: str, value: Any, memo: dict[int, Any]) -> Any:
    """A copy that no fit changes, or the value itself if it cannot be copied."""
    if isinstance(value, PLAIN + OUTLETS):
        return value
    what = f"`{name}` of the callback {type(callback).__name__}"
    if isinstance(value, types.GeneratorType):
        raise InputError(
            f"Expected {what} to be something that each round can begin again with, but it is a generator: a run that "
            "is continued would go on elsewhere in it."
        )
    try:
        return copy.deepcopy(value, memo)
    except Exception as error:  # each class fails in its own way
        if not type(callback).__module__.startswith("lightning."):
            warnings.warn(
                f"{what} cannot be copied ({' '.join(str(error).split())[:80]}): if it changes in a fit and counts for "
                "training, a run that is continued may differ from one that was not stopped.",
                stacklevel=2,
            )
        return value


def _refill(records: Any, content: Any) -> None:
    """Replaces the content of a list, set, mapping or deque, and keeps the object."""
    if records is content:
        return
    records.clear()
    if isinstance(records, dict | set):
        records.update(content)
    else:
        records.extend(content)


def _joined(whole: Any, records: Any, fresh: Any) -> Any:
    """Adds the records of one fit to the records of the earlier fits.

    Args:
        whole: The records of the fits before.
        records: The records of this fit.
        fresh: The records that each fit begins with; they count once.
    """
    if isinstance(whole, set):
        return whole | records
    joined = copy.copy(whole)
    if not isinstance(joined, dict):
        joined.extend(list(records)[len(fresh) :])
        return joined
    for key, value in records.items():
        is_list = isinstance(value, list) and isinstance(whole.get(key), list)
        joined[key] = _joined(whole[key], value, fresh.get(key, [])) if is_list else value
    return joined
