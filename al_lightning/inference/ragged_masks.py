"""Dropout masks for samples of different lengths in different blocks: a mask depends on the place alone."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

STEPS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F)
"""Odd numbers: one for each dimension of a sample, so that different places have different sums."""


class RaggedMasks:
    """Masks of any length. A longer mask begins with the shorter one.

    A block of sequences is padded to its longest one. A mask that was drawn for each length would differ between
    blocks, and scores would depend on which sequences share a block.

    Args:
        generator: CPU generator that the masks depend on; one number is drawn.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._seed = int(torch.randint(2**62, (), generator=generator))
        self._masks: dict[tuple[int, ...], Tensor] = {}

    def mask(self, key: tuple[int, ...], shape: Sequence[int], p: float, like: Tensor) -> Tensor:
        """Returns a mask.

        Args:
            key: Which mask.
            shape: Of one sample, at most five dimensions.
            p: Probability that a value is dropped.
            like: Has the device and dtype of the mask.
        """
        held = self._masks.get(key)
        if held is None or any(has < wants for has, wants in zip(held.shape, shape, strict=True)):
            largest = shape if held is None else [max(sizes) for sizes in zip(held.shape, shape, strict=True)]
            seed = hashlib.sha256(repr((self._seed, *key)).encode()).digest()[:8]
            kept = uniform(largest, int.from_bytes(seed, "little", signed=True)) >= p
            held = self._masks[key] = scaled(kept, p).to(like)
        return held[tuple(slice(size) for size in shape)]


def scaled(kept: Tensor, p: float) -> Tensor:
    """Turns kept places, bool, into a mask with the scale of dropout."""
    return kept.float() / (1 - p if p < 1 else 1)


def uniform(shape: Sequence[int], seed: int) -> Tensor:
    """Numbers in [0, 1), float32, each a hash of the seed and its own place: SplitMix64 of their sum."""
    sums = torch.full((1,) * len(shape), seed, dtype=torch.int64)
    for dim, size in enumerate(shape):
        places = (torch.arange(size) + 1) * _signed(STEPS[dim])
        sums = sums + places.view([-1 if i == dim else 1 for i in range(len(shape))])
    mixed = (sums ^ _shifted(sums, 30)) * _signed(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ _shifted(mixed, 27)) * _signed(0x94D049BB133111EB)
    mixed = mixed ^ _shifted(mixed, 31)
    return _shifted(mixed, 40).float() / 2**24


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _shifted(values: Tensor, bits: int) -> Tensor:
    """Shifts to the right as unsigned numbers; torch keeps the sign."""
    return (values >> bits) & (2 ** (64 - bits) - 1)
