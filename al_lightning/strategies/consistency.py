"""Consistency: query where the prediction changes with the augmentation of the image."""

from collections import Counter
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from al_lightning.data.arrays import ArrayLike, as_floats
from al_lightning.data.augmentations import RandomShift, augment_all, first_alike
from al_lightning.data.inputs import Inputs, tensors_of
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor, Predictions
from al_lightning.strategies.base import ScoreStrategy

MIN_TRIES = 20  # one draw of an augmentation may well change nothing


def consistency_score(probs: ArrayLike, augmented_probs: Iterable[ArrayLike]) -> Tensor:
    r"""Sum over the classes of the variance of their probabilities over an image and its augmentations.

    .. math:: \sum_c \mathrm{Var}\big[p_c(x), p_c(\tilde x_1), \dots, p_c(\tilde x_A)\big]

    Args:
        probs: Class probabilities of the images, shape ``(N, C)``.
        augmented_probs: Class probabilities of each of the A augmentations in turn, shape ``(N, C)``; only two are held
            at a time.

    Returns:
        Shape ``(N,)``, in [0, 1 - 1/C]; population variance.

    Example:
        >>> consistency_score(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), [torch.tensor([[0.0, 1.0], [1.0, 0.0]])])
        tensor([0.5000, 0.0000])
    """
    probs = as_floats(probs, "probabilities", "(N, C)")
    # moments about the prediction for the image itself; moments about 0 would cancel where little changes
    total, total_sq = torch.zeros_like(probs), torch.zeros_like(probs)
    count = 1
    for augmented in augmented_probs:
        change = as_floats(augmented, "probabilities", "(N, C)") - probs
        total += change
        total_sq.addcmul_(change, change)
        count += 1
    return (total_sq / count - (total / count).square()).clamp_(min=0).sum(dim=1)


def augmentation_seeds(batch: Predictions, transform: nn.Module, num_augmentations: int) -> list[int]:
    """Returns a seed for each augmentation.

    Seeds are drawn once for a query, so that the whole pool is augmented in the same way.

    Augmentations that change inputs in the same way have the same seed, see
    :func:`~al_lightning.data.augmentations.first_alike`.

    Args:
        batch: A block of the pool.
        transform: See :func:`~al_lightning.data.augmentations.augment_all`.
        num_augmentations: Number of augmentations, A.
    """
    seeds: list[int] = batch.draw(
        ("augmentation seeds", num_augmentations),
        lambda generator: torch.randint(2**62, (num_augmentations,), generator=generator).tolist(),
    )
    return batch.draw(("alike", transform, num_augmentations), lambda _: first_alike(transform, seeds))


def augmented_probs(batch: Predictions, transform: nn.Module, num_augmentations: int) -> Iterator[Tensor]:
    """Class probabilities of the augmented inputs, ``(B, C)`` each; see :func:`augmentation_seeds`.

    The model is asked once for augmentations that change inputs in the same way. Of 50 shifts by up to a pixel, at most
    nine differ.
    """
    seeds = augmentation_seeds(batch, transform, num_augmentations)
    times_left = Counter(seeds)
    kept: dict[int, Tensor] = {}
    for seed in seeds:
        if seed not in kept:
            kept[seed] = batch.of(augment_all(transform, batch.inputs, seed)).probs
        times_left[seed] -= 1
        yield kept[seed] if times_left[seed] else kept.pop(seed)


class Consistency(ScoreStrategy):
    """Queries the samples whose prediction is least consistent under random augmentations, dropout off.

    This is the query of CSAL; with the model MixMatch, it is the whole method. The augmentations are the same for the
    whole pool. So their noise is common to all rows and does not shuffle their order.

    Args:
        num_augmentations: Number of augmentations, A, at least 1.
        augmentation: A transform of ``torchvision.transforms.v2``; RandomShift() if not given.

    Raises:
        InputError: If ``num_augmentations`` is less than 1, or, when queried, the augmentation changes nothing.

    Reference:
        Gao, Zhang, Yu, Arik, Davis and Pfister, "Consistency-based Semi-supervised Active Learning: Towards Minimizing
        Labeling Cost", ECCV 2020.
    """

    def __init__(self, num_augmentations: int = 50, augmentation: nn.Module | None = None) -> None:
        if num_augmentations < 1:
            raise InputError(
                f"Expected `num_augmentations` of Consistency to be at least 1, but got {num_augmentations}."
            )
        self.num_augmentations = num_augmentations
        self.augmentation = RandomShift() if augmentation is None else augmentation

    def score(self, batch: Predictions) -> Tensor:
        return consistency_score(batch.probs, augmented_probs(batch, self.augmentation, self.num_augmentations))

    def scores(self, pool: PoolPredictor) -> Tensor:
        scores = super().scores(pool)
        if not scores.any() and not self._changes_something(pool):
            raise InputError(
                f"Expected `augmentation` of Consistency to change images, but {type(self.augmentation).__name__} "
                "changed none: all scores are 0."
            )
        return scores

    def _changes_something(self, pool: PoolPredictor) -> bool:
        num_tries = max(self.num_augmentations, MIN_TRIES)

        def changed(batch: Predictions) -> Tensor:
            seeds = augmentation_seeds(batch, self.augmentation, num_tries)
            views = (augment_all(self.augmentation, batch.inputs, seed) for seed in seeds)
            return torch.stack([_differing(view, batch.inputs) for view in views]).any(dim=0)

        return bool(pool.map(changed).any())


def _differing(inputs: Inputs, others: Inputs) -> Tensor:
    """Which samples of two blocks differ, bool, ``(B,)``."""
    pairs = zip(tensors_of(inputs), tensors_of(others), strict=True)
    return torch.stack([(one != other).flatten(1).any(dim=1) for one, other in pairs if one.dim() > 1]).any(dim=0)
