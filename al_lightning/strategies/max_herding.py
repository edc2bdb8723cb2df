"""MaxHerding: query so that the pool is covered by kernels around labeled samples."""

from typing import Literal

import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike, as_floats
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor
from al_lightning.strategies.ball_graph import BallGraph, cover
from al_lightning.strategies.base import QueryStrategy, check_finite, check_query_size
from al_lightning.strategies.feature_space import Features, FeatureSpace
from al_lightning.strategies.geometry import search
from al_lightning.strategies.unit_length import UnitRows, as_unit_rows

Kernel = Literal["rbf", "tophat"]

EPS = torch.finfo(torch.float32).eps
ROWS = 256  # candidates of a block of kernel values
REFERENCES = 2048  # references of one
FIRST = 64  # candidates whose bounds are renewed first in a pick
FIXED = 256  # references: to read all rows once costs as much as to compare them with so many
CLOSE = 3  # labeled samples that may be the nearest one of a reference
LAZY = 4  # new bounds of single rows may cost a fourth of lowering all bounds before that is done
EXACT = 8  # candidates whose gains are computed exactly first in a pick
SMALLEST = 1e-6  # bandwidth: in float64, distances of unit vectors are off by about 1e-8
TIE = 1e-10  # of the sum of the weights: gains that differ by less are equal


def max_herding(
    embeddings: ArrayLike,
    labeled_embeddings: ArrayLike,
    query_size: int,
    bandwidth: float = 1.0,
    kernel: Kernel = "rbf",
    weights: ArrayLike | None = None,
    references: Tensor | None = None,
) -> Tensor:
    r"""Chooses rows one after the other, each of which adds the most to how well the pool is covered.

    Features are scaled to unit length. The coverage of the pool by the labeled and chosen rows :math:`S` is

    .. math:: f(S) = \frac1N \sum_x w(x) \max_{s \in S} k(x, s)

    with :math:`k(x, s) = \exp(-(\lVert x - s \rVert / h)^2)`, or for ``tophat`` 1 within the bandwidth :math:`h` and 0
    outside. The gain of a row only falls as others are chosen. So an old gain is an upper bound, and most gains are
    never computed again. The picks are those of the plain greedy algorithm, and no N x N matrix is formed.

    Args:
        embeddings: Features of the pool, shape ``(N, D)``: a tensor, an array of NumPy or nested lists. A row of zeros
            is at distance 1 from all others.
        labeled_embeddings: Features of the labeled samples, shape ``(M, D)``, in one of these forms; of any shape if
            there are none.
        query_size: Number of rows to choose, b, 0 to N.
        bandwidth: The distance h on the unit sphere, where the largest distance is 2; at least 1e-6.
        kernel: ``rbf``, or ``tophat``, the cover of ProbCover.
        weights: Of the rows, not negative, shape ``(N,)``; 1 if not given.
        references: Rows that stand for the pool in the mean, int64, shape ``(R,)``; all if not given.

    Returns:
        Distinct rows, int64, shape ``(b,)``, in the order picked. Ties go to the lowest row. Gains are equal if they
        differ by less than :math:`10^{-10}` of the sum of the weights.

    Raises:
        InputError: If ``query_size`` is larger than N, the bandwidth is below 1e-6, a weight is negative, a value is
            not finite, or the arguments do not go together.

    Reference:
        Bae, Noh and Sutherland, "Generalized Coverage for More Robust Low-Budget Active Learning", ECCV 2024.

    Example:
        >>> angles = torch.tensor([0.0, 0.1, 0.2, 1.5])
        >>> max_herding(torch.stack([angles.cos(), angles.sin()], dim=1), [], 2, bandwidth=0.3)
        tensor([1, 3])
    """
    points, labeled = as_unit_rows(embeddings, labeled_embeddings)
    check_query_size(query_size, len(points))
    _check_kernel(bandwidth, kernel, "max_herding")
    rows = torch.arange(len(points)) if references is None else references
    sums = _as_weights(weights, len(points))[rows]
    if query_size == 0:
        return torch.empty(0, dtype=torch.int64)
    if kernel == "tophat":
        graph = BallGraph(points.whole(), bandwidth, None if references is None else rows)
        picks = cover(graph, graph.near(labeled.whole()), query_size, sums)
        return torch.tensor(picks + _others(picks, len(points), query_size))
    return _Herd(points, points if references is None else points.take(rows), labeled, sums, bandwidth).picks(
        query_size
    )


