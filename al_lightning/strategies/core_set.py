"""Core-Set: query so that every sample has a labeled one nearby in feature space."""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from al_lightning.inference import PoolPredictor
from al_lightning.strategies.base import QueryStrategy, check_finite, check_query_size

FIRST_CENTRES = 256  # labeled rows that bound all distances
BLOCK_ROWS = 1024  # rows that picks are made from at a time
SEARCH_ROWS = 4096  # rows handed to faiss at a time
PICKED = -1.0  # below all distances, also those of rows that coincide with a centre


def nearest_sq_distances(rows: Tensor, centres: Tensor) -> Tensor:
    """Squared Euclidean distance of each row to its nearest centre, by faiss.

    Args:
        rows: Float32, shape ``(R, D)``.
        centres: Float32, shape ``(K, D)``, K at least 1.

    Returns:
        Float32, shape ``(R,)``. Never negative.

    Example:
        >>> nearest_sq_distances(torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [3.0]]))
        tensor([1., 4.])
    """
    import faiss  # after torch: both bring an OpenMP runtime, and the other order crashes on some machines

    # faiss expands |a - b|^2, which cancels if all points are far from the origin: move that into their midst. What it
    # says of the distance is not used, only which centre is nearest; the difference itself does not cancel.
    origin = centres.mean(dim=0)
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add((centres - origin).numpy())

    def search(block: Tensor) -> Tensor:
        # The idle threads of faiss's OpenMP would spin on the cores that torch's need next, and slow down the fit that
        # follows; so each call of it has one thread, and several of them run side by side.
        faiss.omp_set_num_threads(1)
        _, nearest = index.search((block - origin).numpy(), 1)
        return (block - centres.index_select(0, torch.from_numpy(nearest[:, 0]))).square_().sum(dim=1)

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        return torch.cat(list(threads.map(search, rows.split(SEARCH_ROWS))))


def k_center_greedy(embeddings: Tensor, labeled_embeddings: Tensor, query_size: int) -> Tensor:
    """Chooses rows one after the other, each the farthest from all centres so far.

    The labeled rows are the first centres. The picks are those of the plain algorithm, which after each pick compares
    all rows with the new centre, but nearly all of that work is left out: a distance to the nearest centre only falls
    when centres are added, so a distance to some of the centres is an upper bound, and a row whose bound is below the
    largest distance known cannot be the farthest.

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

    # every stride-th labeled row bounds all rows; the others are only asked about rows that may be the farthest
    stride = -(-len(labeled_embeddings) // FIRST_CENTRES)
    bounds = nearest_sq_distances(embeddings, labeled_embeddings[::stride])  # (N,)
    checked = torch.full((len(embeddings),), stride == 1)  # rows that were compared with all labeled ones
    bounds[picks] = PICKED
    while len(picks) < query_size:
        block, outside = _split(bounds, BLOCK_ROWS)
        rows = embeddings[block]  # (R, D)
        new = ~checked[block]
        if new.any():
            bounds[block[new]] = torch.minimum(bounds[block[new]], nearest_sq_distances(rows[new], labeled_embeddings))
            checked[block] = True
        distances = bounds[block]  # (R,)
        if picks:
            distances = torch.minimum(distances, nearest_sq_distances(rows, embeddings[picks]))
        while len(picks) < query_size:
            i = int(distances.argmax())  # the first of equals, which is the lowest row
            if (-float(distances[i]), int(block[i])) > outside:
                break  # a row outside the block may be farther
            picks.append(int(block[i]))
            distances = torch.minimum(distances, (rows - rows[i]).square().sum(dim=1))
            distances[i] = PICKED
        bounds[block] = distances
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
