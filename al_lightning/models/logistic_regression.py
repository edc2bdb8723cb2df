"""Multinomial logistic regression to convergence, by L-BFGS with the curvature of the features."""

import math
from collections import deque
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from al_lightning.errors import InputError

MAX_STEPS = 1000
"""Most steps of a fit. A fit takes 10 to 50."""
HISTORY = 20
"""Steps that L-BFGS remembers."""
TOLERANCE = 1e-7
"""A fit is over when the square root of ``g^T B g`` is at most this. g is the gradient, and B is the inverse of the
Hessian as L-BFGS estimates it. The objective is then about 5e-15 above its least value."""
ROUNDED = 1e-5
"""The same limit where rounding ends a fit, for features that are much larger than their differences."""
MAX_HALVINGS = 40
"""Most halvings of a step."""
ENOUGH_FALL = 1e-4
"""Share of the predicted fall that a step must reach; see Nocedal and Wright, Numerical Optimization, 3.1."""
RENEW_AT = (2, 8, 20)
"""Steps after which the matrix near the Hessian is computed again."""
MOST_DIRECTIONS, EXACT_SIZE = 64, 350
"""Limits of its exact part: directions, and directions times classes."""
POWER = 2
"""Iterations that find the directions."""


PRIOR_VARIANCE = 25.0
"""Variance of a logit of a typical sample under the prior of :func:`auto_weight_decay`."""


class LogisticRegression(NamedTuple):
    """A fitted regression. The logits of features x are ``x @ weight.T + bias``."""

    weight: Tensor
    """Float64, shape ``(C, D)``."""
    bias: Tensor
    """Float64, shape ``(C,)``."""
    objective: float
    """The least value of the objective."""
    converged: bool
    """Whether the gradient is small enough; if not, the fit has ended after its last step."""


class _Problem(NamedTuple):
    """The regression of the seen classes, in coordinates of the centred features."""

    rows: Tensor
    """Coordinates, float64, shape ``(n, r)``."""
    targets: Tensor
    """One-hot targets, float64, shape ``(S, n)``."""
    weight_decay: float

    def value_and_gradient(self, parameters: Tensor) -> tuple[float, Tensor, Tensor]:
        """The objective, its gradient ``(S, r + 1)`` and the probabilities ``(S, n)`` at parameters ``(S, r + 1)``."""
        weight, bias = parameters[:, :-1], parameters[:, -1:]
        log_probs = (weight @ self.rows.T + bias).log_softmax(0)
        loss = -(log_probs * self.targets).sum() / len(self.rows) + self.weight_decay / 2 * weight.square().sum()
        probs = log_probs.exp()
        residuals = (probs - self.targets) / len(self.rows)
        slope = torch.cat([residuals @ self.rows + self.weight_decay * weight, residuals.sum(1, keepdim=True)], dim=1)
        return float(loss), slope, probs


def fit_logistic_regression(
    features: Tensor, targets: Tensor, num_classes: int, weight_decay: float
) -> LogisticRegression:
    """Fits a multinomial logistic regression to its optimum.

    The objective is the mean cross-entropy plus half of ``weight_decay`` times the sum of the squared weights::

        1/n sum_i -log softmax(W x_i + b)[y_i] + weight_decay / 2 ||W||^2

    The bias has no penalty. Logits do not change if all classes get the same bias: the biases of the seen classes add
    up to 0. With this choice, the optimum is unique. It is the optimum of scikit-learn's ``LogisticRegression`` with
    ``C = 1 / (n weight_decay)``.

    The optimum would give a class without a label the bias minus infinity. Here such a class has the weights 0 and the
    bias ``-log(n + 1)``. Where the features say nothing, it is ``1 / (n + 1)`` times as probable as a seen class. It is
    nowhere the most probable class. If all labels are of one class, all weights are 0.

    The fit takes steps of L-BFGS (Liu and Nocedal, 1989, https://doi.org/10.1007/BF01589116) in float64 from 0. The
    inverse of a matrix M near the Hessian takes the place of the identity in it, so that 10 to 50 steps are enough. M
    is exact in the few directions in which the features differ most. If there are fewer samples than features, the fit
    is done in the row space of the features, which holds the optimum.

    Args:
        features: Features of n samples, float, shape ``(n, D)``.
        targets: Class indices, int64, shape ``(n,)``.
        num_classes: Number of classes, C.
        weight_decay: Weight decay, more than 0.

    Raises:
        InputError: If an argument has another form, or a feature is NaN or infinite.

    Example:
        >>> features, targets = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), torch.tensor([0, 0, 1, 1])
        >>> fitted = fit_logistic_regression(features, targets, num_classes=2, weight_decay=0.1)
        >>> fitted.weight.flatten().tolist()  # doctest: +NUMBER
        [-0.92, 0.92]
    """
    _check(features, targets, num_classes, weight_decay)
    seen, places = targets.unique(return_inverse=True)
    weight = features.new_zeros(num_classes, features.shape[1], dtype=torch.float64)
    bias = torch.full((num_classes,), -math.log(len(features) + 1), dtype=torch.float64)
    features = features.double()
    mean = features.mean(0)
    basis, rows = _coordinates(features - mean)
    one_hot = F.one_hot(places, len(seen)).T.double()
    parameters, objective, converged = _minimise(_Problem(rows, one_hot, weight_decay))
    weight[seen] = parameters[:, :-1] if basis is None else parameters[:, :-1] @ basis.T
    of_seen = parameters[:, -1] - weight[seen] @ mean
    bias[seen] = of_seen - of_seen.mean()
    return LogisticRegression(weight, bias, objective, converged)


