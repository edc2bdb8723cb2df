"""Core-Set: query so that every sample has a labeled one nearby in feature space."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from al_lightning.inference import PoolPredictor
from al_lightning.strategies.base import QueryStrategy, check_finite, check_query_size

FIRST_CENTRES = 256  # labeled rows that bound all distances
BLOCK_ROWS = 1024  # rows that picks are made from at a time
MOST_ROWS = 2**14  # after growing, where distances tell little
SEARCH_ROWS = 1024  # rows handed to faiss at a time
PICKED = -1.0  # below all distances, also those of rows that coincide with a centre


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
    _, nearest = _search(rows, centres - centres.mean(dim=0), origin=centres.mean(dim=0))
    return (rows - centres[nearest]).square_().sum(dim=1)


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
    sq_distances, _ = _search(rows, centres, origin)
    # |a|^2 - 2 ab + |b|^2 is off by at most 2 D eps (|a|^2 + |b|^2), whatever the order of its sums, and |a|^2 is at
    # most 2 |b|^2 + 2 |a - b|^2; twice that, because what the bound is compared to is rounded as well
    rounding = 4 * rows.shape[1] * torch.finfo(torch.float32).eps
    return sq_distances + rounding * 3 * (centres.square().sum(dim=1).max() + sq_distances)


def _search(rows: Tensor, centres: Tensor, origin: Tensor) -> tuple[Tensor, Tensor]:
    """Searches the nearest centre of each row, by faiss.

    Args:
        rows: Shape ``(R, D)``.
        centres: Shape ``(K, D)``, relative to the origin.
        origin: In the midst of the centres, shape ``(D,)``: faiss expands ``|a - b|^2``, which cancels if all points
            are far from the origin.

    Returns:
        For each row the squared distance to its nearest centre, off by rounding, and which centre that is.
    """
    import faiss  # after torch: both bring an OpenMP runtime, and the other order crashes on some machines

    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(centres.numpy())

    # one result to write to: many small ones that are kept would lie between the blocks, whose memory were lost then
    sq_distances, nearest = np.empty((len(rows), 1), np.float32), np.empty((len(rows), 1), np.int64)

    def search(start: int) -> None:
        # The idle threads of faiss's OpenMP would spin on the cores that torch's need next, and slow down the fit that
        # follows; so each call of it has one thread, and several of them run side by side.
        faiss.omp_set_num_threads(1)
        block = slice(start, start + SEARCH_ROWS)
        index.search((rows[block] - origin).numpy(), 1, D=sq_distances[block], I=nearest[block])

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        list(threads.map(search, range(0, len(rows), SEARCH_ROWS)))
    return torch.from_numpy(sq_distances[:, 0]).to(rows.dtype), torch.from_numpy(nearest[:, 0])


def k_center_greedy(embeddings: Tensor, labeled_embeddings: Tensor, query_size: int) -> Tensor:
    """Chooses rows one after the other, each the farthest from all centres so far.

    The labeled rows are the first centres. The picks are those of the plain algorithm, which after each pick compares
    all rows with the new centre, but nearly all of that work is left out: a distance to the nearest centre only falls
    when centres are added, so a distance to some of the centres is an upper bound, and a row whose bound is below the
    largest distance known cannot be the farthest. Rounding is the limit: of two centres whose squared distances differ
    by less than a millionth of the squared spread of all rows, either may count as the nearest.

    Args:
        embeddings: Features of the pool, float32, shape ``(N, D)``.
        labeled_embeddings: Features of the labeled samples, float32, shape ``(M, D)``. If there are none, the row
            nearest to the mean is picked first.
        query_size: Number of rows to choose, b, 0 to N.

    Returns:
        Distinct rows, int64, shape ``(b,)``, in the order picked. Ties go to the lowest row; rows that coincide with
        centres come last.

    Raises:
        InputError: If ``query_size`` is larger than N, or a value is not finite.

    Example:
        >>> line = torch.arange(1.0, 11.0)[:, None]
        >>> k_center_greedy(line, torch.zeros(1, 1), 3) + 1  # farthest is 10, then 5, then 2 of the tie 2, 3, 7, 8
        tensor([10,  5,  2])
    """
    check_query_size(query_size, len(embeddings))
    check_finite(embeddings, "embeddings")
    check_finite(labeled_embeddings, "embeddings of labeled samples")
    if query_size == 0:
        return torch.empty(0, dtype=torch.int64)
    picks: list[int] = []
    if len(labeled_embeddings) == 0:
        picks.append(int((embeddings - embeddings.mean(dim=0)).square().sum(dim=1).argmin()))
        labeled_embeddings = embeddings[picks]

    # every stride-th labeled row bounds all rows; all labeled rows are only asked about rows that may be the farthest
    stride = -(-len(labeled_embeddings) // FIRST_CENTRES)
    bounds = upper_bounds(embeddings, labeled_embeddings[::stride])  # (N,)
    checked = torch.zeros(len(embeddings), dtype=torch.bool)  # rows that were compared with all labeled ones
    bounds[picks] = PICKED
    size = BLOCK_ROWS
    while len(picks) < query_size:
        block, outside = _split(bounds, size)
        rows = embeddings[block]  # (R, D)
        new = ~checked[block]
        if new.any():
            bounds[block[new]] = torch.minimum(bounds[block[new]], nearest_sq_distances(rows[new], labeled_embeddings))
            checked[block] = True
        distances = bounds[block]  # (R,)
        if picks:
            distances = torch.minimum(distances, nearest_sq_distances(rows, embeddings[picks]))
        num_before = len(picks)
        while len(picks) < query_size:
            i = int(distances.argmax())  # the first of equals, which is the lowest row
            if (-float(distances[i]), int(block[i])) > outside:
                break  # a row outside the block may be farther
            picks.append(int(block[i]))
            distances = torch.minimum(distances, (rows - rows[i]).square().sum(dim=1))
            distances[i] = PICKED
        bounds[block] = distances
        # where rows coincide by the thousand, distances are all the same and bounds tell nothing
        size = BLOCK_ROWS if len(picks) > num_before else min(2 * size, MOST_ROWS)
    return torch.tensor(picks)


def _split(bounds: Tensor, size: int) -> tuple[Tensor, tuple[float, int]]:
    """Splits rows by their bounds.

    Returns:
        The rows of the ``size`` highest bounds, ascending, of equals the lowest; and of the best row that is left, the
        negated bound and the row: smaller comes first in the greedy order.
    """
    if size >= len(bounds):
        return torch.arange(len(bounds)), (torch.inf, 0)
    order = bounds.argsort(descending=True, stable=True)
    best_left = int(order[size])
    return order[:size].sort().values, (-float(bounds[best_left]), best_left)


class CoreSet(QueryStrategy):
    """Queries by k-center greedy from the labeled set: each pick is the sample farthest from all labeled ones.

    Distances are Euclidean, between penultimate features without dropout.

    Reference:
        Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", ICLR 2018.
    """

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        check_query_size(query_size, len(pool))
        if query_size == 0:
            return torch.empty(0, dtype=torch.int64)
        return k_center_greedy(pool.embeddings(), pool.labeled_embeddings(), query_size)
