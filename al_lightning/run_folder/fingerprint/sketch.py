"""A short description of inputs that distinguishes values and is the same on any machine.

A hash of floats is not the same on any machine. Another processor gives other last digits for the mean of a data set,
its standard deviation or a resized image. So floats are summed with fixed random signs, and the sums are compared up to
rounding errors. Integers are summed exactly.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import PIL
import torch
from torch import Tensor

from al_lightning.data.inputs import Inputs, tensors_of

NUM_GROUPS, NUM_SUMS = 32, 4  # groups of adjacent rows, and sums of each group
ROWS = 4096  # rows in one step
MOST_VALUES, MOST_CENTRED = 2**24, 2**21  # larger inputs: rows at equal distances


def sketch(blocks: Sequence[Inputs], num_rows: int, is_decoded: bool) -> list[dict[str, Any]]:
    """Describes the tensors of some blocks.

    Args:
        blocks: Consecutive rows, at least one.
        num_rows: Number of samples in the whole data set, of which these may be a part.
        is_decoded: Whether the values come from a decoder of images, or may do so.

    Returns:
        A row of plain values for each tensor of a block. The row has its shape, whether it holds whole numbers, its
        sums, their size, and the decoder of the values.
    """
    parts = zip(*(tensors_of(block) for block in blocks), strict=True)
    return [_sketch(part, num_rows, is_decoded) for part in parts]


def _sketch(parts: Sequence[Tensor], num_rows: int, is_decoded: bool) -> dict[str, Any]:
    shape = [num_rows, *parts[0].shape[1:]]
    is_whole = not parts[0].is_floating_point()
    row: dict[str, Any] = {"shape": shape, "whole": is_whole}
    rows = [part.detach().cpu().flatten(1) if part.dim() > 1 else part.detach().cpu()[:, None] for part in parts]
    rows = _thinned(rows, MOST_VALUES)
    if is_whole and not is_decoded:
        return row | {"sums": {"values": " ".join(map(str, _whole_sums(rows)))}}
    row["sums"] = _sums(rows)
    if is_decoded:
        row["decoder"] = f"torch {torch.__version__} {torch.backends.cpu.get_cpu_capability()} Pillow {PIL.__version__}"
    is_table = parts[0].dim() == 2 and len({part.shape[1] for part in parts}) == 1
    if is_table and not is_decoded:  # a column of large numbers would hide the others
        rows = _thinned(rows, MOST_CENTRED)
        first = rows[0][0].double()
        row["centred"] = _sums(rows, first, _powers_of_two(rows, first))
    return row


def _thinned(rows: Sequence[Tensor], most: int) -> list[Tensor]:
    """Keeps every n-th row, so that there are at most this many values."""
    step = -(-sum(part.numel() for part in rows) // most)
    if step <= 1:
        return list(rows)
    starts = np.cumsum([0, *map(len, rows)])[:-1]
    thinned = [part[-start % step :: step] for start, part in zip(starts.tolist(), rows, strict=True)]
    return [part for part in thinned if len(part)]


def _sums(rows: Sequence[Tensor], first: Tensor | None = None, scale: Tensor | None = None) -> dict[str, Any]:
    """Sums of the values with random signs, by groups of rows."""
    num_rows = sum(map(len, rows))
    groups = np.zeros((min(NUM_GROUPS, num_rows), NUM_SUMS))
    squares = 0.0
    number, num_values = 0, 0
    for part in _pieces(rows):
        if first is not None and scale is not None:
            part = ((part.double() - first) / scale).float()
        part = part.float()
        sums = (part @ torch.from_numpy(_signs(part.shape[1]))).double().numpy()  # (b, NUM_SUMS)
        numbers = np.arange(number, number + len(part))
        np.add.at(groups, numbers * len(groups) // num_rows, sums * _weights(numbers)[:, None])
        some = part[:: max(1, len(part) // 64)]
        squares += float(some.square().mean(dtype=torch.float64)) * part.numel()
        number, num_values = number + len(part), num_values + part.numel()
    size = math.sqrt(squares / len(groups))  # size of a sum of this many values with random signs
    values = " ".join(f"{value:.7g}" for value in groups.ravel().tolist())
    return {"values": values, "size": float(f"{size:.3g}")}


def _whole_sums(rows: Sequence[Tensor]) -> list[int]:
    """Sums modulo 2**64 with random factors, by groups of rows."""
    num_rows = sum(map(len, rows))
    groups = np.zeros(min(NUM_GROUPS, num_rows), np.int64)
    number = 0
    for part in _pieces(rows):
        sums = (part.long() * torch.from_numpy(_factors(part.shape[1]))).sum(dim=1).numpy()
        numbers = np.arange(number, number + len(part))
        np.add.at(groups, numbers * len(groups) // num_rows, sums * (2 * numbers + 1))
        number += len(part)
    return groups.tolist()


def _powers_of_two(rows: Sequence[Tensor], first: Tensor) -> Tensor:
    """For each column, the power of two next to its spread around its first value; 1 for a constant column."""
    squares = torch.zeros_like(first)
    for part in _pieces(rows):
        squares += (part.double() - first).square().sum(dim=0)
    spread = (squares / sum(map(len, rows))).sqrt()
    return torch.where(spread > 0, spread.log2().round().exp2(), 1.0).nan_to_num(1.0, 1.0, 1.0)


def _pieces(rows: Sequence[Tensor]) -> Iterator[Tensor]:
    for part in rows:
        yield from part.split(ROWS)


@lru_cache(4)
def _signs(num_columns: int) -> np.ndarray:
    # NumPy promises that RandomState never changes its draws.
    drawn = np.random.RandomState(0).randint(0, 2, size=(num_columns, NUM_SUMS), dtype=np.int64)
    return (2 * drawn - 1).astype(np.float32)


@lru_cache(4)
def _factors(num_columns: int) -> np.ndarray:
    return 2 * np.random.RandomState(0).randint(0, 2**62, size=num_columns, dtype=np.int64) + 1


def _weights(numbers: np.ndarray) -> np.ndarray:
    """A factor for each row, from 0.5 to 1.5, so that exchanged rows change the sum."""
    return 0.5 + (numbers * 0.6180339887498949) % 1.0
