"""Avoids denormal numbers, because CPUs compute slowly with them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def are_flushed() -> bool:
    """Whether this thread takes denormal numbers for zero. Python's arithmetic shows the mode of the CPU."""
    smallest = sys.float_info.min
    return smallest / 2 == 0


@contextmanager
def flush_denormals() -> Iterator[None]:
    """Takes denormal numbers, below 1.2e-38 in float32, for zero: in this thread, inside the context, on a CPU.

    An optimizer averages gradients. If a gradient stays zero, as for dead units or for pixels that are almost always
    black, the average fades to denormal numbers. Rounding keeps these numbers from becoming zero. CPUs need many times
    as long for them, and their effect on a weight is far below its last bit.
    """
    before = are_flushed()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
