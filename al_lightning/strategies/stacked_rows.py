"""StackedRows: the rows of the pool and of the labeled samples as one table, without a copy of either."""

import torch
from torch import Tensor


class StackedRows:
    """The rows of two tensors, one tensor after the other. Indexing makes a tensor of the rows asked for.

    Args:
        first: Shape ``(N, D)``.
        second: Shape ``(M, D)``, of the same type.

    Example:
        >>> rows = StackedRows(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0]]))
        >>> rows[torch.tensor([2, 0])].flatten().tolist(), rows[1:3].flatten().tolist()
        ([3.0, 1.0], [2.0, 3.0])
    """

    def __init__(self, first: Tensor, second: Tensor) -> None:
        self._first, self._second = first, second
        self.shape = torch.Size([len(first) + len(second), first.shape[1]])
        self.dtype = first.dtype

    def __len__(self) -> int:
        """Number of rows, N + M."""
        return self.shape[0]

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """Some rows, by positions, int64 from 0 to N + M - 1, or by a slice without a step."""
        size = len(self._first)
        if isinstance(index, slice):
            start, stop, _ = index.indices(len(self))
            parts = self._first[start:stop], self._second[max(0, start - size) : max(0, stop - size)]
            return torch.cat(parts) if len(parts[1]) else parts[0]
        result = self._first.new_empty(len(index), self.shape[1])
        is_second = index >= size
        result[~is_second] = self._first[index[~is_second]]
        result[is_second] = self._second[index[is_second] - size]
        return result
