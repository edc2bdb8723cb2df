"""LaplacePosterior: equal to explicit inverses, whatever its form."""

import math

import pytest
import torch
from torch import Tensor

from al_lightning.errors import InputError
from al_lightning.inference import LinearHead, fisher_information, laplace
from al_lightning.inference.laplace import LaplacePosterior
from tests.helpers import generator


def a_head(num_classes: int = 3, num_features: int = 4, scale: float = 0.5) -> LinearHead:
    weights = scale * torch.randn(num_classes, num_features + 1, generator=generator(1))
    return LinearHead(weights[:, :-1], weights[:, -1])


def features(size: int, num_features: int = 4) -> Tensor:
    return torch.randn(size, num_features, generator=generator(2))


def explicit_curvature(head: LinearHead, embeddings: Tensor) -> Tensor:
    """The sum of Kronecker products itself, by the Jacobian of the softmax."""
    weights = torch.cat([head.weight, head.bias[:, None]], dim=1).double()
    total = torch.zeros(weights.numel(), weights.numel(), dtype=torch.float64)
    for row in embeddings.double():
        h = torch.cat([row, torch.ones(1)])
        p = (weights @ h).softmax(dim=0)
        total += torch.kron(torch.diag(p) - torch.outer(p, p), torch.outer(h, h))
    return total


def covariance(posterior: LaplacePosterior) -> Tensor:
    """The covariance of the draws, exactly: they are linear in standard normals."""
    jacobian = posterior.spread(torch.eye(posterior.num_normals, dtype=torch.float64)).flatten(1)
    return jacobian.T @ jacobian


@pytest.mark.parametrize("size", [0, 1, 2, 4, 5, 30], ids="{} labels".format)
@pytest.mark.parametrize("num_classes", [2, 3])
def test_draws_have_the_inverse_hessian_for_covariance(size, num_classes):
    head, embeddings = a_head(num_classes), features(size)
    hessian = 0.7 * torch.eye(num_classes * 5, dtype=torch.float64) + explicit_curvature(head, embeddings)
    found = covariance(LaplacePosterior(head, embeddings, prior_precision=0.7))
    torch.testing.assert_close(found, hessian.inverse(), atol=1e-10, rtol=1e-8)


def test_both_exact_forms_are_the_same_and_that_of_weights_takes_blocks(monkeypatch):
    head, embeddings = a_head(), features(4)
    dual = LaplacePosterior(head, embeddings)
    assert dual._curvature.num_more_normals == 12
    monkeypatch.setattr(fisher_information, "BLOCK_ROWS", 3)
    weights = laplace._Weights(*_inputs(head, embeddings))
    assert weights.log_det(0.3) == pytest.approx(dual._curvature.log_det(0.3), rel=1e-10)


def _inputs(head: LinearHead, embeddings: Tensor) -> tuple[Tensor, Tensor]:
    ones = torch.cat([embeddings, torch.ones(len(embeddings), 1)], dim=1).double()
    return (ones @ torch.cat([head.weight, head.bias[:, None]], dim=1).double().T).softmax(dim=1), ones


def test_kronecker_form_is_exact_where_all_samples_coincide(monkeypatch):
    monkeypatch.setattr(laplace, "MOST_PARAMETERS", 0)
    head, embeddings = a_head(), features(1).repeat(7, 1)
    posterior = LaplacePosterior(head, embeddings, prior_precision=0.7)
    assert isinstance(posterior._curvature, laplace._Kronecker)
    hessian = 0.7 * torch.eye(15, dtype=torch.float64) + explicit_curvature(head, embeddings)
    torch.testing.assert_close(covariance(posterior), hessian.inverse(), atol=1e-10, rtol=1e-8)
    expected = torch.logdet(hessian / 0.7).item()
    assert posterior._curvature.log_det(0.7) == pytest.approx(expected, rel=1e-9)


