"""Logistic regression: scikit-learn's optimum, in few steps, also where an optimum needs a convention."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F

from al_lightning.errors import InputError
from al_lightning.models.logistic_regression import auto_weight_decay, fit_logistic_regression
from tests.helpers import digits, generator


def made_up(num: int, dim: int, num_classes: int = 3, seed: int = 0, noise: float = 1.0) -> tuple[Tensor, Tensor]:
    """Features around the mean of each class, away from 0; each class has a sample."""
    drawn = generator(seed)
    targets = torch.cat([torch.arange(num_classes), torch.randint(num_classes, (num - num_classes,), generator=drawn)])
    means = torch.randn(num_classes, dim, generator=drawn)
    return 2 + means[targets] + noise * torch.randn(num, dim, generator=drawn), targets


def slopes(features: Tensor, targets: Tensor, fitted, weight_decay: float) -> tuple[Tensor, Tensor]:
    """The gradients of the objective by autograd."""
    weight, bias = fitted.weight.clone().requires_grad_(), fitted.bias.clone().requires_grad_()
    logits = features.double() @ weight.T + bias
    (F.cross_entropy(logits, targets) + weight_decay / 2 * weight.square().sum()).backward()
    return weight.grad, bias.grad


@pytest.mark.parametrize(("num", "dim"), [(60, 5), (20, 20), (21, 20), (12, 50), (3, 8)])
@pytest.mark.parametrize("weight_decay", [1.0, 1e-2, 1e-4])
def test_it_is_the_optimum_of_scikit_learn(num: int, dim: int, weight_decay: float) -> None:
    features, targets = made_up(num, dim)
    fitted = fit_logistic_regression(features, targets, 3, weight_decay)
    theirs = LogisticRegression(C=1 / (num * weight_decay), solver="newton-cg", tol=1e-10, max_iter=10_000)
    theirs.fit(features.double().numpy(), targets.numpy())
    assert fitted.converged
    torch.testing.assert_close(fitted.weight, torch.from_numpy(theirs.coef_), rtol=1e-4, atol=1e-5)
    intercept = theirs.intercept_ - theirs.intercept_.mean()
    torch.testing.assert_close(fitted.bias, torch.from_numpy(intercept), rtol=1e-4, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    num=st.integers(3, 40),
    dim=st.integers(1, 40),
    exponent=st.integers(-4, 1),
    noise=st.sampled_from([0.0, 0.1, 3.0]),
    seed=st.integers(0, 1000),
)
def test_the_gradient_is_zero_at_the_optimum(num: int, dim: int, exponent: int, noise: float, seed: int) -> None:
    features, targets = made_up(num, dim, seed=seed, noise=noise)
    fitted = fit_logistic_regression(features, targets, 3, 10.0**exponent)
    assert fitted.converged
    for slope in slopes(features, targets, fitted, 10.0**exponent):
        assert float(slope.abs().max()) < 1e-5
    assert float(fitted.bias.sum()) == pytest.approx(0, abs=1e-6)
    assert float(fitted.weight.sum(0).abs().max()) < 1e-4


def test_no_parameters_have_a_smaller_objective() -> None:
    features, targets = made_up(30, 4)
    fitted = fit_logistic_regression(features, targets, 3, 0.01)

    def objective(flat: np.ndarray) -> float:
        parameters = torch.from_numpy(flat).view(3, 5)
        logits = features.double() @ parameters[:, :-1].T + parameters[:, -1]
        return float(F.cross_entropy(logits, targets) + 0.005 * parameters[:, :-1].square().sum())

    found = minimize(objective, np.zeros(15), method="BFGS", options={"gtol": 1e-8})
    assert fitted.objective == pytest.approx(found.fun, abs=1e-9)
    assert objective(torch.cat([fitted.weight, fitted.bias[:, None]], 1).flatten().numpy()) == pytest.approx(
        fitted.objective, abs=1e-12
    )


def test_more_features_than_samples_give_the_same_optimum_as_more_zeros() -> None:
    """The row space of few samples holds the optimum: 30 features and 500 more that are 0 are the same problem."""
    features, targets = made_up(40, 30)
    narrow = fit_logistic_regression(features, targets, 3, 1e-3)
    wide = fit_logistic_regression(torch.cat([features, torch.zeros(40, 500)], 1), targets, 3, 1e-3)
    torch.testing.assert_close(wide.weight[:, :30], narrow.weight, rtol=1e-5, atol=1e-5)
    assert float(wide.weight[:, 30:].abs().max()) < 1e-12


def test_features_far_from_zero_are_no_harder() -> None:
    features, targets = made_up(50, 10)
    near = fit_logistic_regression(features.double(), targets, 3, 1e-3)
    far = fit_logistic_regression(features.double() + 1e4, targets, 3, 1e-3)
    torch.testing.assert_close(far.weight, near.weight, rtol=1e-4, atol=1e-5)


def test_separable_classes_and_a_tiny_weight_decay_still_converge() -> None:
    features, targets = made_up(100, 20, noise=0.01)
    fitted = fit_logistic_regression(features, targets, 3, 1e-8)
    assert fitted.converged
    assert (features.double() @ fitted.weight.T + fitted.bias).argmax(1).equal(targets)


def test_a_class_without_a_label_has_a_small_probability_and_is_never_predicted() -> None:
    features, targets = made_up(40, 5)
    without = fit_logistic_regression(features, targets, 3, 1e-2)
    padded = fit_logistic_regression(features, 2 * targets, 6, 1e-2)
    seen, unseen = [0, 2, 4], [1, 3, 5]
    assert padded.weight[seen].equal(without.weight)
    assert padded.bias[seen].equal(without.bias)
    assert padded.weight[unseen].count_nonzero() == 0
    assert padded.bias[unseen].tolist() == [-math.log(41)] * 3
    anywhere = 100 * torch.randn(1000, 5, generator=generator(1)).double()
    assert set((anywhere @ padded.weight.T + padded.bias).argmax(1).tolist()) <= set(seen)


def test_one_class_alone_is_finite_and_surer_with_more_labels() -> None:
    for num, expected in [(1, 1 / (1 + 9 / 2)), (100, 1 / (1 + 9 / 101))]:
        fitted = fit_logistic_regression(torch.randn(num, 4, generator=generator()), torch.full((num,), 7), 10, 0.1)
        assert fitted.converged
        assert fitted.weight.count_nonzero() == 0
        assert float(fitted.bias.softmax(0)[7]) == pytest.approx(expected)


def test_features_that_are_all_the_same_give_the_shares_of_the_classes() -> None:
    targets = torch.tensor([0, 0, 0, 1])
    for features in (torch.full((4, 3), 5.0), torch.full((4, 8), 5.0)):
        fitted = fit_logistic_regression(features, targets, 2, auto_weight_decay(features))
        probs = (features.double() @ fitted.weight.T + fitted.bias).softmax(1)
        torch.testing.assert_close(probs, torch.tensor([[0.75, 0.25]]).double().expand(4, 2), rtol=0, atol=1e-6)


def test_the_order_of_the_samples_and_their_copies_do_not_matter() -> None:
    features, targets = made_up(30, 10)
    fitted = fit_logistic_regression(features, targets, 3, 0.01)
    order = torch.randperm(30, generator=generator()).repeat(2)
    again = fit_logistic_regression(features[order], targets[order], 3, 0.01)
    torch.testing.assert_close(again.weight, fitted.weight, rtol=1e-5, atol=1e-6)
    assert fit_logistic_regression(features, targets, 3, 0.01).weight.equal(fitted.weight)


# --------------------------------------------------------------------------------------- the choice of the weight decay


def test_the_chosen_weight_decay_does_not_depend_on_the_scale_of_the_features() -> None:
    features, targets = made_up(30, 10)
    logits = []
    for scaled in (features, 1000 * features):
        fitted = fit_logistic_regression(scaled, targets, 3, auto_weight_decay(scaled))
        logits.append(scaled.double() @ fitted.weight.T + fitted.bias)
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-4, atol=1e-4)


def test_the_prior_variance_of_a_logit_is_25() -> None:
    """Under a normal prior with variance 1 / (n weight_decay), by Monte Carlo."""
    features = torch.randn(200, 30, generator=generator()).double() * torch.linspace(0.1, 3, 30)
    weights = torch.randn(20_000, 30, generator=generator(1)).double()
    weights *= (1 / (200 * auto_weight_decay(features))) ** 0.5
    variances = ((features - features.mean(0)) @ weights.T).var(dim=1)
    assert float(variances.mean()) == pytest.approx(25, rel=0.02)


@pytest.mark.parametrize("num", [10, 50, 200, 1000])
def test_the_chosen_weight_decay_is_near_the_best_on_digits(num: int) -> None:
    """Measured: at most 0.7 points below the best of a grid that sees the test set."""
    inputs, targets, test_inputs, test_targets = digits()
    accuracies = []
    for seed in range(3):
        chosen = torch.randperm(len(inputs), generator=generator(seed))[:num]
        grid = [auto_weight_decay(inputs[chosen]) * 10.0**e for e in (0, -1, 1, 2)]
        fits = [fit_logistic_regression(inputs[chosen], targets[chosen], 10, w) for w in grid]
        right = [(test_inputs.double() @ fit.weight.T + fit.bias).argmax(1) == test_targets for fit in fits]
        accuracies.append([float(one.double().mean()) for one in right])
    found = torch.tensor(accuracies)
    assert float((found.max(1).values - found[:, 0]).mean()) < 0.012
    assert float((found[:, 0] - found[:, 3]).mean()) > 0.02  # the grid is not flat


# --------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": torch.zeros(3)}, "`features` to be floats of shape"),
        ({"features": torch.zeros(0, 3), "targets": torch.zeros(0, dtype=torch.int64)}, "with at least one sample"),
        ({"features": torch.zeros(2, 3, dtype=torch.int64)}, "torch.int64 of shape"),
        ({"features": torch.tensor([[0.0], [math.nan]])}, "NaN or infinite"),
        ({"targets": torch.tensor([0, 1, 2])}, r"`targets` to be int64 of shape \(2,\)"),
        ({"targets": torch.tensor([0.0, 1.0])}, "torch.float32 of shape"),
        ({"targets": torch.tensor([0, 2])}, "`targets` from 0 to 1, but got some from 0 to 2"),
        ({"targets": torch.tensor([-1, 0])}, "`targets` from 0 to 1, but got some from -1 to 0"),
        ({"weight_decay": 0.0}, "`weight_decay` to be more than 0, but got 0.0"),
        ({"weight_decay": math.nan}, "`weight_decay` to be more than 0, but got nan"),
    ],
)
def test_bad_arguments_are_one_sentence(change: dict, message: str) -> None:
    good = {"features": torch.zeros(2, 3), "targets": torch.tensor([0, 1]), "num_classes": 2, "weight_decay": 1.0}
    with pytest.raises(InputError, match=message):
        fit_logistic_regression(**{**good, **change})
