"""Distances to nearest rows, by faiss."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

SEARCH_ROWS = 1024  # rows handed to faiss at a time


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
    """Every k-th of many rows, ``most`` at the most, to stand for all of them."""
    return rows[:: -(-len(rows) // most)]


def search(rows: Tensor, centres: Tensor, origin: Tensor, num_nearest: int = 1) -> tuple[Tensor, Tensor]:
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
