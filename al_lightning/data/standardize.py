"""Standardiser: brings inputs to mean 0 and standard deviation 1 without losing the digits of large numbers."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

BLOCK_VALUES = 2**21
MOST_SAMPLES = 10_000  # mean and standard deviation use this many rows, unless all rows give a different result
WIDE = 64.0
"""From this ratio of mean to standard deviation on, float32 is too short: it would lose 6 of its 24 bits."""
SHORT = 2.0**20
"""The same limit for inputs that are not standardised: float32 leaves 4 bits of the variation."""
NO_CHANGE = {2: 1e-2, 4: 1e-6, 8: 1e-10}
"""Up to this ratio of standard deviation to mean, by bytes of a float, fractions differ only by rounding."""
BEYOND = 10.0
"""Values are cut at this many times the largest training value."""
LARGEST = 2.0**62  # below this, differences of 64-bit integers are exact


class Standardizer:
    """Mean and standard deviation over the training rows, for each feature of a table or for images as a whole.

    Sums are computed in float64 (64-bit integers are subtracted exactly), and the result is float32. If the mean of a
    feature is at most 64 standard deviations, the mean is subtracted in float32. This loses no digits that matter, and
    gives the same bits as earlier versions. A feature that changes only by rounding in the training rows keeps a scale
    of 1.

    Values far outside of the training rows are cut, so that a test row cannot explode. The limit is ten times the
    largest standardised training value of the feature. For a feature that never changes, it is 1.

    Args:
        inputs: Numbers of shape ``(N, ...)``.
        rows: The training rows, int64, shape ``(M,)``, M at least 1; all rows if not given.
    """

    def __init__(self, inputs: np.ndarray, rows: np.ndarray | None = None) -> None:
        num_rows = len(inputs) if rows is None else len(rows)
        self._axis = 0 if inputs.ndim == 2 else None
        first = inputs[0 if rows is None else int(rows[0])]
        self._origin = _exact(first if self._axis == 0 else np.asarray(first).reshape(-1)[0])
        chosen = (np.arange(num_rows) if rows is None else rows)[:: _stride(num_rows)]
        sample = inputs[chosen]
        # Pixels of few bits have no extreme values, and a pass over all of them takes long.
        pixels = self._axis is None and inputs.dtype.kind in "biu" and inputs.dtype.itemsize <= 2
        all_mean, all_std, low, high, whole = self._moments(inputs, chosen if pixels else rows)
        mean = np.asarray(sample.mean(axis=self._axis, dtype=np.float64))
        std = np.asarray(sample.std(axis=self._axis, dtype=np.float64))
        origin = np.asarray(self._origin, np.float64)
        from_all = (std > 2 * all_std) | (2 * std < all_std) | (abs(mean - (origin + all_mean)) > all_std)
        mean, std = np.where(from_all, origin + all_mean, mean), np.where(from_all, all_std, std)
        noise = NO_CHANGE.get(inputs.dtype.itemsize, 1e-10) if inputs.dtype.kind == "f" else 0.0
        constant = (all_std == 0) | (~whole & (all_std <= noise * abs(origin + all_mean)))
        std = np.where(constant, 1, std)
        self.wide = np.asarray(~constant & (abs(mean) > WIDE * std))
        """Features that would lose digits in float32, bool."""
        self.differs = bool(self.wide.any() or (from_all & ~constant).any())
        """Whether the result differs from the result of earlier versions in more than the cut values."""
        self._mean, self._std = torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(std.astype(np.float32))
        self._wide_mean, self._wide_std = np.where(self.wide, all_mean, 0), np.where(self.wide, all_std, 1)
        center = np.where(self.wide, all_mean, mean - origin)
        largest = np.maximum(abs(low - center), abs(high - center)) / np.where(self.wide, all_std, std)
        self.limit: Tensor = torch.from_numpy(np.asarray(np.where(constant, 1, BEYOND * largest), np.float32))
        """Largest absolute value of the result, float32, with the shape of the mean."""

    def __call__(self, values: np.ndarray) -> Tensor:
        """Standardises one row or a block of rows of the file; returns float32 of the same shape."""
        return self._uncut(values).clamp_(-self.limit, self.limit)

    def cut(self, inputs: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Features with values that are cut, bool, with the shape of the mean."""
        found = np.zeros(self.wide.shape, bool)
        for block in _blocks(inputs, rows):
            extremes = np.stack([block.min(axis=self._axis), block.max(axis=self._axis)])  # no value is farther off
            found |= (self._uncut(extremes).abs() > self.limit).numpy().any(axis=0)
        return found

    def _uncut(self, values: np.ndarray) -> Tensor:
        result = torch.from_numpy(np.array(values, np.float32)).sub_(self._mean).div_(self._std)
        if self.wide.any():
            exact = (_difference(values, self._origin) - self._wide_mean) / self._wide_std
            result = torch.where(torch.from_numpy(self.wide), torch.from_numpy(np.asarray(exact, np.float32)), result)
        return result

    def _moments(self, inputs: np.ndarray, rows: np.ndarray | None) -> tuple[np.ndarray, ...]:
        """Mean, standard deviation, smallest and largest value, and whether all values are whole numbers.

        The origin is subtracted from all values first. Blocks are combined by the method of Chan, Golub and LeVeque
        (1983), which is as exact as two passes.
        """
        count, mean, squares = 0, np.float64(0), np.float64(0)
        low, high, whole = np.float64(np.inf), np.float64(-np.inf), np.True_
        for block in _blocks(inputs, rows):
            values = _difference(block, self._origin)
            more = values.size if self._axis is None else len(values)
            low, high = np.minimum(low, values.min(axis=self._axis)), np.maximum(high, values.max(axis=self._axis))
            block_mean = values.mean(axis=self._axis)
            gap = block_mean - mean
            values -= block_mean
            values *= values
            squares = squares + values.sum(axis=self._axis) + gap**2 * (count * more / (count + more))
            mean, count = mean + gap * (more / (count + more)), count + more
            if inputs.dtype.kind == "f" and np.any(whole):
                whole = whole & (block == np.floor(block)).all(axis=self._axis)
        return tuple(map(np.asarray, (mean, np.sqrt(squares / count), low, high, whole)))


