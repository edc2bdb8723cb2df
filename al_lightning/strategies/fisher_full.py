"""Rows of Fisher information of rank C - 1: what each takes off tr(M^-1 F), and greedy choices by it."""

from collections.abc import Iterator

import torch
from torch import Tensor

from al_lightning.errors import InputError
from al_lightning.inference.fisher_information import fisher_information
from al_lightning.strategies.base import check_finite
from al_lightning.strategies.fisher import MOST_NOISE, TIE, first_of_largest, inverse

BLOCK_VALUES = 2**21  # of float64, of a block of rows
FIRST_ROWS = 1024  # rows of which the falls are computed to bound all others
MOST_GIB = 4.0
EPS = torch.finfo(torch.float64).eps


def check_memory(num_rows: int, num_classes: int, num_features: int) -> None:
    """Raises :class:`InputError` if the matrices of :class:`FullTraceFalls` take more than 4 GiB.

    They are two of (C - 1) x (C - 1) for each row, and six of C D x C D, of 8 bytes a value.
    """
    gib = 8 * (2 * num_rows * (num_classes - 1) ** 2 + 6 * (num_classes * num_features) ** 2) / 2**30
    if gib > MOST_GIB:
        raise InputError(
            f"Expected `form` of BAIT to be binary for {num_rows} samples of {num_classes} classes and {num_features} "
            f"features, because the matrices of the full form take {gib:.1f} GiB, more than {MOST_GIB:g} GiB, but got "
            "full."
        )


