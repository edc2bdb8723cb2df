"""ALFA-Mix: query where features mixed with those of a class change the prediction, spread over the pool."""

import math
from bisect import bisect_left

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike, as_floats
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor
from al_lightning.strategies.base import QueryStrategy, check_finite, check_generator, check_query_size
from al_lightning.strategies.candidates import spread_over

BLOCK_ROWS = 4096
ROUNDING = 1e-9  # of 1 / 0.1, which is 10 steps


def alfa_mix_query(
    embeddings: ArrayLike,
    labeled_embeddings: ArrayLike,
    labeled_targets: Tensor,
    weight: Tensor,
    bias: Tensor,
    query_size: int,
    generator: torch.Generator,
    cap_step: float = 1 / 32,
) -> Tensor:
    r"""Chooses rows whose prediction changes when their features are mixed with a class mean, spread by k-means.

    The mixture of features :math:`z` and a class mean :math:`a` has one ratio for each feature. Its closed form, with
    the gradient :math:`g` of the loss at the predicted class, is

    .. math:: z + \alpha (a - z) \qquad \alpha = \frac{\epsilon}{\sqrt D} \frac{\lVert a - z \rVert}{\lVert g \rVert}
        \frac{g}{a - z}

    The quotient cancels: the mixture is :math:`z` moved along :math:`g`, and :math:`a` only says how far. So the
    farthest class mean decides, and a linear head gives the smallest :math:`\epsilon` that changes the prediction
    directly: see :func:`smallest_caps`. No features are mixed.

    The cap of :math:`\epsilon` grows in steps until more than b rows are candidates, or the cap is 1. The candidates'
    features are scaled to unit length and clustered into b clusters. The query is the row nearest to the centre of each
    cluster.

    Args:
        embeddings: Penultimate features of the pool, shape ``(N, D)``: a tensor, an array of NumPy or nested lists.
        labeled_embeddings: Features of the labeled samples, shape ``(M, D)``, M at least 1.
        labeled_targets: Class indices of the labeled samples, shape ``(M,)``. Classes without a label have no mean.
        weight: Weights of the head, shape ``(C, D)``: its logits are ``embeddings @ weight.T + bias``.
        bias: Shape ``(C,)``.
        query_size: Number of rows to choose, b, 0 to N.
        generator: CPU generator of all draws.
        cap_step: Step of the cap, above 0 and at most 1.

    Returns:
        Distinct rows, int64, shape ``(b,)``. If there are too few candidates at a cap of 1, the rest is drawn at
        random, with a warning.

    Raises:
        InputError: If a value is not finite, nothing is labeled, or the arguments do not go together.

    Reference:
        Parvaneh, Abbasnejad, Teney, Haffari, van den Hengel and Shi, "Active Learning by Feature Mixing", CVPR 2022.

    Example:
        >>> embeddings = torch.tensor([[0.1], [2.0], [-3.0]])
        >>> weight, bias = torch.tensor([[-1.0], [1.0]]), torch.zeros(2)  # the boundary is at 0
        >>> labeled = torch.tensor([[-4.0], [4.0]])
        >>> alfa_mix_query(embeddings, labeled, torch.tensor([0, 1]), weight, bias, 1, torch.Generator(), cap_step=0.3)
        tensor([0])
    """
    embeddings = _features(embeddings, "embeddings", "(N, D)")
    check_query_size(query_size, len(embeddings))
    check_generator(generator)
    _check_step(cap_step)
    if query_size == 0:
        return torch.empty(0, dtype=torch.int64)
    caps = smallest_caps(embeddings, labeled_embeddings, labeled_targets, weight, bias)
    numbers = range(1, math.ceil(1 / cap_step - ROUNDING) + 1)
    first = bisect_left(numbers, True, key=lambda number: int((caps < number * cap_step).sum()) > query_size)
    cap = numbers[min(first, len(numbers) - 1)] * cap_step
    candidates = (caps < cap).nonzero().squeeze(1)
    candidates = candidates[caps[candidates].argsort(stable=True)]
    return spread_over(embeddings, candidates, query_size, generator, "ALFAMix")