def _check_kernel(bandwidth: float, kernel: str, name: str) -> None:
    if not (isinstance(bandwidth, (int, float)) and SMALLEST <= bandwidth < float("inf")):
        raise InputError(
            f"Expected `bandwidth` of {name} to be a number of at least {SMALLEST}, but got {bandwidth!r}."
        )
    if kernel not in ("rbf", "tophat"):
        raise InputError(f"Expected `kernel` of {name} to be rbf or tophat, but got {kernel!r}.")


def _as_weights(weights: ArrayLike | None, size: int) -> Tensor:
    if weights is None:
        return torch.ones(size, dtype=torch.float64)
    result = as_floats(weights, "weights", "(N)").detach().cpu().double()
    if len(result) != size:
        raise InputError(f"Expected a weight for each of {size} rows, but got {len(result)}.")
    check_finite(result, "weights")
    if (result < 0).any():
        raise InputError(f"Expected weights that are not negative, but got {float(result.min()):.3g}.")
    return result


def _others(picks: list[int], size: int, query_size: int) -> list[int]:
    """The lowest rows that are not among the picks, as many as are missing."""
    free = torch.ones(size, dtype=torch.bool)
    free[picks] = False
    return free.nonzero().squeeze(1)[: query_size - len(picks)].tolist()


