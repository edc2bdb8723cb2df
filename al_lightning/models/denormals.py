"""Avoids denormal numbers, because CPUs compute slowly with them."""

import sys

import torch


def are_flushed() -> bool:
    """Whether this thread takes denormal numbers for zero. Python's arithmetic shows the mode of the CPU."""
    smallest = sys.float_info.min
    return smallest / 2 == 0


class flush_denormals:
    """Takes denormal numbers, below 1.2e-38 in float32, for zero: in this thread, inside the context, on a CPU.

    An optimizer averages gradients. If a gradient stays zero, as for dead units or for pixels that are almost always
    black, the average fades to denormal numbers. Rounding keeps these numbers from becoming zero. CPUs need many times
    as long for them, and their effect on a weight is far below its last bit.

    It is a class and no generator, because a fit enters it after each update, when the caches are full of weights. Then
    each line of Python takes longer.
    """

    def __enter__(self) -> None:
        self._before = are_flushed()
        torch.set_flush_denormal(True)

    def __exit__(self, *error: object) -> None:
        torch.set_flush_denormal(self._before)