class FullRows:
    r"""Blocks V, of which each is :math:`S \otimes h^\top` with :math:`S^\top S = \mathrm{diag}(p) - p p^\top`.

    S has C - 1 rows. With :math:`s = \sqrt p`, the matrix is
    :math:`\mathrm{diag}(s) (I - s s^\top) \mathrm{diag}(s)`. A reflection takes s to the last unit vector. Its other
    columns are a basis of the space orthogonal to s.

    Args:
        probs: Class probabilities p, shape ``(N, C)``. They are divided by their sum.
        features: h, shape ``(N, D)``.
    """

    def __init__(self, probs: Tensor, features: Tensor) -> None:
        self.probs = probs
        self.features = features
        num_values = probs.shape[1] * max(probs.shape[1], features.shape[1])
        self._block_rows = max(1, BLOCK_VALUES // num_values)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def rank(self) -> int:
        """C - 1."""
        return self.probs.shape[1] - 1

    def only(self, rows: Tensor) -> "FullRows":
        """Some of the rows, as rows of their own."""
        return FullRows(self.probs[rows], self.features[rows])

    def blocks(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """All rows in blocks: place, S of shape ``(n, C - 1, C)``, and h of shape ``(n, D)``, float64."""
        for start in range(0, len(self), self._block_rows):
            block = slice(start, start + self._block_rows)
            yield block, self.roots(block), self.features[block].double()

    def roots(self, rows: slice | Tensor) -> Tensor:
        """S of some rows, float64, shape ``(n, C - 1, C)``."""
        p = self._normalized(rows)
        s = p.sqrt()
        toward = s.clone()  # s + e_C, along which the reflection goes
        toward[:, -1] += 1
        basis = torch.eye(self.rank + 1, dtype=torch.float64)[:-1] - (
            (s[:, :-1] / (1 + s[:, -1:]))[:, :, None] * toward[:, None, :]
        )
        return basis * s[:, None, :]

    def at(self, row: int) -> Tensor:
        """V of a row, float64, shape ``(C - 1, C * D)``."""
        roots = self.roots(slice(row, row + 1))[0]
        return (roots[:, :, None] * self.features[row].double()).flatten(1)

    def information(self) -> Tensor:
        """The sum of V^T V over all rows, float64, shape ``(C * D, C * D)``."""
        total = fisher_information(self._normalized(slice(None)), self.features)
        check_finite(total, "Fisher information")  # finite features may be too large to square
        return total

    def trace_falls(self, m: Tensor, f: Tensor) -> "FullTraceFalls":
        """What the rows take off tr(M^-1 F)."""
        return FullTraceFalls(self, m, f)

    def _normalized(self, rows: slice | Tensor) -> Tensor:
        p = self.probs[rows].double().clamp(min=0)
        return p / p.sum(dim=1, keepdim=True)


class FullTraceFalls:
    r"""How far tr(M^-1 F) falls where a block V is added to M, or how far it rises where one is removed.

    With :math:`A = M^{-1}`, :math:`G = A F A`, :math:`a = V A V^\top` and :math:`b = V G V^\top`, a block takes
    :math:`\mathrm{tr}((I + a)^{-1} b)` off the trace, and its removal adds :math:`\mathrm{tr}((I - a)^{-1} b)`.

    Args:
        rows: The rows.
        m: M, symmetric and positive definite, float64, shape ``(C * D, C * D)``.
        f: F, symmetric and positive semidefinite, float64, shape ``(C * D, C * D)``.
    """

    def __init__(self, rows: FullRows, m: Tensor, f: Tensor) -> None:
        self._rows = rows
        self.m = m
        """M with the rows added so far."""
        self._f = f
        self._out = torch.zeros(len(rows), dtype=torch.bool)
        self._compute()

    def _compute(self) -> None:
        self._inverse = inverse(self.m)
        self._g = self._inverse @ self._f @ self._inverse
        shape = (len(self._rows), self._rows.rank, self._rows.rank)
        self._a, self._b = (torch.empty(shape, dtype=torch.float64) for _ in range(2))
        for block, roots, h in self._rows.blocks():
            for matrix, result in ((self._inverse, self._a), (self._g, self._b)):
                result[block] = roots @ _between_classes(matrix, h) @ roots.mT
        self._largest_a, self._largest_b = (
            float(_traces(matrices).masked_fill_(self._out, 0.0).max()) for matrices in (self._a, self._b)
        )
        self._is_fresh = True

    def add(self, num_picks: int) -> Tensor:
        """Adds rows to M, one after the other, each the one that takes most off the trace.

        Returns:
            Distinct rows, int64, shape ``(num_picks,)``, in the order of picks. Ties go to the lowest row.
        """
        picks: list[int] = []
        while len(picks) < num_picks:
            falls = self._falls()
            if self._is_noisy(float(falls.max())):
                self._compute()
                falls = self._falls()
            picks.append(first_of_largest(falls))
            self._change(picks[-1], 1.0)
        return torch.tensor(picks, dtype=torch.int64)

    def remove(self, num_rows: int) -> Tensor:
        """Removes rows from M, which all are part of M, each the one whose removal adds least to the trace.

        Returns:
            Which rows are left, bool, shape ``(N,)``. Of ties, the highest row is removed.
        """
        eye = torch.eye(self._rows.rank, dtype=torch.float64)
        for _ in range(num_rows):
            factors, failed = torch.linalg.cholesky_ex(eye - self._a)
            rises = (torch.cholesky_inverse(factors) * self._b).sum(dim=(1, 2))
            # I - a is positive definite; if rounding leaves it singular, the row is the only one in some direction
            rises[self._out | (failed > 0)] = torch.inf
            self._change(int((rises <= float(rises.min()) * (1 + TIE)).nonzero()[-1]), -1.0)
        return ~self._out

    def _falls(self) -> Tensor:
        """The falls of all rows that may be the largest; bounds of them, which are smaller, for all other rows."""
        bounds = _traces(self._b).clamp_(min=0).masked_fill_(self._out, -1.0)  # I + a is at least I
        falls = bounds.clone()
        first = bounds.topk(min(FIRST_ROWS, len(bounds))).indices
        falls[first] = self._falls_of(first)
        largest = float(falls[first].max())
        left = bounds >= largest * (1 - TIE)
        left[first] = False
        for rows in left.nonzero().squeeze(1).split(2**14):
            falls[rows] = self._falls_of(rows)
        return falls

    def _falls_of(self, rows: Tensor) -> Tensor:
        eye = torch.eye(self._rows.rank, dtype=torch.float64)
        falls = (torch.linalg.inv(eye + self._a[rows]).mT * self._b[rows]).sum(dim=(1, 2)).clamp_(min=0)
        return falls.masked_fill_(self._out[rows], -1.0)

    def _change(self, row: int, sign: float) -> None:
        """M becomes M + sign * V^T V."""
        v = self._rows.at(row)  # (r, C D)
        av, gv = self._inverse @ v.T, self._g @ v.T  # (C D, r)
        step = torch.linalg.inv(sign * torch.eye(len(v), dtype=torch.float64) + self._a[row])
        step = (step + step.T) / 2
        half = 0.5 * step @ self._b[row]
        along = torch.cat([_by_features(av, self._rows), _by_features(gv, self._rows)], dim=1)  # (D, 2 C r)
        for block, roots, h in self._rows.blocks():
            products = (h @ along).view(len(h), 2, self._rows.rank + 1, -1)
            c, d = roots @ products[:, 0], roots @ products[:, 1]
            stepped = c @ step
            self._a[block] -= stepped @ c.mT
            change = stepped @ (d - c @ half).mT
            self._b[block] -= change + change.mT
        self.m.addmm_(v.T, v, alpha=sign)
        stepped = av @ step
        self._inverse.addmm_(stepped, av.T, alpha=-1)
        change = stepped @ (gv - av @ half).T
        self._g -= change + change.T
        self._out[row] = True
        self._is_fresh = False

    def _is_noisy(self, fall: float) -> bool:
        """Whether what rounding has left in a and b since they were computed could decide between rows."""
        return not self._is_fresh and EPS * (self._largest_b + fall * self._largest_a) > MOST_NOISE * fall


def _between_classes(matrix: Tensor, h: Tensor) -> Tensor:
    """h^T X h for the D x D part X of each two classes, shape ``(n, C, C)``."""
    num_features = h.shape[1]
    num_classes = len(matrix) // num_features
    result = torch.empty(len(h), num_classes, num_classes, dtype=torch.float64)
    for c, part in enumerate(matrix.view(num_classes, num_features, -1)):
        products = (h @ part[:, : (c + 1) * num_features]).view(len(h), c + 1, num_features)
        values = (products * h[:, None]).sum(dim=2)
        result[:, c, : c + 1] = values
        result[:, : c + 1, c] = values  # the matrix is symmetric
    return result


def _by_features(columns: Tensor, rows: FullRows) -> Tensor:
    """Turns columns of C D values, shape ``(C * D, r)``, into shape ``(D, C * r)``."""
    num_features = rows.features.shape[1]
    return columns.view(-1, num_features, rows.rank).transpose(0, 1).reshape(num_features, -1)


def _traces(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=1, dim2=2).sum(dim=1)