class _Herd:
    """Lazy greedy with the Gaussian kernel.

    Args:
        points: The N candidates.
        references: The R rows that are to be covered.
        labeled: The M labeled rows.
        weights: Of the references, float64, shape ``(R,)``.
        bandwidth: h.
    """

    def __init__(
        self, points: UnitRows, references: UnitRows, labeled: UnitRows, weights: Tensor, bandwidth: float
    ) -> None:
        self._points, self._references, self._weights = points, references, weights
        self._sharpness = 1 / float(bandwidth) ** 2
        blocks = [slice(start, start + REFERENCES) for start in range(0, len(references), REFERENCES)]
        norms = [references.double(block).square().sum(dim=1) for block in blocks]
        self._sq_norms = torch.cat(norms)  # (R,) 1, or 0 of a row of zeros
        self._covered = torch.zeros(len(references), dtype=torch.float64)  # (R,)
        if len(labeled):
            centres = labeled.whole()
            for block in blocks:  # of a few that are the nearest in float32, the nearest in float64
                rows = references.double(block)
                origin = centres.mean(dim=0)
                _, nearest = search(rows.float(), centres - origin, origin, min(CLOSE, len(centres)))
                sq_distances = (rows[:, None] - labeled.double(nearest.flatten()).view(*nearest.shape, -1)).square()
                self._covered[block] = (-self._sharpness * sq_distances.sum(dim=2).amin(dim=1)).exp()
        # |a|^2 - 2 ab + |b|^2 of unit vectors is off by less than 2 (D + 3) eps, whatever the order of its sums
        self._slack = 2 * (points.dim + 8) * EPS * self._sharpness + 4 * EPS
        everything = torch.arange(len(points))
        self._bounds = self._upper_bounds(everything)  # (N,) of the gains, at some time before
        self._is_new = torch.ones(len(points), dtype=torch.bool)  # bounds that hold since the last pick
        self._synced = self._bounds.clone()  # (N,) upper bounds of all gains when the coverage was as follows
        self._covered_then = self._covered.clone()

    def picks(self, query_size: int) -> Tensor:
        """Picks rows; see :func:`max_herding`."""
        tie = TIE * float(self._weights.sum())
        picks: list[int] = []
        while len(picks) < query_size:
            pick = self._best(tie)
            picks.append(pick)
            self._bounds[pick] = self._synced[pick] = -torch.inf
            reached = self._kernel(torch.tensor([pick]), slice(None))[0]
            if (reached > self._covered).any():
                self._is_new.fill_(False)
            torch.maximum(self._covered, reached, out=self._covered)
        return torch.tensor(picks)

    def _best(self, tie: float) -> int:
        """Finds the row of the largest gain. Ties go to the lowest row."""
        bounds = self._bounds
        if bounds.max() <= tie:  # all is covered, and all gains are equal
            return int((bounds > -torch.inf).nonzero()[0])
        is_exact = torch.zeros(len(bounds), dtype=torch.bool)
        changed = int((self._covered > self._covered_then).sum())
        # so many new bounds cost a part of what it costs to change all bounds by what the last picks covered
        most_new = len(bounds) * (changed + FIXED) // (LAZY * len(self._covered))
        best, size, num_exact = -torch.inf, FIRST, EXACT
        while True:
            # rows that may be as good as the best one so far
            rows = ((bounds >= best - tie) & (bounds > -torch.inf) & ~is_exact).nonzero().squeeze(1)
            if len(rows) == 0:
                return int((is_exact & (bounds >= best - tie)).nonzero()[0])
            rows = rows[bounds[rows].topk(min(size, len(rows))).indices]  # highest bounds first
            old = rows[~self._is_new[rows]]
            if len(old) > most_new:
                self._lower_all_bounds()
                continue
            if len(old):
                bounds[old] = torch.minimum(bounds[old], self._upper_bounds(old))
                self._is_new[old] = True
                most_new -= len(old)
                size *= 2
            rows = rows[bounds[rows].topk(min(num_exact, len(rows))).indices]
            num_exact = min(2 * num_exact, ROWS)
            bounds[rows] = self._gains(rows)
            is_exact[rows] = True
            best = max(best, float(bounds[rows].max()))

    def _lower_all_bounds(self) -> None:
        """Takes from all bounds what picks have covered since the last time: only of references whose coverage rose."""
        changed = (self._covered > self._covered_then).nonzero().squeeze(1)
        before, now = self._covered_then[changed], self._covered[changed]
        weights = self._weights[changed]
        falls = self._sums(torch.arange(len(self._points)), changed, -self._slack, before, now, weights)
        self._synced -= (falls * (1 - (REFERENCES + 8) * EPS) - 4 * EPS * float(weights.sum())).clamp_(min=0)
        self._covered_then = self._covered.clone()
        torch.minimum(self._bounds, self._synced, out=self._bounds)
        self._is_new.fill_(True)

    def _upper_bounds(self, rows: Tensor) -> Tensor:
        """Upper bounds of the gains of K rows, float64, shape ``(K,)``: above the gains by no more than rounding."""
        bounds = self._sums(rows, slice(None), self._slack, self._covered, None, self._weights)
        return bounds * (1 + (REFERENCES + 8) * EPS)

    def _sums(
        self,
        rows: Tensor,
        references: Tensor | slice,
        slack: float,
        before: Tensor,
        now: Tensor | None,
        weights: Tensor,
    ) -> Tensor:
        """Sums over references, in float32, by how much kernel values are above a coverage.

        Args:
            rows: Rows of the kernel values, int64, shape ``(K,)``.
            references: Which references, R of them.
            slack: Is added to the logarithm of kernel values.
            before: The coverage, float64, shape ``(R,)``.
            now: Kernel values that are larger count as this, float64, shape ``(R,)``.
            weights: Of the references, float64, shape ``(R,)``.
        """
        targets, offsets = self._references[references], (-self._sharpness * self._sq_norms[references]).float()
        # never above the coverage, so that rounding it makes no sum smaller
        before, now, weights = before.float() * (1 - EPS), None if now is None else now.float(), weights.float()
        sums = torch.zeros(len(rows), dtype=torch.float64)
        for start in range(0, len(rows), ROWS):
            points = self._points[rows[start : start + ROWS]]
            own = slack - self._sharpness * points.square().sum(dim=1, keepdim=True)
            scaled = (2 * self._sharpness) * points
            for i in range(0, len(targets), REFERENCES):
                block = slice(i, i + REFERENCES)
                values = torch.addmm(offsets[block], scaled, targets[block].T)  # (rows, references)
                values.add_(own).clamp_(max=0).exp_()
                if now is not None:
                    torch.minimum(values, now[block], out=values)
                sums[start : start + ROWS] += values.sub_(before[block]).relu_() @ weights[block]
        return sums

    def _gains(self, rows: Tensor) -> Tensor:
        """Gains of K rows, float64, shape ``(K,)``."""
        gains = torch.zeros(len(rows), dtype=torch.float64)
        for start in range(0, len(self._covered), REFERENCES):
            block = slice(start, start + REFERENCES)
            gains += self._kernel(rows, block).sub_(self._covered[block]).relu_() @ self._weights[block]
        return gains

    def _kernel(self, rows: Tensor, block: slice) -> Tensor:
        """Kernel values of K rows and some references, float64."""
        points = self._points.double(rows)
        inner = points @ self._references.double(block).T
        sq_distances = points.square().sum(dim=1, keepdim=True) + self._sq_norms[block] - 2 * inner
        return sq_distances.clamp_(min=0).mul_(-self._sharpness).exp_()


