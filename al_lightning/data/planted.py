"""PlantedFashionMNIST: a pool that includes images without any use, to see which strategies ask for them."""

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

from al_lightning.data.fashion_mnist import FashionMNIST
from al_lightning.data.source import Arrays
from al_lightning.errors import InputError

NUM_DIGITS = 1797


class PlantedFashionMNIST(FashionMNIST):
    """Fashion-MNIST with two more kinds of training images at the end: ambiguous images, then foreign images.

    An ambiguous image is the mean of two training images of different classes. Its label is one of the two classes,
    drawn at random: noise that no model can learn (aleatoric uncertainty).

    A foreign image (out of distribution, OOD) is one of scikit-learn's handwritten digits. It is scaled to the size of
    the clothes and to their black and white. Its label is one of the ten classes, drawn at random.

    The planted images are the same in all runs. Their training-set indices are 60,000 and above. The test set is
    unchanged.

    Args:
        num_ambiguous: Number of ambiguous images.
        num_foreign: Number of foreign images, at most 1,797.
        kwargs: Arguments of FashionMNIST.

    Raises:
        InputError: If a number is out of range.

    Reference:
        Mukhoti et al., "Deep Deterministic Uncertainty", CVPR 2023, for pools with ambiguous images.
    """

    def __init__(self, num_ambiguous: int = 1797, num_foreign: int = 1797, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_ambiguous < 0:
            raise InputError(f"Expected `data.num_ambiguous` to be at least 0, but got {num_ambiguous}.")
        if not 0 <= num_foreign <= NUM_DIGITS:
            raise InputError(f"Expected `data.num_foreign` to be from 0 to {NUM_DIGITS}, but got {num_foreign}.")
        self.num_ambiguous = num_ambiguous
        self.num_foreign = num_foreign

    def load(self) -> Arrays:
        clean = super().load()
        generator = torch.Generator().manual_seed(0)  # independent of the seed of the run
        inputs, targets = clean.train_inputs, clean.train_targets
        mixed, mixed_targets = _ambiguous(inputs, targets, self.num_ambiguous, generator)
        foreign = _digits(self.num_foreign, float(inputs.min()), float(inputs.max()))
        foreign_targets = torch.randint(len(self.class_names), (self.num_foreign,), generator=generator)
        return Arrays(
            torch.cat([inputs, mixed, foreign]),
            torch.cat([targets, mixed_targets, foreign_targets]),
            clean.test_inputs,
            clean.test_targets,
        )


def _ambiguous(inputs: Tensor, targets: Tensor, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Means of two images, each with the class of one of the two."""
    first = torch.randint(len(targets), (size,), generator=generator)
    second = torch.randint(len(targets), (size,), generator=generator)
    while (same := targets[first] == targets[second]).any():
        second[same] = torch.randint(len(targets), (int(same.sum()),), generator=generator)
    heads = torch.rand(size, generator=generator) < 0.5
    return (inputs[first] + inputs[second]) / 2, torch.where(heads, targets[first], targets[second])


def _digits(size: int, black: float, white: float) -> Tensor:
    """Handwritten digits of 28 x 28 pixels: three times their size, in the middle of a black frame."""
    small = torch.from_numpy(load_digits().images[:size]).float() / 16  # (size, 8, 8), in [0, 1]
    large = F.interpolate(small[:, None], scale_factor=3, mode="bilinear")
    return black + (white - black) * F.pad(large, (2, 2, 2, 2))[:, 0]