def auto_weight_decay(features: Tensor) -> float:
    """A weight decay that suits any number of labels and any scale of the features.

    Weight decay is a normal prior of the weights with the variance ``1 / (n weight_decay)``. The rule chooses the prior
    under which a logit of a typical labeled sample has the standard deviation 5::

        weight_decay = t / (25 n),    t = mean of ||x - mean of x||^2

    The rule needs no labels, so it also works with one label a class, where no sample can be left out.

    Args:
        features: Features of n samples, float, shape ``(n, D)``.

    Returns:
        The weight decay; 1 if all features are the same, since any weight decay then gives the same model.

    Example:
        >>> auto_weight_decay(torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]))
        0.025
    """
    features = features.double()
    spread = float((features - features.mean(0)).square().sum(1).mean())
    return spread / (PRIOR_VARIANCE * len(features)) or 1.0


def _check(features: Tensor, targets: Tensor, num_classes: int, weight_decay: float) -> None:
    if features.dim() != 2 or not len(features) or not features.is_floating_point():
        raise InputError(
            f"Expected `features` to be floats of shape (n, D) with at least one sample, but got {features.dtype} of "
            f"shape {tuple(features.shape)}."
        )
    if not bool(features.isfinite().all()):
        raise InputError("Expected `features` to be finite, but got NaN or infinite values.")
    if targets.shape != features.shape[:1] or targets.dtype != torch.int64:
        raise InputError(
            f"Expected `targets` to be int64 of shape ({len(features)},), but got {targets.dtype} of shape "
            f"{tuple(targets.shape)}."
        )
    if not 0 <= int(targets.min()) <= int(targets.max()) < num_classes:
        raise InputError(
            f"Expected `targets` from 0 to {num_classes - 1}, but got some from {int(targets.min())} to "
            f"{int(targets.max())}."
        )
    if not 0 < weight_decay < math.inf:
        raise InputError(f"Expected `weight_decay` to be more than 0, but got {weight_decay}.")


def _coordinates(centred: Tensor) -> tuple[Tensor | None, Tensor]:
    """An orthonormal basis ``(D, r)`` of the row space of ``(n, D)``, and the rows in it; no basis if n >= D."""
    if len(centred) >= centred.shape[1]:
        return None, centred
    basis, triangle = torch.linalg.qr(centred.T)
    return basis, triangle.T.contiguous()