class MaxHerding(QueryStrategy):
    """Queries so that the pool is covered by kernels around labeled samples in feature space.

    It looks at no label and no prediction. So it also chooses the first samples of a run.

    Args:
        bandwidth: Of the kernel, a distance between features of unit length.
        kernel: ``rbf``, or ``tophat``, the cover of ProbCover.
        reference_size: The coverage is a mean over so many samples of the pool, drawn for each query; None for all.
        features: The space of the distances. ``penultimate`` features of the model, without dropout; the ``inputs`` as
            the model gets them; or the outputs of another network.

    Raises:
        InputError: If an argument is out of its range.

    Reference:
        Bae, Noh and Sutherland, "Generalized Coverage for More Robust Low-Budget Active Learning", ECCV 2024.
    """

    needs_predictions = False

    def __init__(
        self,
        bandwidth: float = 1.0,
        kernel: Kernel = "rbf",
        reference_size: int | None = 10_000,
        features: Features = "penultimate",
    ) -> None:
        _check_kernel(bandwidth, kernel, "MaxHerding")
        check_reference_size(reference_size, "MaxHerding")
        self._space = FeatureSpace(features, "MaxHerding")
        self.bandwidth = bandwidth
        self.kernel: Kernel = kernel
        self.reference_size = reference_size
        self.features = features

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        check_query_size(query_size, len(pool))
        if query_size == 0:
            return torch.empty(0, dtype=torch.int64)
        embeddings, labeled = self._space.of_pool(pool), self._space.of_labeled(pool)
        references = draw_references(len(pool), self.reference_size, generator)
        return max_herding(embeddings, labeled, query_size, self.bandwidth, self.kernel, references=references)


def check_reference_size(reference_size: int | None, name: str) -> None:
    """Raises :class:`InputError` unless it is None or at least 1."""
    if reference_size is not None and (not hasattr(reference_size, "__index__") or reference_size < 1):
        raise InputError(
            f"Expected `reference_size` of {name} to be an integer of at least 1, or null for all samples, but got "
            f"{reference_size!r}."
        )


def draw_references(size: int, reference_size: int | None, generator: torch.Generator) -> Tensor | None:
    """Draws rows that stand for the pool, ascending; None for all of them."""
    if reference_size is None or size <= reference_size:
        return None
    return torch.randperm(size, generator=generator)[:reference_size].sort().values
