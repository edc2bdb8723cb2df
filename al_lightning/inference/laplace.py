"""Laplace's approximation of the posterior of a linear head: heads drawn from it disagree where labels are missing."""

import math

import torch
from torch import Tensor

from al_lightning.errors import InputError
from al_lightning.inference.fisher_information import fisher_information
from al_lightning.inference.head import LinearHead

MOST_PARAMETERS = 6000  # of an exact factor: n^3 / 3 operations, a few times
LEAST_SHARE = 1e-3  # of the largest sensible precision
TOLERANCE = 0.02  # of the logarithm of the precision
MOST_NORMALS = 2**24  # that are held at a time


class LaplacePosterior:
    r"""The normal distribution of a head's weights, given the labeled samples.

    A feature that is 1 stands for the bias, so that the weights are :math:`W` of shape ``(C, D + 1)``. The distribution
    is :math:`N(W, H^{-1})` with

    .. math:: H = \lambda I + \sum_{x \in L} \big(\mathrm{diag}\,p - p p^\top\big) \otimes h h^\top

    The sum is the Hessian of the loss, with the predictions :math:`p` of the head itself. It needs no labels.

    **The prior precision** :math:`\lambda` maximises the marginal likelihood of the labels, up to terms without it:

    .. math:: -\tfrac{\lambda}{2} \lVert W \rVert^2 - \tfrac12 \log \det (I + G / \lambda), \quad G = H - \lambda I

    This is concave in :math:`\log \lambda`. With P weights, its maximum is never above :math:`P / \lVert W \rVert^2`.
    The search ends at a thousandth of this bound: a head that is certain of all its labels says nothing about the
    scale. Without labels, or where G is 0, the precision is the bound itself. The weights are then a typical sample of
    the prior. If all weights are 0, it is 1.

    **The form** is exact if ``C * min(M, D + 1)`` is at most 6,000: a factor of H, or of its dual if there are fewer
    samples than features. Otherwise it is Kronecker's: G is replaced by the product of the mean of the first factors
    and the sum of the second ones.

    Args:
        head: The fitted head.
        embeddings: Features of the labeled samples, shape ``(M, D)``; of any shape if there are none.
        prior_precision: The prior precision; by marginal likelihood if not given.

    Raises:
        InputError: If the features or the weights are not finite, or ``prior_precision`` is not above 0.

    Reference:
        Daxberger et al., "Laplace Redux: Effortless Bayesian Deep Learning", NeurIPS 2021; MacKay, "The Evidence
        Framework Applied to Classification Networks", Neural Computation 1992; Ritter, Botev and Barber, "A Scalable
        Laplace Approximation for Neural Networks", ICLR 2018, for Kronecker's form.

    Example:
        >>> head = LinearHead(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.zeros(2))
        >>> posterior = LaplacePosterior(head, torch.tensor([[2.0, 0.0], [-2.0, 0.0]]), prior_precision=1.0)
        >>> heads = posterior.draw(5000, torch.Generator().manual_seed(0))
        >>> seen, unseen = (heads[:, 0] - heads[:, 1])[:, :2].var(dim=0)
        >>> bool(seen < unseen)
        True
    """

    def __init__(self, head: LinearHead, embeddings: Tensor, prior_precision: float | None = None) -> None:
        check_prior_precision(prior_precision)
        self._mean = torch.cat([head.weight, head.bias[:, None]], dim=1).detach().double().cpu()  # (C, D + 1)
        num_classes, num_features = self._mean.shape
        features = torch.ones(len(embeddings), num_features, dtype=torch.float64)  # (M, D + 1)
        if len(embeddings):
            features[:, :-1] = embeddings.detach().cpu()
        for values, name in ((self._mean, "weights of the head"), (features, "embeddings of labeled samples")):
            if not values.isfinite().all():
                rows = int((~values.isfinite()).any(dim=1).sum())
                raise InputError(f"Expected finite {name}, but got NaN or infinity in {rows} of {len(values)} rows.")
        probs = (features @ self._mean.T).softmax(dim=1)  # (M, C)
        self._curvature: _Labels | _Weights | _Kronecker
        if num_classes * min(len(features), num_features) > MOST_PARAMETERS:
            self._curvature = _Kronecker(probs, features)
        elif len(features) < num_features:
            self._curvature = _Labels(probs, features)
        else:
            self._curvature = _Weights(probs, features)
        self.prior_precision = self._most_likely_precision() if prior_precision is None else prior_precision
        """The precision of the prior."""

    def _most_likely_precision(self) -> float:
        from scipy.optimize import minimize_scalar

        sq_norm = float(self._mean.square().sum())
        if sq_norm == 0:
            return 1.0
        most = math.log(self._mean.numel()) - math.log(sq_norm)
        if not self._curvature.log_det(math.exp(most)) > 0:
            return math.exp(most)

        def cost(log_precision: float) -> float:
            precision = math.exp(log_precision)
            return precision * sq_norm / 2 + self._curvature.log_det(precision) / 2

        bounds = most + math.log(LEAST_SHARE), most
        return math.exp(minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": TOLERANCE}).x)

    def draw(self, num_samples: int, generator: torch.Generator) -> Tensor:
        """Draws heads.

        Args:
            num_samples: Number of heads, T.
            generator: CPU generator.

        Returns:
            Weights and, last, the bias: float32, shape ``(T, C, D + 1)``.
        """
        heads = []
        for start in range(0, num_samples, size := max(1, MOST_NORMALS // self.num_normals)):
            shape = min(size, num_samples - start), self.num_normals
            noise = torch.randn(shape, generator=generator, dtype=torch.float64)
            heads.append((self._mean + self.spread(noise)).float())
        return torch.cat(heads)

    @property
    def num_normals(self) -> int:
        """Number of standard normals that a head is made of."""
        return self._mean.numel() + self._curvature.num_more_normals

    def spread(self, noise: Tensor) -> Tensor:
        """Maps standard normals to differences from the fitted head, linearly.

        Args:
            noise: Float64, shape ``(T, num_normals)``.

        Returns:
            Float64, shape ``(T, C, D + 1)``; their covariance is the inverse of H.
        """
        return self._curvature.spread(noise, self.prior_precision).view(-1, *self._mean.shape)


def check_prior_precision(prior_precision: float | None) -> None:
    """Raises :class:`InputError` unless a prior precision is None, or finite and above 0."""
    if prior_precision is not None and not (math.isfinite(prior_precision) and prior_precision > 0):
        raise InputError(f"Expected `prior_precision` to be above 0 and finite, but got {prior_precision}.")


class _Weights:
    """G itself, of all weights."""

    num_more_normals = 0

    def __init__(self, probs: Tensor, features: Tensor) -> None:
        self._hessian = fisher_information(probs, features)  # (C (D + 1), C (D + 1))

    def _factor(self, precision: float) -> Tensor:
        """The lower triangular factor of H."""
        hessian = self._hessian.clone()
        hessian.diagonal().add_(precision)
        return _factor_of(hessian, self._hessian, precision)

    def log_det(self, precision: float) -> float:
        """Logarithm of the determinant of I + G / precision."""
        logarithms = self._factor(precision).diagonal().log()
        return 2 * float(logarithms.sum()) - len(logarithms) * math.log(precision)

    def spread(self, noise: Tensor, precision: float) -> Tensor:
        """Maps standard normals to differences of covariance H^-1."""
        return torch.linalg.solve_triangular(self._factor(precision).T, noise.T, upper=True).T


class _Labels:
    """The dual of G: G = V' V with a row of V for each labeled sample and class, and V V' is small."""

    def __init__(self, probs: Tensor, features: Tensor) -> None:
        num_classes = probs.shape[1]
        self._features = features  # (M, D + 1)
        # rows sqrt(p_c) (e_c - p), whose outer products sum to diag p - p p': (M, C, C)
        self._roots = probs.sqrt()[:, :, None] * (torch.eye(num_classes, dtype=torch.float64) - probs[:, None, :])
        roots = self._roots.flatten(0, 1)
        products = (roots @ roots.T).view(len(features), num_classes, len(features), num_classes)
        products *= (features @ features.T)[:, None, :, None]
        self._gram = products.flatten(2).flatten(0, 1)  # (M C, M C)
        self.num_more_normals = len(self._gram)

    def _factor(self, precision: float) -> Tensor:
        """The lower triangular factor of I + V V' / precision."""
        gram = self._gram / precision
        gram.diagonal().add_(1.0)
        return _factor_of(gram, self._gram, precision)

    def log_det(self, precision: float) -> float:
        """Logarithm of the determinant of I + G / precision."""
        return 2 * float(self._factor(precision).diagonal().log().sum())

    def spread(self, noise: Tensor, precision: float) -> Tensor:
        """Maps standard normals to differences of covariance H^-1: a draw of the prior, corrected by the samples."""
        num_samples, num_classes = len(noise), self._roots.shape[1]
        size = num_classes * self._features.shape[1]
        prior = noise[:, :size].view(num_samples, num_classes, -1) / math.sqrt(precision)  # (T, C, D + 1)
        of_labels = torch.einsum("mcj,tjm->tmc", self._roots, prior @ self._features.T)  # V prior
        misses = of_labels.flatten(1) + noise[:, size:]
        solved = torch.cholesky_solve(misses.T, self._factor(precision)).T.view_as(of_labels)
        corrections = torch.einsum("mcj,tmc->tjm", self._roots, solved) @ self._features  # V' solved
        return (prior - corrections / precision).flatten(1)


def _factor_of(matrix: Tensor, of_labels: Tensor, precision: float) -> Tensor:
    """The lower triangular factor of a matrix, to which the labeled samples and the prior contribute."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed:
        raise InputError(
            f"Expected a prior precision of the head that is not lost in rounding beside the labeled samples', up "
            f"to {float(of_labels.diagonal().max()):.3g}, but got {precision:.3g}; set `prior_precision`."
        )
    return factor


class _Kronecker:
    """G as the product of the mean of diag p - p p' and the sum of h h', in the bases of both."""

    num_more_normals = 0

    def __init__(self, probs: Tensor, features: Tensor) -> None:
        of_classes = torch.diag(probs.mean(dim=0)) - probs.T @ probs / len(probs)
        values, self._classes = torch.linalg.eigh(of_classes)
        others, self._features = torch.linalg.eigh(features.T @ features)
        self._values = values.clamp(min=0)[:, None] * others.clamp(min=0)  # (C, D + 1)

    def log_det(self, precision: float) -> float:
        """Logarithm of the determinant of I + G / precision."""
        return float((self._values / precision).log1p().sum())

    def spread(self, noise: Tensor, precision: float) -> Tensor:
        """Maps standard normals to differences of covariance H^-1, by the symmetric root."""
        noise = noise.view(-1, *self._values.shape)
        inside = self._classes.T @ noise @ self._features / (self._values + precision).sqrt()
        return (self._classes @ inside @ self._features.T).flatten(1)
