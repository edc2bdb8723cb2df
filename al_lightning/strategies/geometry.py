"""Distances between samples: to the nearest ones by faiss, among all others, and between gradient embeddings."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from al_lightning.data.arrays import ArrayLike, as_floats
from al_lightning.data.blocks import minibatches_of
from al_lightning.errors import InputError
from al_lightning.strategies.base import check_finite
from al_lightning.strategies.stacked_rows import StackedRows

SEARCH_ROWS = 1024  # rows handed to faiss at a time
NEIGHBOURS = 20
"""A sample lies as far out as its 20th nearest neighbour is away."""
REFERENCES = 2000  # rows that stand for all: 95 % of percentiles are off by less than three hundredths
BLOCK_ROWS = 2048  # of a pass over all gradient embeddings
BLOCK_CENTRES = 256  # that a pass takes at once, so that the distances of a block stay in the cache
COINCIDENT = 1e-6  # relative squared distance that may be rounding


def checked_features(embeddings: ArrayLike, labeled_embeddings: ArrayLike) -> tuple[Tensor, Tensor]:
    """Returns features of the pool and of the labeled samples on the CPU, float32 or float64 as they are.

    Args:
        embeddings: Features of the pool, shape ``(N, D)``: a tensor, an array of NumPy or nested lists.
        labeled_embeddings: Features of the labeled samples, shape ``(M, D)``, in one of these forms. If there are none,
            they may have any shape.

    Raises:
        InputError: If the shapes do not go together, or a value is not finite.
    """
    points = as_floats(embeddings, "embeddings", "(N, D)").detach().cpu()
    given = points[:0] if len(labeled_embeddings) == 0 else labeled_embeddings  # of whatever shape
    labeled = as_floats(given, "embeddings of labeled samples", "(M, D)").detach().cpu()
    if points.shape[1] != labeled.shape[1]:
        raise InputError(
            f"Expected as many features of labeled samples as of the pool, {points.shape[1]}, but got "
            f"{labeled.shape[1]}."
        )
    check_finite(points, "embeddings")
    check_finite(labeled, "embeddings of labeled samples")
    return points, labeled


def as_points(embeddings: ArrayLike, labeled_embeddings: ArrayLike) -> tuple[Tensor, Tensor]:
    """Returns features of the pool and of the labeled samples as float32 on the CPU, with the same distances.

    Args:
        embeddings: Features of the pool, shape ``(N, D)``: a tensor, an array of NumPy or nested lists. The mean of
            float64 features is taken off before they become float32.
        labeled_embeddings: Features of the labeled samples, shape ``(M, D)``, in one of these forms. If there are none,
            they may have any shape.

    Returns:
        Float32, shapes ``(N, D)`` and ``(M, D)``.

    Raises:
        InputError: If the shapes do not go together, or a value is not finite.
    """
    points, centres = checked_features(embeddings, labeled_embeddings)
    if torch.float32 == points.dtype == centres.dtype or len(points) == 0:
        return points.float(), centres.float()
    origin = points.double().mean(dim=0)  # large numbers, such as times, would be rounded to float32
    points, centres = (points - origin).float(), (centres - origin).float()
    check_finite(points, "embeddings in float32")
    check_finite(centres, "embeddings of labeled samples in float32")
    return points, centres


def nearest_sq_distances(rows: Tensor, centres: Tensor) -> Tensor:
    """Squared Euclidean distance of each row to its nearest centre.

    Args:
        rows: Float32, shape ``(R, D)``.
        centres: Float32, shape ``(K, D)``, K at least 1.

    Returns:
        Float32, shape ``(R,)``. Never negative.

    Example:
        >>> nearest_sq_distances(torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [3.0]]))
        tensor([1., 4.])
    """
    _, nearest = search(rows, centres - centres.mean(dim=0), origin=centres.mean(dim=0))
    return (rows - centres[nearest[:, 0]]).square_().sum(dim=1)


def upper_bounds(rows: Tensor, centres: Tensor) -> Tensor:
    """Upper bounds of :func:`nearest_sq_distances`, in half of its time: above them by no more than rounding.

    Args:
        rows: Float32, shape ``(R, D)``.
        centres: Float32, shape ``(K, D)``, K at least 1.

    Returns:
        Float32, shape ``(R,)``.
    """
    origin = centres.mean(dim=0)
    centres = centres - origin
    sq_distances = search(rows, centres, origin)[0][:, 0]
    # |a|^2 - 2 ab + |b|^2 is off by at most 2 D eps (|a|^2 + |b|^2), whatever the order of its sums, and |a|^2 is at
    # most 2 |b|^2 + 2 |a - b|^2; twice that, because what the bound is compared to is rounded as well
    rounding = 4 * rows.shape[1] * torch.finfo(torch.float32).eps
    return sq_distances + rounding * 3 * (centres.square().sum(dim=1).max() + sq_distances)


def kth_distances(rows: Tensor, centres: Tensor, k: int) -> Tensor:
    """Euclidean distance of each row to its k-th nearest centre.

    Args:
        rows: Float32, shape ``(R, D)``.
        centres: Float32, shape ``(K, D)``.
        k: 1 to K.

    Returns:
        Float32, shape ``(R,)``.
    """
    origin = centres.mean(dim=0)
    _, nearest = search(rows, centres - origin, origin, k)
    return (rows - centres[nearest[:, -1]]).square_().sum(dim=1).sqrt_()


def every_kth(rows: Tensor, most: int) -> Tensor:
    """Every k-th row, at most ``most`` of them, as a sample of many rows."""
    return rows[:: -(-len(rows) // most)]


def search(rows: Tensor | StackedRows, centres: Tensor, origin: Tensor, num_nearest: int = 1) -> tuple[Tensor, Tensor]:
    """Searches the nearest centres of each row.

    Args:
        rows: Shape ``(R, D)``.
        centres: Shape ``(K, D)``, relative to the origin.
        origin: In the midst of the centres, shape ``(D,)``: faiss expands ``|a - b|^2``, which cancels if all points
            are far from the origin.
        num_nearest: How many of each row, k, at most K.

    Returns:
        For each row the squared distances to its nearest centres, off by rounding, and which they are, nearest first:
        shape ``(R, k)`` each.
    """
    import faiss  # after torch: both bring an OpenMP runtime, and the other order crashes on some machines

    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(centres.numpy())

    # one result to write to: many small ones that are kept would lie between the blocks, whose memory were lost then
    shape = (len(rows), num_nearest)
    sq_distances, nearest = np.empty(shape, np.float32), np.empty(shape, np.int64)

    def search_block(start: int) -> None:
        # The idle threads of faiss's OpenMP would spin on the cores that torch's need next, and slow down the fit that
        # follows; so each call of it has one thread, and several of them run side by side.
        faiss.omp_set_num_threads(1)
        block = slice(start, start + SEARCH_ROWS)
        index.search((rows[block] - origin).numpy(), num_nearest, D=sq_distances[block], I=nearest[block])

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        list(threads.map(search_block, range(0, len(rows), SEARCH_ROWS)))
    return torch.from_numpy(sq_distances).to(rows.dtype), torch.from_numpy(nearest)


def outlier_percentiles(rows: Tensor, picks: Tensor) -> Tensor:
    """Ranks rows by the distance to their 20th nearest neighbour, among all rows.

    Args:
        rows: Features, float32, shape ``(N, D)``.
        picks: Rows to rank, int64, shape ``(b,)``.

    Returns:
        For each pick the share of rows that lie less far out, float32, shape ``(b,)``, in [0, 1]. Ties count half. The
        share is near 1 for outliers, and 0.5 on average for random picks. Of many rows, only every k-th is compared.

    Reference:
        Ramaswamy, Rastogi and Shim, "Efficient Algorithms for Mining Outliers from Large Data Sets", SIGMOD 2000.

    Example:
        >>> line = torch.cat([torch.arange(99.0), torch.tensor([1000.0])])[:, None]
        >>> outlier_percentiles(line, torch.tensor([99, 50]))
        tensor([0.9950, 0.3950])
    """
    num_nearest = min(NEIGHBOURS + 1, len(rows))  # a row is its own nearest neighbour
    usual = kth_distances(every_kth(rows, REFERENCES), rows, num_nearest).sort().values
    found = kth_distances(rows[picks], rows, num_nearest)
    below, up_to = (torch.searchsorted(usual, found, right=right) for right in (False, True))
    return (below + up_to).float() / (2 * len(usual))


class GradientEmbeddings:
    r"""Gradients of the loss with respect to the head's weights, at the predicted label, in factors.

    The gradient of sample i is the outer product of :math:`\delta_i = p_i - e_{\hat y_i}` and the features :math:`h_i`.
    Its C x D entries are never formed, because an inner product of two gradients is
    :math:`(\delta_i \cdot \delta_j)(h_i \cdot h_j)`.

    Args:
        probs: Class probabilities, shape ``(N, C)``.
        embeddings: Features, shape ``(N, D)``.
        include_bias: Whether the gradient with respect to the head's bias belongs to it, as a feature that is 1.
    """

    def __init__(self, probs: Tensor, embeddings: Tensor, include_bias: bool = False) -> None:
        predicted = probs.argmax(dim=1, keepdim=True)
        self._delta = probs.scatter_add(1, predicted, torch.full_like(probs[:, :1], -1.0))  # (N, C)
        self._features = embeddings  # (N, D)
        self._bias = float(include_bias)
        delta_sq, features_sq = (torch.linalg.vector_norm(x, dim=1).double() ** 2 for x in (self._delta, embeddings))
        self.sq_norms = delta_sq * (features_sq + self._bias)  # (N,)

    def sq_distances(self, rows: Tensor | slice, centres: Tensor) -> Tensor:
        """Squared distances of R rows to K centres, float64, shape ``(R, K)``.

        A distance that is zero up to rounding is zero: otherwise a duplicate of a centre keeps a chance to be drawn.
        """
        inner = (self._delta[rows] @ self._delta[centres].T).double()
        of_features = self._features[rows] @ self._features[centres].T
        inner *= of_features.double().add_(self._bias) if self._bias else of_features
        sum_sq = self.sq_norms[rows, None] + self.sq_norms[centres]
        distances = torch.sub(sum_sq, inner, alpha=2, out=inner)
        return distances.masked_fill_(distances < sum_sq.mul_(COINCIDENT), 0.0)

    def nearest_sq_distances(self, centres: Tensor) -> Tensor:
        """Squared distance of each row to its nearest centre, float64, shape ``(N,)``; in blocks that fit the cache."""
        nearest = torch.full_like(self.sq_norms, torch.inf)
        for some in minibatches_of(centres, BLOCK_CENTRES):  # a product with a single centre would round differently
            for start in range(0, len(nearest), BLOCK_ROWS):
                rows = slice(start, start + BLOCK_ROWS)
                torch.minimum(nearest[rows], self.sq_distances(rows, some).amin(dim=1), out=nearest[rows])
        return nearest
