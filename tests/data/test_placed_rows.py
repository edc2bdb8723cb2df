"""Samples by index where some have left."""

import pytest
import torch

from al_lightning.data.blocks import TensorRows
from al_lightning.data.placed_rows import PlacedRows
from al_lightning.errors import InputError


def rows() -> PlacedRows:
    """Samples 0, 2 and 3 of five."""
    return PlacedRows(TensorRows(torch.tensor([[0.0], [2.0], [3.0]])), torch.tensor([0, 2, 3]), 5)


def test_indices_of_the_training_set_find_their_samples() -> None:
    assert len(rows()) == 5
    indices = torch.tensor([3, 0])
    assert torch.cat(list(rows().blocks(indices))).flatten().tolist() == [3, 0]
    assert torch.cat(list(rows().blocks())).flatten().tolist() == [0, 2, 3]
    assert torch.cat(list(rows().take(indices).blocks())).flatten().tolist() == [3, 0]
    assert [batch.flatten().tolist() for batch in rows().batches(iter([indices, indices[:1]]))] == [[3, 0], [3]]
    pairs = rows().whole_batches(iter([(indices, torch.tensor([7, 8]))]))
    assert [(inputs.flatten().tolist(), targets.tolist()) for inputs, targets in pairs] == [([3, 0], [7, 8])]


@pytest.mark.parametrize("gone", [1, 4])
def test_a_sample_that_left_is_refused_by_its_index(gone: int) -> None:
    with pytest.raises(InputError, match=f"sample {gone}, but it has left"):
        rows().take(torch.tensor([0, gone]))