def test_kronecker_form_is_the_product_of_the_two_factors(monkeypatch):
    monkeypatch.setattr(laplace, "MOST_PARAMETERS", 0)
    head, embeddings = a_head(), features(30)
    probs, ones = _inputs(head, embeddings)
    of_classes = sum(torch.diag(p) - torch.outer(p, p) for p in probs) / 30
    hessian = 0.7 * torch.eye(15, dtype=torch.float64) + torch.kron(of_classes, ones.T @ ones)
    found = covariance(LaplacePosterior(head, embeddings, prior_precision=0.7))
    torch.testing.assert_close(found, hessian.inverse(), atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("size", [2, 30])
def test_draws_are_normal_about_the_fitted_head(size):
    head, embeddings = a_head(), features(size)
    posterior = LaplacePosterior(head, embeddings, prior_precision=0.7)
    heads = posterior.draw(20_000, generator(3))
    assert heads.shape == (20_000, 3, 5)
    assert heads.dtype == torch.float32
    expected = covariance(posterior)
    deviation = expected.diagonal().sqrt().view(3, 5)
    mean = torch.cat([head.weight, head.bias[:, None]], dim=1)
    assert ((heads.double().mean(dim=0) - mean).abs() < 4.5 * deviation / math.sqrt(20_000)).all()
    found = heads.flatten(1).double().T.cov()
    scale = expected.diagonal().sqrt()[:, None] * expected.diagonal().sqrt()
    assert ((found - expected).abs() / scale).max() < 0.05


def test_many_draws_are_made_a_few_at_a_time(monkeypatch):
    """A few at a time come from other normals, and have the same distribution."""
    monkeypatch.setattr(laplace, "MOST_NORMALS", 40)  # two heads of 15 weights
    posterior = LaplacePosterior(a_head(), features(30), prior_precision=0.7)
    heads = posterior.draw(2001, generator())
    assert heads.shape == (2001, 3, 5)
    deviation = covariance(posterior).diagonal().sqrt().view(3, 5)
    torch.testing.assert_close(heads.double().std(dim=0), deviation, atol=0, rtol=0.08)


def evidence(head: LinearHead, embeddings: Tensor, precision: float) -> float:
    """The terms of the marginal likelihood that depend on the precision, by determinants of everything."""
    sq_norm = float(head.weight.double().square().sum() + head.bias.double().square().sum())
    curvature = explicit_curvature(head, embeddings)
    hessian = precision * torch.eye(len(curvature)) + curvature
    return (len(curvature) * math.log(precision) - precision * sq_norm - torch.logdet(hessian).item()) / 2


@pytest.mark.parametrize("size", [3, 10, 200])
@pytest.mark.parametrize("scale", [0.3, 2.0])
def test_prior_precision_maximises_the_marginal_likelihood(size, scale):
    head, embeddings = a_head(scale=scale), 3 * features(size)
    found = LaplacePosterior(head, embeddings).prior_precision
    best = evidence(head, embeddings, found)
    assert all(evidence(head, embeddings, factor * found) < best for factor in (0.5, 0.8, 1.25, 2.0))
    # MacKay's fixed point: the number of determined weights over their squared norm
    values = torch.linalg.eigvalsh(explicit_curvature(head, embeddings)).clamp(min=0)
    sq_norm = float(head.weight.square().sum() + head.bias.square().sum())
    assert found == pytest.approx(float((values / (values + found)).sum()) / sq_norm, rel=0.05)


def test_prior_precision_without_labels_is_that_of_the_weights():
    head = a_head()
    sq_norm = float(head.weight.square().sum() + head.bias.square().sum())
    assert LaplacePosterior(head, torch.empty(0)).prior_precision == pytest.approx(15 / sq_norm)


def test_prior_precision_of_a_certain_head_stays_near_that_of_the_weights():
    """Regression: the evidence of labels that the head is certain of has its maximum at 0."""
    head = a_head(scale=1000.0)
    sq_norm = float(head.weight.square().sum() + head.bias.square().sum())
    found = LaplacePosterior(head, features(10)).prior_precision
    assert 0.99e-3 * 15 / sq_norm < found <= 1.001 * 15 / sq_norm


def test_a_head_of_zeros_has_a_prior():
    head = LinearHead(torch.zeros(3, 4), torch.zeros(3))
    assert LaplacePosterior(head, features(10)).prior_precision == 1


@pytest.mark.parametrize("precision", [0.0, -1.0, math.inf, math.nan])
def test_precisions_that_are_none_raise(precision):
    with pytest.raises(InputError, match="`prior_precision` to be above 0 and finite, but got"):
        LaplacePosterior(a_head(), features(3), precision)


@pytest.mark.parametrize("num_labeled", [20, 200])  # fewer and more than there are features
def test_a_precision_that_rounding_loses_raises(num_labeled):
    numbers = torch.Generator().manual_seed(0)
    head = LinearHead(0.1 * torch.randn(10, 40, generator=numbers), torch.zeros(10))
    labeled = torch.randn(num_labeled, 40, generator=numbers)
    with pytest.raises(InputError, match="not lost in rounding beside the labeled samples'"):
        LaplacePosterior(head, labeled, 1e-30).draw(2, generator())


def test_nan_raises():
    embeddings = features(5)
    embeddings[3, 1] = torch.nan
    with pytest.raises(InputError, match="finite embeddings of labeled samples, .* in 1 of 5 rows"):
        LaplacePosterior(a_head(), embeddings)
    with pytest.raises(InputError, match="finite weights of the head"):
        LaplacePosterior(LinearHead(torch.full((2, 4), torch.inf), torch.zeros(2)), features(5))
