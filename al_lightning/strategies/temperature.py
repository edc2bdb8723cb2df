"""The temperature of a fitted model, by its labeled samples alone: no second fit, and no labels held back."""

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike, as_floats
from al_lightning.errors import InputError
from al_lightning.strategies.base import check_finite
from al_lightning.strategies.unit_length import UnitRows

LEAST = 20  # labels: with fewer, a temperature says little
RIDGES = [10.0**power for power in (-4, -3, -2, -1, 0, 1)]  # in units of the variance of all features together
SHARPNESS = [2 ** (-step / 8) for step in range(-32, 65)]  # temperatures of ridge scores, which are about 0 to 1


def labeled_temperature(labeled_embeddings: ArrayLike, labeled_targets: Tensor, labeled_logits: ArrayLike) -> float:
    r"""Estimates the temperature T with which softmax(logits / T) is calibrated on samples that the model did not see.

    A fitted model is too sure of its labeled samples. So ridge regression stands in for it, because its leave-one-out
    scores are exact without any other fit. The rule is ours:

    1. Fit ridge regression with an intercept to the one-hot classes, on features of unit length. The ridge is the one
       of :math:`10^{-4}` to 10 times the total variance whose squared leave-one-out error is least.
    2. Sample i left out has the scores :math:`y_i - e_i / (1 - h_{ii})`, with the residuals :math:`e_i` and the
       leverage :math:`h_{ii}`.
    3. Multiply these scores by a number. It is the mean gap between the two highest logits of the model, divided by the
       same gap of the ridge scores of the fit.
    4. T is the temperature of the least cross-entropy of these scores, on a grid of 8 steps for each factor of 2. As in
       Platt scaling, each class that was observed has probability :math:`(M + 1) / (M + 2)`. So T is not near 0 if all
       scores are right.

    The rule holds for features that have not seen the labels, as of a fixed backbone. Features that were trained on
    the labels separate them too well. Then T is too low.

    The authors of UHerding train a second model without the 30 % of the labels that were queried last. These are the
    samples the model was least sure of, so their temperature is too high.

    Args:
        labeled_embeddings: Features, shape ``(M, D)``.
        labeled_targets: Class indices, 0 to C - 1, int64, shape ``(M,)``.
        labeled_logits: Logits of the model, shape ``(M, C)``.

    Returns:
        T, above 0. It is 1 with fewer than 20 labels, with labels of one class, and if the model or the regression
        tells no class from another.

    Raises:
        InputError: If a value is not finite, a class is out of range, or the arguments do not go together.

    References:
        Platt, "Probabilistic Outputs for Support Vector Machines", 1999.
        Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.

    Example:
        >>> embeddings = torch.eye(2).repeat(10, 1)
        >>> targets = torch.tensor([0, 1] * 10)
        >>> round(labeled_temperature(embeddings, targets, 8 * embeddings), 2)
        2.59
    """
    logits = as_floats(labeled_logits, "logits of labeled samples", "(M, C)").detach().cpu().double()
    features = as_floats(labeled_embeddings, "embeddings of labeled samples", "(M, D)").detach().cpu()
    targets = torch.as_tensor(labeled_targets).cpu()
    check_finite(logits, "logits of labeled samples")
    check_finite(features, "embeddings of labeled samples")
    if not len(features) == len(logits) == len(targets):
        raise InputError(
            f"Expected as many embeddings and logits as classes of labeled samples, {len(targets)}, but got "
            f"{len(features)} and {len(logits)}."
        )
    num_classes = logits.shape[1]
    if len(targets) and not (int(targets.min()) >= 0 and int(targets.max()) < num_classes):
        raise InputError(
            f"Expected classes of labeled samples from 0 to {num_classes - 1}, as the model has logits, but got "
            f"{int(targets.min())} to {int(targets.max())}."
        )
    if len(targets) < LEAST or len(targets.unique()) < 2:
        return 1.0
    fit, left_out = ridge_scores(UnitRows(features).double(slice(None)), targets, num_classes)
    gaps = [float((top[:, 0] - top[:, 1]).mean()) for top in (logits.topk(2).values, fit.topk(2).values)]
    if min(gaps) < 1e-9:
        return 1.0
    return _best_temperature(left_out, targets) * gaps[0] / gaps[1]


def ridge_scores(rows: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Scores of ridge regression on one-hot classes: of the fit to all rows, and of each row when it is left out.

    Args:
        rows: Features, float64, shape ``(M, D)``.
        targets: Class indices, int64, shape ``(M,)``.
        num_classes: Number of classes, C.

    Returns:
        Float64, shape ``(M, C)`` each.
    """
    classes = torch.nn.functional.one_hot(targets, num_classes).double()
    mean = classes.mean(dim=0)
    left, singular, _ = torch.linalg.svd(rows - rows.mean(dim=0), full_matrices=False)
    inner = left.T @ (classes - mean)
    squares = singular.square()
    least, best = torch.inf, (classes, classes)
    for ridge in RIDGES:
        shrink = squares / (squares + ridge * float(squares.sum() / len(rows)) + 1e-12)  # 0 of equal rows
        fit = mean + left @ (shrink[:, None] * inner)
        leverage = 1 / len(rows) + left.square() @ shrink
        errors = (classes - fit) / (1 - leverage).clamp(min=1e-9)[:, None]
        loss = float(errors.square().sum())
        if loss < least:
            least, best = loss, (fit, classes - errors)
    return best


def _best_temperature(scores: Tensor, targets: Tensor) -> float:
    """The temperature of the least cross-entropy with classes that are a little uncertain."""
    size, num_classes = scores.shape
    doubt = 1 / (size + 2)
    own = scores.gather(1, targets[:, None])[:, 0]
    expected = (1 - doubt) * own + doubt * (scores.sum(dim=1) - own) / (num_classes - 1)
    losses = [float(((scores / t).logsumexp(dim=1) - expected / t).mean()) for t in SHARPNESS]
    return SHARPNESS[losses.index(min(losses))]
