"""Dropout for small networks on a CPU."""

import torch
from torch import Tensor, nn


class FastDropout(nn.Dropout):
    """A faster :class:`torch.nn.Dropout` for CPUs, where the masks are a large part of a small network's update.

    PyTorch draws Bernoulli numbers one after another, but uniform numbers in vectors. This class draws a uniform number
    for each unit. The unit is kept if this number is ``p`` or more. Masks have the same distribution as in
    ``nn.Dropout``, but differ from it for the same seed. On other devices, this class is ``nn.Dropout``.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Zeroes each value with probability ``p`` in training mode, and scales the others by ``1 / (1 - p)``."""
        if not self.training or self.inplace or not 0 < self.p < 1 or input.device.type != "cpu":
            return super().forward(input)
        kept = torch.rand(input.shape).ge_(self.p)  # float32 for any input: half precision has too few numbers
        return input * kept.div_(1 - self.p).to(input.dtype)
