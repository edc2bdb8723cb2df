"""PoolDataModule: a training set split into labeled and unlabeled samples."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

import lightning.pytorch as L
import torch
from torch import Tensor

from al_lightning.data.blocks import BatchLoader, EndlessRows, MinibatchLoader, TensorBlocks
from al_lightning.errors import InputError


class Arrays(NamedTuple):
    """A data set in memory."""

    train_inputs: Tensor
    """Float, shape ``(N, ...)``."""
    train_targets: Tensor
    """Class indices, int64, shape ``(N,)``."""
    test_inputs: Tensor
    test_targets: Tensor


class PoolDataModule(L.LightningDataModule, ABC):
    """Manages which samples of a training set are labeled.

    A data set is a subclass that implements :meth:`load`. Two index spaces meet here and nowhere else: *training-set
    indices* and *positions in the pool*, the unlabeled samples in training-set order.

    Args:
        num_initial: Number of samples labeled before the first round.
        initial: How the initial set is drawn: ``random``, uniformly, or ``balanced``, the same number of each class.
        batch_size: Samples in a minibatch of training.

    Raises:
        InputError: If an argument is out of range.
    """

    class_names: Sequence[str] | None = None
    """What the classes are called in a report; numbers if not given."""

    def __init__(
        self, num_initial: int = 500, initial: Literal["random", "balanced"] = "random", batch_size: int = 64
    ) -> None:
        super().__init__()
        if num_initial < 1:
            raise InputError(f"Expected `data.num_initial` to be at least 1, but got {num_initial}.")
        if initial not in ("random", "balanced"):
            raise InputError(f"Expected `data.initial` to be `random` or `balanced`, but got `{initial}`.")
        if batch_size < 1:
            raise InputError(f"Expected `data.batch_size` to be at least 1, but got {batch_size}.")
        self.save_hyperparameters()
        self.num_initial = num_initial
        self.initial = initial
        self.batch_size = batch_size
        self.shuffle_generator: torch.Generator | None = None
        """Stream of the training shuffles; the loop sets it anew for each round."""
        self.unlabeled_generator: torch.Generator | None = None
        """Stream of the unlabeled samples that a semi-supervised fit sees, likewise."""
        self._arrays: Arrays | None = None
        self._labeled_samples: tuple[Tensor, Tensor] | None = None

    @abstractmethod
    def load(self) -> Arrays:
        """Reads the data set; called once."""

    def setup(self, stage: str | None = None) -> None:
        """Loads the data. Lightning calls this before every fit and every test; only the first call does anything."""
        if self._arrays is None:
            self._arrays = self.load()
            self._labeled = torch.zeros(len(self._arrays.train_targets), dtype=torch.bool)

    @property
    def arrays(self) -> Arrays:
        """The data set; loaded when first asked for."""
        self.setup()
        assert self._arrays is not None
        return self._arrays

    @property
    def labeled(self) -> Tensor:
        """Mask of the labeled samples over the training set, bool, shape ``(N,)``; :meth:`label` changes it."""
        self.setup()
        return self._labeled

    @property
    def labeled_indices(self) -> Tensor:
        """Training-set indices of the labeled samples, ascending."""
        return self.labeled.nonzero().squeeze(1)

    @property
    def labeled_samples(self) -> tuple[Tensor, Tensor]:
        """Inputs and class indices of the labeled samples, in training-set order.

        They are gathered once: a fit reads them over and over, and side by side in memory they are read faster.
        """
        if self._labeled_samples is None:
            indices = self.labeled_indices
            self._labeled_samples = self.arrays.train_inputs[indices], self.arrays.train_targets[indices]
        return self._labeled_samples

    @property
    def unlabeled_indices(self) -> Tensor:
        """Training-set indices of the pool: position ``i`` in the pool is sample ``unlabeled_indices[i]``."""
        return (~self.labeled).nonzero().squeeze(1)

    @property
    def num_classes(self) -> int:
        """Number of classes, C: one more than the largest class index of the training set."""
        return int(self.arrays.train_targets.max()) + 1

    @property
    def test_targets(self) -> Tensor:
        """Class indices of the test set, int64, shape ``(N,)``."""
        return self.arrays.test_targets

    def sample_inputs(self, size: int) -> Tensor:
        """The first inputs of the training set, as a model is asked about them; all of them if there are fewer."""
        return self.arrays.train_inputs[:size].clone()

    # ---------------------------------------------------------------------------------------------------- labeling

    def draw_initial(self, generator: torch.Generator) -> Tensor:
        """Draws the initial set; labels nothing.

        Returns:
            Training-set indices in the order drawn, int64, shape ``(num_initial,)``.

        Raises:
            InputError: If there are fewer samples, or too few of a class for a balanced set.
        """
        targets = self.arrays.train_targets
        if self.num_initial > len(targets):
            raise InputError(
                f"Expected `data.num_initial` to be at most the training set size {len(targets)}, "
                f"but got {self.num_initial}."
            )
        order = torch.randperm(len(targets), generator=generator)
        if self.initial == "random":
            return order[: self.num_initial]
        return order[self._balanced(targets[order], generator)]

    def _balanced(self, targets: Tensor, generator: torch.Generator) -> Tensor:
        """Positions of the first samples of each class: the same number, and one more of some classes if need be."""
        num_classes = int(targets.max()) + 1
        per_class, rest = divmod(self.num_initial, num_classes)
        quota = torch.full((num_classes,), per_class)
        quota[torch.randperm(num_classes, generator=generator)[:rest]] += 1
        positions = [(targets == c).nonzero().squeeze(1)[:n] for c, n in enumerate(quota.tolist())]
        for c, (found, n) in enumerate(zip(positions, quota.tolist(), strict=True)):
            if len(found) < n:
                raise InputError(
                    f"Expected at least {n} samples of class {c} for `data.initial` = balanced, but got {len(found)}."
                )
        return torch.cat(positions).sort().values

    def label(self, query: Tensor) -> Tensor:
        """Moves samples from the pool to the labeled set.

        Args:
            query: Distinct positions in the pool, int64, shape ``(b,)``.

        Returns:
            Their training-set indices, in the same order.

        Raises:
            InputError: If ``query`` is anything else; nothing is labeled then.
        """
        indices = self.indices_of(query)
        self._labeled[indices] = True
        self._labeled_samples = None
        return indices

    def indices_of(self, query: Tensor) -> Tensor:
        """Turns positions in the pool into training-set indices: the one place that does. Arguments as of `label`."""
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

    def set_labeled(self, indices: Tensor) -> None:
        """Makes exactly these training-set indices the labeled set; this is how a run is resumed."""
        self.labeled.zero_()
        self._labeled[indices] = True
        self._labeled_samples = None

    # ----------------------------------------------------------------------------------------------------- loaders

    def train_dataloader(self) -> MinibatchLoader:
        """Shuffled minibatches of the labeled set, as the model that is fitted wants them.

        ``minibatches_per_step`` of the model groups them, unless the trainer counts minibatches, for ``max_steps`` or
        ``limit_train_batches``; an epoch is a pass, or ``min_updates_per_epoch`` of them; with ``needs_unlabeled``
        each comes with as many inputs of the pool.
        """
        trainer = self.trainer
        model = None if trainer is None else trainer.lightning_module
        group = getattr(model, "minibatches_per_step", None)
        if group and trainer is not None and (trainer.max_steps != -1 or trainer.limit_train_batches != 1.0):
            group = 1
        unlabeled = None
        if getattr(model, "needs_unlabeled", False):
            unlabeled = EndlessRows(self.arrays.train_inputs, self.unlabeled_indices, self.unlabeled_generator)
        return MinibatchLoader(
            *self.labeled_samples,
            self.batch_size,
            group=group,
            generator=self.shuffle_generator,
            least=getattr(model, "min_updates_per_epoch", 1),
            unlabeled=unlabeled,
        )

    def test_dataloader(self) -> BatchLoader:
        return BatchLoader(self.arrays.test_inputs, self.arrays.test_targets)

    def predict_dataloader(self) -> BatchLoader:
        """The test set."""
        return self.test_dataloader()

    def pool_blocks(self, query: Tensor | None = None) -> TensorBlocks:
        """The unlabeled inputs, in pool order, or those of a query, in its order; see :meth:`label`."""
        return TensorBlocks(
            self.arrays.train_inputs, self.unlabeled_indices if query is None else self.indices_of(query)
        )

    def labeled_blocks(self) -> TensorBlocks:
        """The labeled inputs, in training-set order; copies, lest a model that writes to its inputs spoils them."""
        inputs, _ = self.labeled_samples
        return TensorBlocks(inputs, torch.arange(len(inputs)))

    def test_blocks(self) -> TensorBlocks:
        """The inputs of the test set, in its order."""
        return TensorBlocks(self.arrays.test_inputs)
