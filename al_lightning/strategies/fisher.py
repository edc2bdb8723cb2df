"""Rows of Fisher information of rank one: what each takes off tr(M^-1 F), and greedy choices by it."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from al_lightning.errors import InputError
from al_lightning.strategies.base import check_finite

BLOCK_ROWS = 2048  # rows that are float64 at a time
AHEAD = 32  # picks that are guessed before all rows are asked
AHEAD_VALUES = 2**25  # products of all rows with these picks, 256 MiB
NEAR = 1024  # rows among which picks are guessed
TIE = 1e-9  # falls that differ by less are equal: rounding must not decide between duplicates
EPS = torch.finfo(torch.float64).eps
MOST_NOISE = 1e-10  # relative rounding of the largest fall; with more, all are computed from M again


class Rows:
    """Rows u = sqrt(w) h. They are made in blocks of float64, and never all at once.

    Args:
        weights: w, at least 0, shape ``(N,)``.
        features: h, shape ``(N, D)``.
    """

    def __init__(self, weights: Tensor, features: Tensor) -> None:
        self.weights = weights.double()
        self.features = features
        self._roots = self.weights.sqrt()

    def __len__(self) -> int:
        return len(self.features)

    def at(self, rows: slice | Tensor) -> Tensor:
        """Some of the rows, float64."""
        return self.features[rows].double() * self._roots[rows, None]  # never in place: double() may be a view

    def only(self, rows: Tensor) -> "Rows":
        """Some of the rows, as rows of their own."""
        return Rows(self.weights[rows], self.features[rows])

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """All rows in blocks, each with its place."""
        for start in range(0, len(self), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            yield block, self.at(block)

    def information(self) -> Tensor:
        """The sum of u u^T over all rows, float64, shape ``(D, D)``."""
        total = torch.zeros(self.features.shape[1], self.features.shape[1], dtype=torch.float64)
        for _, u in self.blocks():
            total.addmm_(u.T, u)
        check_finite(total, "Fisher information")  # finite features may be too large to square
        return total

    def trace_falls(self, m: Tensor, f: Tensor) -> "TraceFalls":
        """What the rows take off tr(M^-1 F)."""
        return TraceFalls(self, m, f)


class Change(NamedTuple):
    """The change of ``A = M^-1`` and ``G = A F A`` where M becomes M + sign * u u^T."""

    av: Tensor
    """A u, shape ``(D,)``."""
    gv: Tensor
    """G u, shape ``(D,)``."""
    step: float
    """sign / (1 + sign * u^T A u)."""
    second: float
    """u^T G u."""


class TraceFalls:
    r"""How far tr(M^-1 F) falls where a row is added to M, or how far it rises where a row is removed.

    With :math:`A = M^{-1}`, :math:`G = A F A`, :math:`a = u^\top A u` and :math:`b = u^\top G u`, a row u takes
    :math:`b / (1 + a)` off the trace, and its removal adds :math:`b / (1 - a)`. Each change of M is of rank one. So two
    products of all rows with a vector bring a and b up to date.

    Args:
        rows: The rows.
        m: M, symmetric and positive definite, float64, shape ``(D, D)``.
        f: F, symmetric and positive semidefinite, float64, shape ``(D, D)``.
    """

    def __init__(self, rows: Rows, m: Tensor, f: Tensor) -> None:
        self._rows = rows
        self.m = m
        """M with the rows added so far."""
        self._f = f
        self._out = torch.zeros(len(rows), dtype=torch.bool)
        self._most_ahead = max(1, min(AHEAD, AHEAD_VALUES // (2 * max(1, len(rows)))))
        self._ahead = max(1, self._most_ahead // 4)
        self._compute()

    def _compute(self) -> None:
        self._inverse = inverse(self.m)  # A
        self._g = self._inverse @ self._f @ self._inverse  # G
        both = torch.cat([self._inverse, self._g], dim=1)
        self._a, self._b = (torch.empty(len(self._rows), dtype=torch.float64) for _ in range(2))
        for block, u in self._rows.blocks():
            products = (u @ both).view(len(u), 2, -1).mul_(u[:, None]).sum(dim=2)
            self._a[block], self._b[block] = products.unbind(1)
        self._b.clamp_(min=0)
        self._largest_a, self._largest_b = (float(x.masked_fill(self._out, 0.0).max()) for x in (self._a, self._b))
        self._is_fresh = True

    def add(self, num_picks: int) -> Tensor:
        """Adds rows to M, one after the other, each the one that takes most off the trace.

        The plain algorithm compares all rows after each pick, and reads all of them for it. This method guesses the
        next picks among the rows that take most off now. One matrix product then brings all rows up to date for all
        guesses, and a guess counts only if no other row of all takes more off.

        Returns:
            Distinct rows, int64, shape ``(num_picks,)``, in the order of picks. Ties go to the lowest row.
        """
        picks: list[int] = []
        while len(picks) < num_picks:
            guesses, changes = self._guess(min(self._ahead, num_picks - len(picks)))
            num_right = self._apply(guesses, changes)
            picks += guesses[:num_right]
            self._ahead = min(2 * num_right, self._most_ahead)
        return torch.tensor(picks, dtype=torch.int64)

    def _guess(self, most: int) -> tuple[list[int], list[Change]]:
        """Picks among the rows that take most off now. The first pick is right."""
        falls = self._falls(self._a, self._b, self._out)
        first = first_of_largest(falls)
        near = falls.topk(min(NEAR, len(falls))).indices
        near = torch.cat([near[near != first], torch.tensor([first])]).sort().values  # ascending, so that ties agree
        u, a, b, out = self._rows.at(near), self._a[near], self._b[near], self._out[near]
        guesses: list[int] = []
        changes: list[Change] = []
        while len(guesses) < most and not out.all():
            falls = self._falls(a, b, out)
            i = first_of_largest(falls) if guesses else int(torch.searchsorted(near, first))
            change = self._change(u[i], float(a[i]), float(b[i]), 1.0, changes)
            _bring_up_to_date(a, b, u @ change.av, u @ change.gv, change)
            out[i] = True
            guesses.append(int(near[i]))
            changes.append(change)
        return guesses, changes

    def _apply(self, guesses: list[int], changes: list[Change]) -> int:
        """Adds the guessed rows to M, up to the first that is wrong; returns how many were right."""
        vectors = torch.stack([c.av for c in changes] + [c.gv for c in changes])  # (2 K, D)
        products = torch.empty(len(vectors), len(self._rows), dtype=torch.float64)
        for block, u in self._rows.blocks():
            products[:, block] = vectors @ u.T
        num_right = 0
        for guess, change in zip(guesses, changes, strict=True):
            if num_right:  # the first was chosen among all rows
                falls = self._falls(self._a, self._b, self._out)
                if first_of_largest(falls) != guess or self._is_noisy(float(falls[guess])):
                    break
            _bring_up_to_date(self._a, self._b, products[num_right], products[len(changes) + num_right], change)
            self._out[guess] = True
            num_right += 1
        added = self._rows.at(torch.tensor(guesses[:num_right]))
        self.m.addmm_(added.T, added)
        self._change_matrices(changes[:num_right])
        self._is_fresh = False
        if self._is_noisy(float(self._falls(self._a, self._b, self._out).max())):
            self._compute()
        return num_right

    def remove(self, num_rows: int) -> Tensor:
        """Removes rows from M, which all are part of M, each the one whose removal adds least to the trace.

        Returns:
            Which rows are left, bool, shape ``(N,)``. Of ties, the highest row is removed.
        """
        u = self._rows.at(slice(None))
        for _ in range(num_rows):
            # 1 - a is above 0; rounding may leave 0 of it
            rises = self._b / (1 - self._a).clamp(min=EPS)
            rises[self._out] = torch.inf
            i = int((rises <= float(rises.min()) * (1 + TIE)).nonzero()[-1])
            change = self._change(u[i], float(self._a[i]), float(self._b[i]), -1.0, [])
            _bring_up_to_date(self._a, self._b, u @ change.av, u @ change.gv, change)
            self._change_matrices([change])
            self._out[i] = True
        return ~self._out

    @staticmethod
    def _falls(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
        return (b / (1 + a)).masked_fill_(out, -1.0)

    def _change(self, u: Tensor, a: float, b: float, sign: float, before: list[Change]) -> Change:
        """The change by a row, after changes that are not yet part of A and G."""
        av, gv = self._inverse @ u, self._g @ u
        if before:
            vectors, steps = _stacked(before)
            along_a, along_g = (vectors @ u).view(2, -1)
            of_a, of_g = vectors.view(2, len(before), -1)
            av -= of_a.T @ (steps * along_a)
            second = torch.tensor([c.second for c in before], dtype=torch.float64)
            gv -= of_a.T @ (steps * along_g - steps.square() * second * along_a) + of_g.T @ (steps * along_a)
        return Change(av, gv, sign / max(1 + sign * a, EPS), b)

    def _change_matrices(self, changes: list[Change]) -> None:
        vectors, steps = _stacked(changes)
        of_a, of_g = vectors.view(2, len(changes), -1)
        second = torch.tensor([c.second for c in changes], dtype=torch.float64)
        stepped = steps[:, None] * of_a
        self._inverse -= stepped.T @ of_a
        half = stepped.T @ (of_g - 0.5 * (steps * second)[:, None] * of_a)
        self._g -= half + half.T

    def _is_noisy(self, fall: float) -> bool:
        """Whether what rounding has left in a and b since they were computed could decide between rows."""
        return not self._is_fresh and EPS * (self._largest_b + fall * self._largest_a) > MOST_NOISE * fall


def _stacked(changes: list[Change]) -> tuple[Tensor, Tensor]:
    vectors = torch.stack([c.av for c in changes] + [c.gv for c in changes])
    return vectors, torch.tensor([c.step for c in changes], dtype=torch.float64)


def _bring_up_to_date(a: Tensor, b: Tensor, along_a: Tensor, along_g: Tensor, change: Change) -> None:
    """Changes a and b of rows, from their products with A u and G u: a -= k c^2, b += k c (k e c - 2 d)."""
    stepped = along_a * change.step
    b += stepped * (stepped * change.second - 2 * along_g)
    b.clamp_(min=0)
    a -= stepped.mul_(along_a)


def first_of_largest(falls: Tensor) -> int:
    """The lowest row with the largest fall."""
    return int((falls >= float(falls.max()) * (1 - TIE)).nonzero()[0])


def inverse(matrix: Tensor) -> Tensor:
    """Inverse of a symmetric positive definite matrix."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed):
        raise InputError(
            "Expected `ridge` to be so large that M has an inverse in float64, but its Cholesky factor does not exist."
        )
    return torch.cholesky_inverse(factor)
