"""Denormal numbers, which CPUs are slow with."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def are_flushed() -> bool:
    """Whether this thread takes denormal numbers for zero; Python's own arithmetic does as the CPU is told to."""
    smallest = sys.float_info.min
    return smallest / 2 == 0


@contextmanager
def flush_denormals() -> Iterator[None]:
    """Takes denormal numbers, below 1.2e-38 in float32, for zero: in this thread, on a CPU, and only within.

    An optimizer's averages of gradients fade to such numbers where gradients are zero, as those of dead units and of
    pixels that are hardly ever lit, and stay there: rounding stops them from ever being zero. CPUs take many times as
    long for them, and what they would add to a weight is far below its last bit.
    """
    before = are_flushed()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
