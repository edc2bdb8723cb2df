"""FallingLoss: whether a training loss still falls."""

import math
from bisect import bisect_right
from collections.abc import Sequence

MIN_WINDOW = 500
"""Updates of the shortest window."""
SHARE_OF_FIT = 0.25
"""Length of a window, as a share of all updates so far: a slow fit gets more time."""
MIN_FALL = 0.02
"""A loss falls as long as its mean over the last window is this share smaller than over the window before."""
MIN_CHECKS = 2
"""Checks that a window needs for a mean."""


class FallingLoss:
    """The course of one training loss, and whether it still falls.

    A loss has settled when it is at most ``done``. It has also settled when its mean over the last window is not
    smaller, by at least :data:`MIN_FALL`, than its mean over the window before.

    A window is a quarter of all updates so far, and at least :data:`MIN_WINDOW` updates. So the answer does not depend
    on the number of updates in an epoch. Before update 1,000, no loss above ``done`` has settled.

    Args:
        done: A loss this small has settled. The cross-entropy of separable labels would fall for ever.
    """

    def __init__(self, done: float) -> None:
        self._done = done
        self._updates: list[float] = []
        self._losses: list[float] = []

    def add(self, updates: float, loss: float) -> None:
        """Notes a loss.

        Args:
            updates: Number of optimizer steps of this fit so far; larger than at the call before.
            loss: The loss at that time, or its mean since the call before.
        """
        self._updates.append(updates)
        self._losses.append(loss)

    def has_settled(self) -> bool:
        """Whether the loss is small enough or has ceased to fall. A loss that was never noted has not settled."""
        if not self._losses:
            return False
        if abs(self._losses[-1]) <= self._done:
            return True
        now = self._updates[-1]
        window = max(MIN_WINDOW, SHARE_OF_FIT * now)
        if now < 2 * window:
            return False
        end, middle, start = (bisect_right(self._updates, now - i * window) for i in range(3))
        last, before = self._losses[middle:end], self._losses[start:middle]
        if min(len(last), len(before)) < MIN_CHECKS:
            return False
        before_mean, last_mean = _mean(before), _mean(last)
        return before_mean - last_mean < MIN_FALL * abs(before_mean)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
