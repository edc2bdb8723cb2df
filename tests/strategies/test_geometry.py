"""How far out samples lie."""

import pytest
import torch

from al_lightning.strategies import geometry
from al_lightning.strategies.geometry import outlier_percentiles
from tests.helpers import digits, generator


def plain_percentiles(rows: torch.Tensor, picks: torch.Tensor, k: int = 20) -> torch.Tensor:
    distances = torch.cdist(rows.double(), rows.double(), compute_mode="donot_use_mm_for_euclid_dist")
    kth = distances.sort(dim=1).values[:, min(k, len(rows) - 1)]  # that of a row to itself is the first
    below = (kth < kth[picks, None]).double().mean(dim=1)
    return below + (kth == kth[picks, None]).double().mean(dim=1) / 2


def test_percentiles_are_those_of_all_pairs() -> None:
    rows, picks = digits().train_inputs, torch.arange(0, 1000, 7)
    torch.testing.assert_close(
        outlier_percentiles(rows, picks).double(), plain_percentiles(rows, picks), atol=0.003, rtol=0
    )


def test_all_rows_together_have_one_half() -> None:
    rows = digits().train_inputs
    assert outlier_percentiles(rows, torch.arange(len(rows))).mean().item() == pytest.approx(0.5, abs=1e-4)


def test_an_outlier_and_an_inlier() -> None:
    rows = torch.randn(500, 8, generator=generator())
    rows[3], rows[4] = 100.0, 0.0
    found = outlier_percentiles(rows, torch.tensor([3, 4]))
    assert found[0] > 0.99
    assert found[1] < 0.05


def test_every_kth_row_stands_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, picks = digits().train_inputs, torch.arange(0, 1000, 7)
    monkeypatch.setattr(geometry, "REFERENCES", 300)
    torch.testing.assert_close(
        outlier_percentiles(rows, picks).double(), plain_percentiles(rows, picks), atol=0.06, rtol=0
    )


def test_fewer_rows_than_neighbours() -> None:
    rows = torch.tensor([[0.0], [1.0], [9.0]])
    assert outlier_percentiles(rows, torch.tensor([2, 1, 0])).tolist() == pytest.approx([2 / 3, 1 / 6, 2 / 3])


def test_rows_that_coincide_are_in_the_middle() -> None:
    assert outlier_percentiles(torch.ones(50, 3), torch.tensor([4, 7])).tolist() == [0.5, 0.5]


def test_copies_tie_whatever_rounding_says() -> None:
    """Distances by |a|^2 + |b|^2 - 2ab are not 0 between copies, nor the same in blocks of another size."""
    rows = torch.rand(60, 784, generator=generator()).repeat(40, 1)
    assert outlier_percentiles(rows, torch.arange(0, 2400, 97)).tolist() == [0.5] * 25
