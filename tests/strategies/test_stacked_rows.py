"""StackedRows is the concatenation of two tensors."""

import pytest
import torch

from al_lightning.strategies.stacked_rows import StackedRows
from tests.helpers import generator


@pytest.mark.parametrize(("num_first", "num_second"), [(5, 3), (5, 0), (0, 3), (0, 0)])
def test_it_is_the_concatenation(num_first: int, num_second: int) -> None:
    first, second = (torch.randn(num, 2, generator=generator()) for num in (num_first, num_second))
    rows, whole = StackedRows(first, second), torch.cat([first, second])
    size = len(whole)
    assert (len(rows), rows.shape, rows.dtype) == (size, whole.shape, whole.dtype)
    for start in range(size + 1):
        for stop in (start, start + 1, start + 4, size):
            assert rows[start:stop].equal(whole[start:stop])
    for _ in range(5):
        index = torch.randint(max(1, size), (min(size, 7),), generator=generator())
        assert rows[index].equal(whole[index])