def loses_digits(inputs: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Features that float32 rounds to little more than their mean, bool.

    Without standardisation they carry no information.
    """
    standardizer = Standardizer(inputs, rows)
    return standardizer.wide & (abs(standardizer._mean) > SHORT * standardizer._std).numpy()


def _blocks(inputs: np.ndarray, rows: np.ndarray | None) -> Iterator[np.ndarray]:
    step = max(1, BLOCK_VALUES // max(1, inputs[:1].size))
    for start in range(0, len(inputs) if rows is None else len(rows), step):
        yield inputs[start : start + step] if rows is None else inputs[rows[start : start + step]]


def _difference(values: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """``values - origin`` in float64. Integers beyond 2**53 keep their last digits until they are subtracted."""
    values = np.asarray(values)
    rounded = np.subtract(values, origin.astype(np.float64), dtype=np.float64)
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8:
        return rounded
    values = _exact(values)
    exact = (values.astype(np.uint64) - origin.astype(np.uint64)).astype(np.int64)  # two's complement wraps around
    return np.where(abs(rounded) < LARGEST, exact.astype(np.float64), rounded)


def _exact(values: np.ndarray) -> np.ndarray:
    """The same numbers as 64-bit integers or float64. These types hold all numbers of a file."""
    values = np.asarray(values)
    return values.astype(np.uint64 if values.dtype.kind in "bu" else np.int64 if values.dtype.kind == "i" else float)


def _stride(num_rows: int) -> int:
    """Step between the chosen rows, so that there are at most MOST_SAMPLES of them."""
    return max(1, -(-num_rows // MOST_SAMPLES))