def smallest_caps(
    embeddings: ArrayLike, labeled_embeddings: ArrayLike, labeled_targets: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    r"""The smallest cap of each row with which a mixture of its features changes the prediction.

    A step of length :math:`s` along the gradient adds :math:`s\, w_c \cdot g / \lVert g \rVert` to the logit
    :math:`l_c`. So the prediction :math:`\hat y` changes at

    .. math:: s = \min_{c:\, w_c \cdot g > w_{\hat y} \cdot g}
        \frac{(l_{\hat y} - l_c) \lVert g \rVert}{(w_c - w_{\hat y}) \cdot g}

    and the cap is :math:`s \sqrt D` over the distance to the farthest class mean. Features in which a row equals the
    mean are moved as well. The authors' code leaves them where they are, because its quotient is 0/0 there.

    Args:
        embeddings: See :func:`alfa_mix_query`.
        labeled_embeddings: See :func:`alfa_mix_query`.
        labeled_targets: See :func:`alfa_mix_query`.
        weight: See :func:`alfa_mix_query`.
        bias: See :func:`alfa_mix_query`.

    Returns:
        Float32, shape ``(N,)``, at least 0; infinity if no step changes the prediction.

    Example:
        >>> weight, bias = torch.tensor([[-1.0], [1.0]]), torch.zeros(2)  # the boundary is at 0
        >>> labeled, targets = torch.tensor([[-4.0], [4.0]]), torch.tensor([0, 1])
        >>> smallest_caps([[1.0], [-2.0]], labeled, targets, weight, bias)  # 1 / (1 + 4) and 2 / (2 + 4)
        tensor([0.2000, 0.3333])
    """
    embeddings = _features(embeddings, "embeddings", "(N, D)")
    labeled_embeddings = _features(labeled_embeddings, "embeddings of labeled samples", "(M, D)")
    weight, bias = _features(weight, "weights of the head", "(C, D)"), _features(bias, "biases of the head", "(C)")
    num_features = embeddings.shape[1]
    if {labeled_embeddings.shape[1], weight.shape[1]} != {num_features}:
        raise InputError(
            f"Expected as many features of labeled samples, and of the head, as of the pool, {num_features}, but got "
            f"{labeled_embeddings.shape[1]} and {weight.shape[1]}."
        )
    if len(weight) != len(bias):
        raise InputError(f"Expected a bias for each of {len(weight)} classes, but got {len(bias)}.")
    means = _class_means(labeled_embeddings, labeled_targets)  # (K, D)
    # without what all classes have in common, which changes no difference of logits, and would only round
    centred = weight - weight.mean(dim=0)
    gram = centred @ centred.T  # (C, C)
    caps = []
    for rows in embeddings.split(BLOCK_ROWS):
        steps = _steps_to_change(rows @ weight.T + bias, gram)
        farthest = torch.cdist(rows, means).amax(dim=1)
        caps.append(torch.where(farthest > 0, steps * math.sqrt(num_features) / farthest, torch.inf))
    return torch.cat(caps)


def _steps_to_change(logits: Tensor, gram: Tensor) -> Tensor:
    """Length of the step along the gradient of the loss that changes the prediction.

    Args:
        logits: Shape ``(B, C)``.
        gram: Inner products of the weights of the classes, shape ``(C, C)``.

    Returns:
        Shape ``(B,)``; infinity if no step does.
    """
    highest, predicted = logits.max(dim=1, keepdim=True)
    # The gradient is the sum of p_c (w_c - w_predicted) over the other classes. Its direction stays if these p_c are
    # made to sum to 1, and then it is there even if they are all rounded to 0.
    others = logits.scatter(1, predicted, -torch.inf).softmax(dim=1)
    gradient = others.scatter(1, predicted, -1.0)  # coefficients of the w_c
    along = gradient @ gram  # (B, C): w_c g
    norm = (gradient * along).sum(dim=1, keepdim=True).clamp_(min=0).sqrt_()
    rise = along - along.gather(1, predicted)
    return torch.where(rise > 0, (highest - logits) * norm / rise, torch.inf).amin(dim=1)


def _class_means(embeddings: Tensor, targets: Tensor) -> Tensor:
    """Mean features of each class that is there, shape ``(K, D)``."""
    if len(embeddings) == 0:
        raise InputError("Expected labeled samples for ALFAMix, which mixes features with theirs, but got none.")
    if targets.shape != (len(embeddings),):
        raise InputError(
            f"Expected a class for each of {len(embeddings)} labeled samples, but got shape {tuple(targets.shape)}."
        )
    classes, members = targets.unique(return_inverse=True)
    sums = torch.zeros(len(classes), embeddings.shape[1]).index_add_(0, members, embeddings)
    return sums / members.bincount()[:, None]


def _features(values: ArrayLike, name: str, shape: str) -> Tensor:
    tensor = as_floats(values, name, shape).detach().cpu().float()
    check_finite(tensor, name)
    return tensor


def _check_step(cap_step: float) -> None:
    if not 0 < cap_step <= 1:
        raise InputError(f"Expected `cap_step` of ALFAMix to be above 0 and at most 1, but got {cap_step}.")


class ALFAMix(QueryStrategy):
    """Queries samples whose prediction changes when their features are mixed with those of a class, spread by k-means.

    The head of the model must be linear. See :func:`alfa_mix_query`.

    Args:
        cap_step: The cap of the mixing ratio grows by this step until there are more candidates than are queried; above
            0 and at most 1.

    Raises:
        InputError: If the step is out of range. When queried, if nothing is labeled or the head is not linear.

    Reference:
        Parvaneh, Abbasnejad, Teney, Haffari, van den Hengel and Shi, "Active Learning by Feature Mixing", CVPR 2022.
    """

    def __init__(self, cap_step: float = 1 / 32) -> None:
        _check_step(cap_step)
        self.cap_step = cap_step

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        check_query_size(query_size, len(pool))
        if query_size == 0:
            return torch.empty(0, dtype=torch.int64)
        embeddings = pool.embeddings()
        check_finite(embeddings, "embeddings")
        if pool.num_labeled == 0:
            raise InputError("Expected labeled samples for ALFAMix, which mixes features with theirs, but got none.")
        weight, bias = pool.linear_head()
        labeled = pool.labeled_embeddings()
        return alfa_mix_query(
            embeddings, labeled, pool.labeled_targets, weight, bias, query_size, generator, self.cap_step
        )
