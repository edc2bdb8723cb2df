"""A check ends, also for a strategy that does not."""

import signal
import threading
import time

import pytest

from al_lightning.strategies import QueryStrategy
from al_lightning.testing.properties import CONTRACT
from al_lightning.testing.verdicts import Verdict, judge
from al_lightning.testing.watched_strategy import Subject
from tests.testing import faulty


class Hangs(faulty.First):
    """Does not end on pools of three."""

    def choose(self, pool, query_size, generator):
        while len(pool) == 3:
            self.wait()
        return super().choose(pool, query_size, generator)

    def wait(self) -> None:
        time.sleep(0.01)


class HangsAndCatches(Hangs):
    def wait(self) -> None:
        try:
            super().wait()
        except Exception:
            return


@pytest.mark.parametrize("strategy", [Hangs, HangsAndCatches])
def test_a_strategy_that_hangs_fails(strategy: type[QueryStrategy]) -> None:
    assert judge(CONTRACT[0], Subject(faulty.First), time_limit=60).outcome == "holds"  # reads digits, fits the model
    before = signal.getsignal(signal.SIGALRM)
    verdict = judge(CONTRACT[0], Subject(strategy), time_limit=1)
    assert verdict == Verdict(
        CONTRACT[0], "FAILS", "pool of 3 samples, query of 2: took longer than 1 s, with the cases before"
    )
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_outside_of_the_main_thread_there_is_no_alarm() -> None:
    verdicts: list[Verdict] = []
    thread = threading.Thread(target=lambda: verdicts.append(judge(CONTRACT[0], Subject(faulty.First), 60)))
    thread.start()
    thread.join()
    assert verdicts == [Verdict(CONTRACT[0], "holds")]
