"""The standardiser: large numbers keep their digits, small ones the bits of earlier versions, and nothing explodes."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from al_lightning.data.standardize import MOST_SAMPLES, Standardizer, loses_digits


def exactly(column: list[int]) -> list[float]:
    """Standardised integers, computed in rational numbers except for the root."""
    mean = Fraction(sum(column), len(column))
    variance = sum((value - mean) ** 2 for value in column) / len(column)
    return [float(value - mean) / float(variance) ** 0.5 for value in column]


def as_before(inputs: np.ndarray) -> torch.Tensor:
    """The result of commit 5fd74a8 for a table of at most 10,000 rows."""
    mean, std = inputs.mean(axis=0, dtype=np.float64), inputs.std(axis=0, dtype=np.float64)
    mean, std = np.float32(mean), np.float32(np.where(std > 0, std, 1))
    return torch.from_numpy(np.array(inputs, np.float32)).sub_(torch.from_numpy(mean)).div_(torch.from_numpy(std))


@pytest.mark.parametrize(
    ("start", "step", "dtype"),
    [
        (1_700_000_000, 60, np.int64),  # seconds
        (1_700_000_000, 60, np.float64),
        (1_700_000_000_000_000_000, 86_400_000_000_000, np.int64),  # nanoseconds
        (2**53, 1, np.int64),  # identifiers that float64 does not hold
        (2**62 + 3, 1, np.int64),
        (-(2**63), 1, np.int64),
        (2**64 - 100, 1, np.uint64),
        (10**15, 1, np.float64),
        (2**24, 2, np.float32),
        (2**31 - 100, 1, np.int32),
    ],
)
def test_large_numbers_keep_their_digits(start: int, step: int, dtype: type) -> None:
    column = [start + step * i for i in (0, 3, 4, 9, 31, 32, 33, 50, 77, 98)]
    inputs = np.array([[value, 0] for value in column], dtype)
    assert [int(value) for value in inputs[:, 0]] == column
    scale = Standardizer(inputs)
    assert scale(inputs)[:, 0].tolist() == pytest.approx(exactly(column), rel=1e-6)
    assert torch.stack([scale(row) for row in inputs]).equal(scale(inputs))
    assert scale.wide.tolist() == [True, False]
    assert scale.differs


def test_integers_whose_differences_exceed_64_bits() -> None:
    column = [-(2**63), 2**63 - 1, 0, 1]
    inputs = np.array(column)[:, None]
    assert Standardizer(inputs)(inputs)[:, 0].tolist() == pytest.approx(exactly(column), rel=1e-6)


@pytest.mark.parametrize("load", [load_digits, load_wine, load_iris, load_breast_cancer])
def test_ordinary_tables_keep_their_bits(load) -> None:
    inputs = load().data
    scale = Standardizer(inputs[::2])
    assert scale(inputs[::2]).equal(as_before(inputs[::2]))
    assert not scale.differs
    reference = (inputs - inputs[::2].mean(axis=0)) / np.where(inputs[::2].std(axis=0) > 0, inputs[::2].std(axis=0), 1)
    usual = abs(reference) < 8  # others may be cut
    np.testing.assert_allclose(scale(inputs).numpy()[usual], reference[usual], atol=2e-5)


def test_images_are_standardised_as_a_whole() -> None:
    inputs = load_digits().images
    mean, std = np.float32(inputs.mean(dtype=np.float64)), np.float32(inputs.std(dtype=np.float64))
    assert Standardizer(inputs)(inputs).equal(torch.from_numpy((inputs.astype(np.float32) - mean) / std))


def test_images_far_from_zero_keep_their_digits() -> None:
    inputs = 2**30 + np.arange(24).reshape(6, 2, 2)
    assert Standardizer(inputs)(inputs).flatten().tolist() == pytest.approx(exactly(inputs.ravel().tolist()), rel=1e-6)


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        ([5.0] * 10, np.float64),
        ([0.1] * 10, np.float64),
        ([1e9 + 0.3] * 10, np.float64),
        ([0.1 + 1e-15 * i for i in range(10)], np.float64),
        ([1e9 + 0.3 + 1e-4 * (i % 2) for i in range(10)], np.float64),
        ([0.3 + 3e-8 * i for i in range(10)], np.float32),
        ([7] * 10, np.int64),
        ([2**63 - 1] * 10, np.int64),
        ([True] * 10, bool),
    ],
)
def test_a_feature_that_never_changes_neither_counts_nor_explodes(column: list, dtype: type) -> None:
    inputs = np.array(column, dtype)[:, None]
    scale = Standardizer(inputs)
    assert scale(inputs).abs().max() < 1e-6
    for other in (
        np.zeros((1, 1), dtype),
        np.array([[np.iinfo(dtype).max if dtype is np.int64 else 1e9]]).astype(dtype),
    ):
        assert scale(other).abs().max() <= 1


def test_a_flag_that_no_training_row_has_is_one() -> None:
    assert Standardizer(np.zeros((5, 1)))(np.ones((1, 1))).item() == 1


def test_values_far_beyond_the_training_rows_are_cut() -> None:
    inputs = np.array([[-1.0, 0.0], [1.0, 1e-30]])
    scale = Standardizer(inputs)
    assert scale(inputs).tolist() == [[-1, -1], [1, 1]]
    assert scale(np.array([[9.0, 0.0], [-1e6, 3.0]])).tolist() == [[9, -1], [-10, 10]]
    assert scale.cut(np.array([[9.0, 3.0]])).tolist() == [False, True]
    assert scale.cut(inputs).tolist() == [False, False]


def test_what_is_rare_is_seen_although_most_of_a_large_table_is_not_sampled() -> None:
    inputs = np.zeros((2 * MOST_SAMPLES, 2))
    inputs[:, 0] = np.arange(len(inputs)) % 7
    inputs[5, 1] = 1e6  # an odd row
    scale = Standardizer(inputs)
    result = scale(inputs).numpy().astype(np.float64)
    assert scale.differs
    assert abs(result[:, 1].mean()) < 1e-5
    assert result[:, 1].std() == pytest.approx(1, rel=1e-5)
    before = inputs[::2, 0]
    mean, std = np.float32(before.mean()), np.float32(before.std())
    assert scale(inputs)[:, 0].equal(torch.from_numpy((inputs[:, 0].astype(np.float32) - mean) / std))


def test_rows_that_are_not_trained_on_do_not_count() -> None:
    inputs = np.array([[0.0], [2.0], [50.0]])
    assert Standardizer(inputs, np.array([0, 1]))(inputs).flatten().tolist() == [-1, 1, 10]


def test_unstandardised_numbers_that_float32_makes_one() -> None:
    inputs = np.array([[1.7e9 + i, i, 1.7e9] for i in range(10)])
    assert loses_digits(inputs).tolist() == [True, False, False]


@pytest.mark.parametrize("shape", [(300, 5), (300, 5, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64])
def test_values_are_cut_where_any_of_them_is_beyond_the_limit(shape: tuple[int, ...], dtype: type) -> None:
    draws = np.random.default_rng(0)
    train = draws.integers(100, 110, shape).astype(dtype)
    test = np.array([draws.integers(50, 160, shape[1:]) if row == 7 else train[row] for row in range(20)]).astype(dtype)
    scale = Standardizer(train)
    axis = 0 if len(shape) == 2 else None
    center, std = train.mean(axis=axis, dtype=float), train.std(axis=axis, dtype=float)
    beyond = abs(test - center) / std > 10 * abs(train - center).max(axis=axis) / std
    rows = np.arange(20)[::-1]
    assert scale.cut(test, rows).tolist() == beyond.any(axis=axis).tolist()
    assert beyond.any(axis=axis).tolist() == (scale(test).abs() == scale.limit).numpy().any(axis=axis).tolist()
    assert not scale.cut(test, rows[:5]).any()
    assert not scale.cut(test, rows[:0]).any()
