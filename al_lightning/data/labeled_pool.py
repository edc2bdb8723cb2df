"""LabeledPool: the labeled samples of a training set, and their labels."""

import torch
from torch import Tensor

from al_lightning.data.labels import UNKNOWN
from al_lightning.errors import InputError


class LabeledPool:
    """The labels of a training set of N samples.

    Only this class translates between two index spaces. *Training-set indices* go from 0 to N - 1. *Positions in the
    pool* count the unlabeled samples in training-set order.

    Args:
        targets: Class indices that the data set knows, int64, shape ``(N,)``, -1 where unknown.
        there: Mask of the samples that are there, bool, shape ``(N,)``. The others left the data set: they keep their
            index, but are not in the pool. By default all samples are there.
    """

    def __init__(self, targets: Tensor, there: Tensor | None = None) -> None:
        self._given = targets
        self._left = torch.zeros(len(targets), dtype=torch.bool) if there is None else ~there
        self.targets = targets.clone()
        """Class indices with all answers so far, int64, shape ``(N,)``, -1 where unknown."""
        self.labeled = torch.zeros(len(targets), dtype=torch.bool)
        """Mask of the labeled samples, shape ``(N,)``."""
        self._skipped = torch.zeros_like(self.labeled)

    @property
    def unlabeled_indices(self) -> Tensor:
        """Training-set indices of the pool: position ``i`` in the pool is sample ``unlabeled_indices[i]``."""
        return (~(self.labeled | self._skipped | self._left)).nonzero().squeeze(1)

    def indices_of(self, query: Tensor) -> Tensor:
        """Turns positions in the pool into training-set indices.

        Args:
            query: Distinct positions in the pool, int64, shape ``(b,)``.

        Raises:
            InputError: If ``query`` has another form.
        """
        unlabeled = self.unlabeled_indices
        if not isinstance(query, Tensor) or query.dtype != torch.int64 or query.dim() != 1:
            got = f"{query.dtype} of shape {tuple(query.shape)}" if isinstance(query, Tensor) else type(query).__name__
            raise InputError(f"Expected a query to be an int64 tensor of shape (b,), but got {got}.")
        if len(query) and (int(query.min()) < 0 or int(query.max()) >= len(unlabeled)):
            raise InputError(
                f"Expected a query of positions in the pool, 0 to {len(unlabeled) - 1}, "
                f"but got {int(query.min())} to {int(query.max())}."
            )
        if len(query.unique()) < len(query):
            raise InputError(
                f"Expected a query of distinct positions, but got {len(query) - len(query.unique())} twice."
            )
        return unlabeled[query.cpu()]

    def clear(self) -> None:
        """Forgets all labels and answers."""
        self.labeled.zero_()
        self._skipped.zero_()
        self.targets.copy_(self._given)

    def label(self, indices: Tensor, labels: Tensor | None, num_classes: int) -> None:
        """Labels samples.

        Args:
            indices: Training-set indices, int64, shape ``(b,)``.
            labels: Class indices, int64, shape ``(b,)``. By default the classes that the data set knows. A label of -1
                means that the labeler skipped the sample: the sample leaves the pool, and no fit trains on it.
            num_classes: Number of classes, C.

        Raises:
            InputError: If the number of labels is wrong, or a label is not a class. Then nothing is labeled.
        """
        if labels is None:
            self.labeled[indices] = True
            return
        if labels.shape != indices.shape or labels.dtype != torch.int64:
            raise InputError(
                f"Expected as many labels as samples, int64 of shape {tuple(indices.shape)}, "
                f"but got {labels.dtype} of shape {tuple(labels.shape)}."
            )
        if len(labels) and not UNKNOWN <= int(labels.min()) <= int(labels.max()) < num_classes:
            raise InputError(
                f"Expected labels from 0 to {num_classes - 1}, or -1 for none, "
                f"but got {int(labels.min())} to {int(labels.max())}."
            )
        self.targets[indices] = labels
        self.labeled[indices] = labels != UNKNOWN
        self._skipped[indices] = labels == UNKNOWN
