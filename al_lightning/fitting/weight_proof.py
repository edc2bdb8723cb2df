"""Tests whether given weights can come from an initialisation, by comparison with weights that it draws."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

NUM_DRAWS = 3
MOST_VALUES = 20_000
"""Largest number of values of a tensor that are compared."""
LEAST_VALUES = 8
"""Fewer random values than this tell nothing about their distribution."""
LEVEL = 1e-7
"""Probability, in each test, that a tensor of the same distribution is rejected."""
LEAST_FOR_MOMENTS = 200
"""Least number of values to compare mean and variance. With fewer, their error is not normally distributed."""
MOST_ERRORS = 8.0
"""Standard errors by which two means, or two variances, may differ."""
MOST_OUTSIDE = 12
"""Number of given values that may lie beyond all drawn values.

There are three drawn values for each: 0.25**13 is 1e-8.
"""


def unlike_drawn(given: Mapping[str, Tensor], drawn: Sequence[Mapping[str, Tensor]]) -> tuple[str, str] | None:
    """Finds a tensor that the initialisation cannot have made.

    A tensor that is the same in all draws must be the same in the given weights. Any other tensor must have the
    distribution of the drawn values. Three things are compared: the two-sample statistic of Kolmogorov and Smirnov,
    mean and variance, and the range. The range tells trained weights from uniform ones. Tensors that are equal in the
    given weights must be equal in each draw.

    Args:
        given: Weights and buffers by name.
        drawn: The same names, :data:`NUM_DRAWS` times, each drawn with a different seed.

    Returns:
        The name of the first tensor that differs, and the difference in words; ``None`` if no tensor differs.
    """
    for name, value in given.items():
        others = [draw[name] for draw in drawn]
        if any(other.shape != value.shape or other.dtype != value.dtype for other in others):
            return name, "it has another shape or type"
        if value.numel() == 0:
            continue
        if all(other.equal(others[0]) for other in others[1:]):
            if not value.allclose(others[0], rtol=1e-5, atol=1e-8, equal_nan=True):
                return name, "its values are others"
        elif not value.is_floating_point():
            continue  # integers that were drawn, such as permutations
        elif is_constant(value) and not all(map(is_constant, others)):
            return name, "its values are all the same"
        elif value.numel() >= LEAST_VALUES and not _same_distribution(value, others):
            return name, "its values have another distribution"
    for group in equal_groups(given):
        if any(not draw[name].equal(draw[group[0]]) for name in group[1:] for draw in drawn):
            return group[1], f"its values are those of {group[0]}"
    return None


def equal_groups(weights: Mapping[str, Tensor]) -> list[list[str]]:
    """Groups of names of tensors with the same random values, such as the layers that ``TransformerEncoder`` copies."""
    groups: dict[tuple[torch.Size, float, float], list[list[str]]] = {}
    for name, value in weights.items():
        if not value.is_floating_point() or value.numel() < LEAST_VALUES or is_constant(value):
            continue
        flat = value.detach().flatten()
        same_ends = groups.setdefault((value.shape, float(flat[0]), float(flat[-1])), [])
        group = next((group for group in same_ends if weights[group[0]].equal(value)), None)
        if group is None:
            same_ends.append([name])
        else:
            group.append(name)
    return [group for same_ends in groups.values() for group in same_ends if len(group) > 1]


def is_constant(value: Tensor) -> bool:
    """Whether all values of a tensor are the same."""
    return bool((value == value.flatten()[0]).all())


def _same_distribution(given: Tensor, drawn: Sequence[Tensor]) -> bool:
    first = _sample(given)
    second = torch.cat([_sample(value) for value in drawn])
    if not first.isfinite().all():
        return False
    outside = int((first < second.min()).sum() + (first > second.max()).sum())
    if outside > 2 * MOST_OUTSIDE:
        return False
    n, m = len(first), len(second)
    if n >= LEAST_FOR_MOMENTS and not _same_moments(first, second):
        return False
    together = torch.cat([first, second]).sort().values
    below = [torch.searchsorted(part.sort().values, together, right=True) / len(part) for part in (first, second)]
    distance = float((below[0] - below[1]).abs().max())
    return distance <= math.sqrt(-math.log(LEVEL / 2) / 2 * (n + m) / (n * m))


def _same_moments(first: Tensor, second: Tensor) -> bool:
    """Whether two samples have the same mean and variance, within standard errors estimated from the second one."""
    variance = second.var()
    more = 1 / len(first) + 1 / len(second)
    if abs(float(first.mean() - second.mean())) > MOST_ERRORS * math.sqrt(float(variance) * more):
        return False
    kurtosis = float(((second - second.mean()) ** 4).mean() / variance**2)
    error = math.sqrt(max(kurtosis - 1, 0.1) * more)
    return abs(float(first.var() / variance) - 1) <= MOST_ERRORS * error


def _sample(value: Tensor) -> Tensor:
    """Values of a tensor, float64. Of a large tensor, values that are spread over it."""
    flat = value.detach().cpu().flatten().double()
    if len(flat) <= MOST_VALUES:
        return flat
    return flat[torch.randperm(len(flat), generator=torch.Generator().manual_seed(0))[:MOST_VALUES]]
