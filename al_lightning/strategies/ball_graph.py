"""BallGraph: which rows lie within a radius of which, and the greedy cover by their balls."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from al_lightning.errors import InputError
from al_lightning.strategies.geometry import SEARCH_ROWS, every_kth

INSIDE = 1 + 1e-6  # a distance that is above the radius by no more is rounding
TINY = 1e-30
MOST_PAIRS = 2**29
"""Most pairs of rows that are kept, 4 bytes each."""
SAMPLE = 1000  # rows that say how many pairs there are
UNITS = 2**30  # in which weights are counted, of the largest: sums of whole numbers have no rounding


class BallGraph:
    """For each reference, the rows within a radius of it.

    Args:
        points: Float32, shape ``(N, D)``.
        radius: Euclidean. A row at exactly this distance is inside.
        references: Rows that are to be covered, int64, shape ``(R,)``; all if not given.

    Raises:
        InputError: If there are too many pairs for the memory.
    """

    def __init__(self, points: Tensor, radius: float, references: Tensor | None = None) -> None:
        self._points = points
        self._origin = points.mean(dim=0)
        self._radius = float(radius)
        self._references = references
        self._targets = points if references is None else points[references]
        self._check_number_of_pairs()
        counts, self._rows = self._search(self._targets)
        self._starts = torch.zeros(len(counts) + 1, dtype=torch.int64)
        torch.cumsum(counts, 0, out=self._starts[1:])

    def __len__(self) -> int:
        """Number of references, R."""
        return len(self._targets)

    @property
    def num_rows(self) -> int:
        """Number of rows, N."""
        return len(self._points)

    def around(self, references: Tensor) -> tuple[Tensor, Tensor]:
        """Finds the rows within the radius of references.

        Returns:
            The rows of all of them, one reference after the other, int32, and the number of rows of each, int64.
        """
        counts = self._starts[references + 1] - self._starts[references]
        firsts = self._starts[references] - (counts.cumsum(0) - counts)
        return self._rows[torch.arange(int(counts.sum())) + firsts.repeat_interleave(counts)], counts

    def near_row(self, row: int) -> Tensor:
        """References within the radius of a row, int64."""
        if self._references is None:  # the graph is symmetric
            return self._rows[int(self._starts[row]) : int(self._starts[row + 1])].long()
        return self._inside((self._targets - self._points[row]).double()).nonzero().squeeze(1)

    def near(self, centres: Tensor) -> Tensor:
        """Whether each reference is within the radius of any of other points, bool, shape ``(R,)``.

        Args:
            centres: Float32, shape ``(M, D)``.
        """
        result = torch.zeros(len(self), dtype=torch.bool)
        for start in range(0, len(centres), SEARCH_ROWS):
            open_ = (~result).nonzero().squeeze(1)
            if len(open_) == 0:
                break
            block = centres[start : start + SEARCH_ROWS]
            counts, _ = _pairs(self._targets[open_], block, self._origin, self._radius)
            result[open_[counts > 0]] = True
        return result

    def _inside(self, differences: Tensor) -> Tensor:
        return differences.square().sum(dim=1).sqrt() <= self._radius * INSIDE

    def _search(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return _pairs(rows, self._points, self._origin, self._radius)

    def _check_number_of_pairs(self) -> None:
        if len(self) * len(self._points) <= MOST_PAIRS:
            return
        sample = every_kth(self._targets, SAMPLE)
        found = int(self._search(sample)[0].sum()) * (len(self) / len(sample))
        if found > MOST_PAIRS:
            raise InputError(
                f"Expected a radius within which at most {MOST_PAIRS:,} pairs of samples lie, which take "
                f"{4 * MOST_PAIRS / 2**30:.0f} GiB, but got {self._radius:.3g}, which has about {found:.2g}: take a "
                "smaller radius, or fewer samples."
            )


def _pairs(rows: Tensor, points: Tensor, origin: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Finds the points within the radius of each row.

    Returns:
        The number of points of each row, int64, shape ``(R,)``, and the points, ascending in each row, int32.
    """
    import faiss  # after torch: see geometry.search

    index = faiss.IndexFlatL2(points.shape[1])
    centred = points - origin
    index.add(centred.numpy())
    # faiss expands |a - b|^2, whose rounding grows with the norms; pairs in doubt are computed from their differences
    largest = float(centred.square().sum(dim=1).max()) if len(points) else 0.0
    rounding = 8 * points.shape[1] * torch.finfo(torch.float32).eps

    def search_block(start: int) -> tuple[np.ndarray, np.ndarray]:
        faiss.omp_set_num_threads(1)  # see geometry.search
        block = rows[start : start + SEARCH_ROWS] - origin
        slack = rounding * (largest + float(block.square().sum(dim=1).max()))
        # faiss leaves out what is exactly at the radius, which may be 0
        limits, sq_distances, found = index.range_search(block.numpy(), radius**2 * INSIDE**2 + slack + TINY)
        counts = np.diff(limits.astype(np.int64))
        of_row = np.repeat(np.arange(len(counts)), counts)
        keep = np.ones(len(found), bool)
        doubtful = np.nonzero(sq_distances > radius**2 - slack)[0]
        for some in np.array_split(doubtful, len(doubtful) // SEARCH_ROWS + 1):
            a, b = rows[start + of_row[some]], points[found[some]]
            keep[some] = ((a.double() - b.double()).square_().sum(dim=1).sqrt_() <= radius * INSIDE).numpy()
        of_row, found = of_row[keep], found[keep].astype(np.int32)
        order = np.lexsort((found, of_row))
        return np.bincount(of_row, minlength=len(counts)), found[order]

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        results = list(threads.map(search_block, range(0, len(rows), SEARCH_ROWS)))
    if not results:
        return torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int32)
    counts, found = (np.concatenate(parts) for parts in zip(*results, strict=True))
    return torch.from_numpy(counts), torch.from_numpy(found)