def _minimise(problem: _Problem) -> tuple[Tensor, float, bool]:
    """Returns the parameters at the optimum ``(S, r + 1)``, the objective there, and whether the fit has converged."""
    gram = problem.rows.T @ problem.rows / len(problem.rows)
    now = problem.rows.new_zeros(len(problem.targets), problem.rows.shape[1] + 1)
    value, slope, probs = problem.value_and_gradient(now)
    directions = _leading(gram, min(len(gram), MOST_DIRECTIONS, max(1, EXACT_SIZE // len(problem.targets))))
    precondition = _Preconditioner(problem, gram, directions, probs)
    moves: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=HISTORY)
    for step in range(MAX_STEPS):
        direction = -_two_loops(slope, moves, precondition)
        predicted = float((slope * direction).sum())
        if -predicted <= TOLERANCE**2:
            return now, value, True
        for halvings in range(MAX_HALVINGS):
            after = now + 0.5**halvings * direction
            value_after, slope_after, probs = problem.value_and_gradient(after)
            # Near the optimum, rounding hides the fall of the objective. The gradient still shows it.
            falls = value_after <= value + ENOUGH_FALL * 0.5**halvings * predicted
            if falls or _is_flat(slope_after, direction, predicted):
                break
        else:  # rounding hides both: nothing smaller can be found
            break
        move, change = after - now, slope_after - slope
        product = float((move * change).sum())
        if product > 0:
            moves.append((move, change, 1 / product))
        now, value, slope = after, value_after, slope_after
        if step in RENEW_AT:
            precondition = _Preconditioner(problem, gram, directions, probs)
    return now, value, -predicted <= ROUNDED**2


def _is_flat(slope: Tensor, direction: Tensor, predicted: float) -> bool:
    """Whether the slope along a direction has fallen enough, which for a convex objective means that it has fallen.

    This is the approximate Wolfe condition of Hager and Zhang (2005).
    """
    along = float((slope * direction).sum())
    return 0.9 * predicted <= along <= (2 * ENOUGH_FALL - 1) * predicted


class _Preconditioner:
    """Multiplies slopes ``(S, r + 1)`` by an inverse of a matrix near the Hessian of the objective.

    The Hessian is exact on the subspace of few directions, those in which the rows differ most, for all classes
    together with their biases. In all other directions it is ``h X^T X / n + weight_decay I``.

    Args:
        problem: The regression.
        gram: ``X^T X / n``, shape ``(r, r)``.
        basis: Orthonormal basis of the subspace, shape ``(r, k)``.
        probs: Predicted probabilities, shape ``(S, n)``. They decide about the curvature h.
    """

    def __init__(self, problem: _Problem, gram: Tensor, basis: Tensor, probs: Tensor) -> None:
        num_classes, num = probs.shape
        curvature = max(1e-6, float((probs - probs.square()).sum(0).mean()) / max(1, num_classes - 1))
        shared = curvature * gram
        shared.diagonal().add_(problem.weight_decay)
        self._shared = torch.linalg.cholesky(shared)
        self._basis = basis
        rows = torch.cat([problem.rows @ basis, problem.rows.new_ones(num, 1)], dim=1)
        size = rows.shape[1]
        hessian = rows.new_empty(num_classes, size, num_classes, size)
        for one in range(num_classes):
            weights = -probs[one:] * probs[one]
            weights[0] += probs[one]
            weighted = (rows[:, None] * weights.T[:, :, None]).reshape(num, -1)
            part = (rows.T @ weighted / num).view(size, num_classes - one, size)
            hessian[one, :, one:] = part
            hessian[one:, :, one] = part.permute(1, 2, 0)
        decay = rows.new_full((size,), problem.weight_decay)
        decay[-1] = 1e-6 * curvature  # a Hessian of biases alone is singular, since only their differences count
        flat = hessian.view(num_classes * size, num_classes * size)
        flat.diagonal().add_(decay.repeat(num_classes))
        self._exact = torch.linalg.cholesky(flat)

    def __call__(self, slope: Tensor) -> Tensor:
        weights, biases = slope[:, :-1], slope[:, -1:]
        inside = torch.cat([weights @ self._basis, biases], dim=1)
        solved = torch.cholesky_solve(inside.reshape(-1, 1), self._exact).view_as(inside)
        outside = self._without(weights)
        outside = self._without(torch.cholesky_solve(outside.T, self._shared).T)
        return torch.cat([outside + solved[:, :-1] @ self._basis.T, solved[:, -1:]], dim=1)

    def _without(self, weights: Tensor) -> Tensor:
        return weights - weights @ self._basis @ self._basis.T


def _leading(gram: Tensor, num: int) -> Tensor:
    """About the first eigenvectors of a matrix ``(r, r)``, orthonormal, ``(r, num)``, by subspace iteration."""
    places = torch.linspace(0, len(gram) - 1, num).long()
    basis = gram[:, places]
    for _ in range(POWER):
        basis = torch.linalg.qr(gram @ torch.linalg.qr(basis).Q).Q
    return basis


def _two_loops(slope: Tensor, moves: "deque[tuple[Tensor, Tensor, float]]", precondition: "_Preconditioner") -> Tensor:
    """The product of the inverse of the Hessian, as L-BFGS estimates it, with a slope."""
    slope, shares = slope.clone(), []
    for move, change, weight in reversed(moves):
        shares.append(weight * float((move * slope).sum()))
        slope -= shares[-1] * change
    direction = precondition(slope)
    for (move, change, weight), share in zip(moves, reversed(shares), strict=True):
        direction += (share - weight * float((change * direction).sum())) * move
    return direction
