"""Verdicts: whether a strategy keeps a property, within a time limit."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Literal

from al_lightning.testing.properties import DoesNotApply, Property, Remark
from al_lightning.testing.watched_strategy import Subject, Violation

Outcome = Literal["holds", "FAILS", "does not apply", "noted"]


@dataclass(frozen=True)
class Verdict:
    """The result for one property."""

    property: Property
    outcome: Outcome
    why: str = ""
    """The smallest failing case, or the reason why the property does not apply."""


class _OutOfTime(BaseException):
    """Raised inside a strategy when its time is over. No `except Exception` of the strategy catches it."""


def judge(property: Property, subject: Subject, time_limit: float) -> Verdict:
    """Holds a strategy to a property.

    Args:
        property: One of the contract.
        subject: The strategy.
        time_limit: Seconds for all cases of the property together. There is no limit on Windows and outside of the main
            thread, because there is no alarm.
    """
    try:
        with _alarm(time_limit):
            property.check(subject)
    except DoesNotApply as reason:
        return Verdict(property, "does not apply", str(reason))
    except Remark as remark:
        return Verdict(property, "noted", str(remark))
    except Violation as violation:
        return Verdict(property, "FAILS", str(violation))
    except _OutOfTime:
        return Verdict(property, "FAILS", f"{subject.case}: took longer than {time_limit:g} s, with the cases before")
    return Verdict(property, "holds")


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise _OutOfTime

    previous = signal.signal(signal.SIGALRM, stop)
    # again and again: an exception in the middle of a destructor or of a callback is swallowed
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