def cover(
    graph: BallGraph, covered: Tensor, query_size: int, weights: Tensor | None = None, taken: list[int] | None = None
) -> list[int]:
    """Picks rows whose balls cover the largest weight of references that are not covered, until all are.

    Args:
        graph: Of R references and N rows.
        covered: References that are covered from the start, bool, shape ``(R,)``.
        query_size: Most picks.
        weights: Of the references, not negative, float64, shape ``(R,)``; 1 if not given.
        taken: Rows that cannot be picked.

    Returns:
        Distinct rows in the order picked. Ties go to the lowest row.
    """
    units = torch.ones(len(graph), dtype=torch.float64)
    if weights is not None and (weights > 0).any():
        # by a power of two, so that weights such as 0.25 stay as they are
        units = (weights * (UNITS / 2.0 ** float(weights.max().frexp().exponent))).round()
    elif weights is not None:
        units = weights
    open_ = ~covered
    gains = _weight_around(graph, open_.nonzero().squeeze(1), units)  # (N,) of whole numbers, which are exact
    gains[taken or []] = -1
    result: list[int] = []
    while len(result) < query_size:
        pick = int(gains.argmax())  # the first of equals, which is the lowest row
        if gains[pick] <= 0:
            break
        result.append(pick)
        new = graph.near_row(pick)
        new = new[open_[new]]
        open_[new] = False
        gains -= _weight_around(graph, new, units)
        gains[result + (taken or [])] = -1
    return result


def _weight_around(graph: BallGraph, references: Tensor, units: Tensor) -> Tensor:
    """The weight of some references within the radius of each row, float64, shape ``(N,)``."""
    total = torch.zeros(graph.num_rows, dtype=torch.float64)
    for some in references.split(SEARCH_ROWS):
        rows, counts = graph.around(some)
        total += torch.bincount(rows, weights=units[some].repeat_interleave(counts), minlength=graph.num_rows)
    return total
