"""PoolDataModule: a training set split into labeled and unlabeled samples, with the loaders of both."""

import hashlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.utilities.parsing import is_picklable
from torch import Tensor

from al_lightning.data.alike import check_arrays
from al_lightning.data.answer import Answer
from al_lightning.data.blocks import BatchLoader, Blocks, EndlessRows, MinibatchLoader, Rows
from al_lightning.data.collating import form_of, in_form
from al_lightning.data.given_labels import GivenLabels
from al_lightning.data.growth import Begun, Growth, KnownFile
from al_lightning.data.input_loader import InputLoader
from al_lightning.data.inputs import map_tensors, tensors_of
from al_lightning.data.labeled_pool import LabeledPool
from al_lightning.data.labels import UNKNOWN, class_indices, numbers_with_gaps, renumbered
from al_lightning.data.new_samples import NewSamples
from al_lightning.data.placed_rows import PlacedRows
from al_lightning.data.source import Arrays, Source, as_source
from al_lightning.errors import InputError
from al_lightning.models.protocol import traits
from al_lightning.paths import expanded

DRAWN = ("random", "balanced")
"""Values of ``initial`` that draw the initial set without a look at the inputs."""
SEEN = ("inputs", "model")
"""Values of ``initial_features`` besides files."""

ChooseInitial = Callable[[Tensor, int, torch.Generator], Tensor]
"""Chooses the given number of training-set indices among given ones. The generator is the only source of randomness."""


class PoolDataModule(L.LightningDataModule, ABC):
    """Manages which samples of a training set are labeled.

    Each data set is a subclass that implements :meth:`load`. This method returns :class:`Arrays` or
    :class:`~al_lightning.data.Datasets`.

    Args:
        num_initial: Number of samples labeled before the first round. With 0, the initial set is a first query: it has
            ``loop.query_size`` samples.
        initial: How the initial set is chosen. ``random``: uniformly. ``balanced``: the same number of each class. Or
            by a strategy that needs no trained model: ``typiclust``, ``kmeans``, ``max_herding`` or ``prob_cover``. The
            name of another such strategy, as ``CoreSet``, and the dotted path of your own class work, too.
        batch_size: Samples in a minibatch of training.
        initial_features: What such a strategy sees of the samples. ``inputs``: the inputs, flattened. ``model``: the
            features of the model as it is before the first fit. Or a file: an array ``(N, D)`` (.npy or .npz) with a
            row for each training sample, or a file of ``al-lightning features``.
        labels: A table of labels that are known besides those in the data, such as labels.csv of another run. It has a
            column ``label`` with names of classes, and a column ``file`` or ``index``. Its labels win over those in the
            data.

    Raises:
        InputError: If an argument is out of range.
    """

    class_names: Sequence[str] | None = None
    """Names of the classes in a report. By default their numbers."""

    shows_inputs = True
    """Whether inputs in the shape of images may be shown as images."""

    needs_classes = True
    """Whether the data are refused if nothing says which classes there are. Features need no classes."""

    no_settings: Sequence[str] = ()
    """Arguments that are objects and that no checkpoint saves."""

    def __init__(
        self,
        num_initial: int = 500,
        initial: str = "random",
        batch_size: int = 64,
        labels: str | None = None,
        initial_features: str = "inputs",
    ) -> None:
        super().__init__()
        if num_initial < 0:
            raise InputError(f"Expected `data.num_initial` to be at least 0, but got {num_initial}.")
        if initial in DRAWN and initial_features != "inputs":
            raise InputError(
                f"Expected `data.initial` to be a strategy such as typiclust with `data.initial_features` "
                f"{initial_features}, but got {initial}."
            )
        if batch_size < 1:
            raise InputError(f"Expected `data.batch_size` to be at least 1, but got {batch_size}.")
        self.save_hyperparameters(ignore=list(self.no_settings))
        for argument in [name for name, value in self.hparams.items() if not is_picklable(value)]:
            del self.hparams[argument]  # for example a lambda of a subclass: no checkpoint could hold it
        self.labels = expanded(labels)
        self.num_initial = num_initial
        self.initial = initial
        self.initial_features = initial_features if initial_features in SEEN else expanded(initial_features)
        self.batch_size = batch_size
        self.shuffle_generator: torch.Generator | None = None
        """Stream of the training shuffles. The loop sets a new one for each round."""
        self.unlabeled_generator: torch.Generator | None = None
        """Stream of the unlabeled samples in a semi-supervised fit. The loop sets a new one for each round."""
        self.transform_generator: torch.Generator | None = None
        """Stream of the random transforms of training samples. The loop sets a new one for each round."""
        self.query_size: int | None = None
        """Size of the initial set if ``num_initial`` is 0. The loop sets the size of its queries."""
        self.choose_initial: ChooseInitial | None = None
        """Chooses the initial set if ``initial`` names a strategy. The loop sets it."""
        self.begun: Begun | None = None
        """What the run that goes on knows of the samples; see :meth:`arrange`."""
        self._there: Tensor | None = None
        """Mask of the samples that are there; ``None`` if no sample has left. Set by :meth:`load`."""
        self._growth = Growth()
        self._given_names: Sequence[str] | None = None
        self._gets_form = False
        self._cache_folder: Path | None = None
        self._source: Source | None = None
        self._labeled_rows: Rows | None = None

    @abstractmethod
    def load(self) -> Source:
        """Reads the data set; called once."""

    def file_of(self, index: int) -> str | None:
        """Path of the file of a training sample, or its place in a file; ``None`` if there is no file."""
        return None

    def text_of(self, index: int) -> str:
        """Text that shows a training sample without an image file: its values, as they are scored."""
        values = [v for part in tensors_of(self.inputs_at(torch.tensor([index]))) for v in part.flatten().tolist()]
        return ", ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in values)

    @property
    def shows_texts(self) -> bool:
        """Whether :meth:`text_of` returns what people read, and not numbers."""
        return False

    def picture_of(self, index: int) -> Path | None:
        """Image file that shows a training sample, for data whose inputs are no images; ``None`` if there is none."""
        return None

    def test_files(self) -> list[str]:
        """Paths of the files of the test samples; empty if the samples have no files of their own."""
        return []

    def test_texts(self) -> list[str]:
        """Texts of the test samples; empty if the samples are no texts."""
        return []

    def new_samples(self, path: Path) -> NewSamples:
        """Samples from outside the data set, as they are scored.

        Args:
            path: A file, or a folder of files.

        Raises:
            InputError: If the file holds something else, or this data module reads no other samples.
        """
        raise InputError(
            f"Expected the data of the run to read other samples, as ImageFolder and NumpyFiles do, but "
            f"{type(self).__name__} has no method `new_samples`."
        )

    def fingerprint(self) -> str:
        """Returns a text that identifies the training samples and their order; here, a hash of their targets.

        For a run that goes on, only the samples that it knows count: see :meth:`arrange`.
        """
        self.setup()
        num_known = None if self.begun is None else self.begun.num_known
        return hashlib.sha256(self._given[0][:num_known].numpy().tobytes()).hexdigest()

    def content(self) -> str | None:
        """Returns an exact digest of the samples that a run knows; ``None`` if the fingerprint is enough."""
        return None

    def use_cache(self, folder: str | Path | None) -> None:
        """Names the folder in which an earlier start of the run may have left a cache for :meth:`load`.

        The loop calls this method before it uses the data. A cache changes no bit of the data.

        Args:
            folder: A folder that need not exist; ``None`` for no cache.
        """
        self._cache_folder = None if folder is None else Path(folder)

    def write_cache(self, folder: Path) -> None:
        """Leaves results in a folder that the next start of the run need not compute again; here, none.

        Args:
            folder: A folder that need not exist, in the folder of a run that no other process may write.
        """

    # -------------------------------------------------------------------------------------------- a pool that may grow

    def arrange(self, begun: Begun | None) -> None:
        """Gives the samples the training-set indices that they have in a run that goes on.

        New samples come after the samples of the run. A sample that left the data set keeps its index, but is in no
        pool. The loop calls this method before it uses the data.

        Args:
            begun: What the run knows of its samples; ``None`` for a new run, or for a run whose data may not change.
        """
        if begun == self.begun:
            return
        if self._source is not None:
            self._source, self._labeled_rows, self._there = None, None, None
            self._growth = Growth()
            self.class_names = self._given_names
        self.begun = begun

    def growth(self) -> Growth:
        """The samples that joined or left since the run looked last, and the samples that changed."""
        self.setup()
        if self.begun is None or self.begun.files:
            return self._growth
        return Growth(new=range(self.begun.num_known, len(self.train_targets)))

    def known_indices(self) -> Tensor | None:
        """Training-set indices that the fingerprints of the run cover, ascending.

        Returns:
            All samples for a new run. ``None`` if a sample of the run left or changed: then its fingerprint of the
            inputs cannot be compared.
        """
        there = self.indices_there
        if self.begun is None:
            return there
        if self._growth.left or self._growth.changed:
            return None
        new = torch.tensor(self.growth().new, dtype=torch.int64)
        return there[~torch.isin(there, new)]

    @property
    def indices_there(self) -> Tensor:
        """Training-set indices of all samples that did not leave the data set, ascending."""
        self.setup()
        return torch.arange(len(self._state.targets)) if self._there is None else self._there.nonzero().squeeze(1)

    def accept_growth(self) -> None:
        """Takes all samples for known: the run has written down which ones joined or left."""
        if self.begun is None:
            return
        files = tuple(self.known_files()) if self.begun.files else ()
        self._growth = Growth()
        self.begun = replace(self.begun, num_known=len(self.indices_there), files=files)
        self.begun = replace(self.begun, samples=self.fingerprint(), content=self.content())

    def known_files(self) -> list[KnownFile]:
        """All samples, if they have files of their own: a run keeps this list. Otherwise nothing."""
        return []

    def name_of(self, index: int) -> str:
        """Name of a training sample in tables: its path in the folder of the data, or its row in a file."""
        return self.file_of(index) or f"row {index}"

    def setup(self, stage: str | None = None) -> None:
        """Loads the data. Lightning calls this before every fit and every test; only the first call does anything."""
        if self._source is None:
            self._given_names = self.class_names
            source = as_source(self.load(), type(self).__name__)
            if isinstance(source, Arrays):
                check_arrays(*source, name=type(self).__name__)
            names = self.class_names
            if names is None:
                names = getattr(source, "class_names", None)
            parts = [source.train_targets, source.test_targets]
            self._form = getattr(source, "label_form", None) or form_of(source.train_targets)
            self._given, named, least = class_indices(parts, type(self).__name__, names)
            self._least_classes = least or 0
            if self.class_names is None and named is not None:
                self.class_names = named
            num_unknown = int((self._given[1] < 0).sum())
            if num_unknown:
                raise InputError(
                    f"Expected classes of all {len(self._given[1])} test samples, but {num_unknown} have none."
                )
            self._source = source
            self._rows = self._source.rows()
            if self._there is not None:
                self._leave_places()
            self._take_classes()
            self._warn_of_untrained_classes()

    def _leave_places(self) -> None:
        """Leaves the places of samples that left empty."""
        assert self._there is not None
        indices = self._there.nonzero().squeeze(1)
        targets = torch.full((len(self._there),), UNKNOWN)
        targets[indices] = self._given[0]
        self._given = [targets, self._given[1]]
        self._rows = PlacedRows(self._rows, indices, len(self._there))

    def _take_classes(self) -> None:
        """Finds out whether the classes are numbers that are not indices: numbers from 1 to K, or numbers with gaps."""
        self._gaps = numbers_with_gaps(self._given) if self.class_names is None and not self._least_classes else None
        self._number_classes(from_0=self._gaps is not None)
        if self._gaps is not None:
            first, last = self._gaps[0], self._gaps[-1]
            warnings.warn(
                f"The {len(self._gaps)} classes of {type(self).__name__} are the numbers from {first} to {last}: they "
                f"are counted from 0 in this order. Only a model with {last + 1} outputs or more keeps their numbers.",
                stacklevel=2,
            )

    def _warn_of_untrained_classes(self) -> None:
        """Warns of classes that have test samples but no training samples.

        Samples of unknown class silence the warning.
        """
        train, names = self._train_targets, self.class_names
        indices = sorted(set(self._test_targets.tolist()) - set(train.tolist()))
        if indices and len(train) and not bool((train < 0).any()):
            called = [str(index) if names is None else names[index] for index in indices]
            warnings.warn(
                f"{type(self).__name__} has test samples but no training samples of these classes: "
                f"{', '.join(called[:5])}{' and more' if len(called) > 5 else ''}.",
                stacklevel=2,
            )

    def _number_classes(self, from_0: bool) -> None:
        self._train_targets, self._test_targets = self._given
        if self._gaps is not None:
            index_of = {number: index for index, number in enumerate(self._gaps)}
            self.class_names = tuple(map(str, self._gaps)) if from_0 else None
            if from_0:
                self._train_targets, self._test_targets = (renumbered(part, index_of) for part in self._given)
        self._take_given_labels()
        self._state = LabeledPool(self._train_targets, self._there)

    def _take_given_labels(self) -> None:
        """Gives samples the labels of the table in ``labels``."""
        if self.labels is None:
            return
        num_classes = self._count_classes(self._train_targets)
        names = [str(name) for name in (range(num_classes) if self.class_names is None else self.class_names)]
        given = GivenLabels(self.labels, names).classes(names, self._index_of)
        self._train_targets = self._train_targets.clone()
        if given:
            self._train_targets[torch.tensor(list(given))] = torch.tensor(list(given.values()))

    def _index_of(self, answer: Answer) -> int | None:
        """Training-set index of the sample that a row of a table means; ``None`` if there is no such sample."""
        index = answer.index
        return index if index is not None and index < len(self._train_targets) else None

    def suit_outputs(self, num_outputs: int) -> None:
        """Numbers the classes as a model needs them, if they are numbers with gaps; this forgets all labels.

        The classes are counted from 0, unless the model has an output for each number up to the highest.

        Args:
            num_outputs: Number of outputs of the model.
        """
        self.setup()
        if self._gaps is not None:
            self._number_classes(from_0=num_outputs <= self._gaps[-1])
            self.set_labeled(torch.empty(0, dtype=torch.int64))

    def suit_logits(self, num_logits: int) -> None:
        """Gives a model with one logit its labels in the form of the data: floats, a column, or both.

        The loss of this model compares labels with logits, for example by ``binary_cross_entropy_with_logits``. All
        other models get class indices.

        Args:
            num_logits: Number of logits that ``forward`` of the model returns for a sample.
        """
        self._gets_form = num_logits == 1

    @property
    def has_label_form(self) -> bool:
        """Whether the labels of the data are floats or a column; see :meth:`suit_logits`."""
        self.setup()
        return any(self._form)

    def _in_form(self, targets: Tensor, model: Any) -> Tensor:
        of_user = not traits(model).takes_pairs
        return in_form(targets, self._form) if self._gets_form and of_user else targets

    @property
    def has_gaps(self) -> bool:
        """Whether the classes are numbers with gaps, or numbers that do not begin at 0; see :meth:`suit_outputs`."""
        self.setup()
        return self._gaps is not None

    @property
    def source(self) -> Source:
        """The data set. The first access loads it."""
        self.setup()
        assert self._source is not None
        return self._source

    @property
    def train_targets(self) -> Tensor:
        """Class indices of the training samples, int64, shape ``(N,)``, -1 where unknown; see :meth:`label`."""
        self.setup()
        return self._state.targets

    @property
    def test_targets(self) -> Tensor:
        """Class indices of the test samples, int64; there may be none."""
        self.setup()
        return self._test_targets

    def count_classes(self) -> int:
        """Returns the number of names of classes, or the highest class index plus 1 if there are no names."""
        self.setup()
        return self._count_classes(self._state.targets)

    def _count_classes(self, train_targets: Tensor) -> int:
        if self.class_names is not None:
            return len(self.class_names)
        highest = max(int(targets.max()) if len(targets) else -1 for targets in (train_targets, self._test_targets))
        return max(self._least_classes, 1 + highest)

    def list_class_names(self) -> list[str]:
        """Returns the names of the classes, or their numbers if they have no names."""
        num_classes = self.count_classes()  # loads the data, which may bring the names
        return [str(name) for name in (range(num_classes) if self.class_names is None else self.class_names)]

    def inputs_at(self, indices: Tensor) -> Any:
        """Training inputs by index, as they are scored, in one block; ``indices`` is not empty.

        Returns:
            A tensor ``(b, ...)``, or another form of :data:`~al_lightning.data.inputs.Inputs`.
        """
        self.setup()
        blocks = self._rows.blocks(indices)
        blocks.block_size = len(indices)
        (block,) = blocks
        return map_tensors(Tensor.clone, block)

    def sample_inputs(self, num: int = 1) -> Any:
        """The first ``num`` training inputs, or all if there are fewer, as they are scored; see :meth:`inputs_at`."""
        return self.inputs_at(self.indices_there[:num])

    @property
    def labeled(self) -> Tensor:
        """Mask of the labeled samples over the training set, bool, shape ``(N,)``; :meth:`label` changes it."""
        self.setup()
        return self._state.labeled

    @property
    def labeled_indices(self) -> Tensor:
        """Training-set indices of the labeled samples, ascending."""
        return self.labeled.nonzero().squeeze(1)

    @property
    def labeled_rows(self) -> Rows:
        """The labeled samples, in training-set order.

        They are gathered once, because a fit reads them many times and adjacent rows are read faster.
        """
        if self._labeled_rows is None:
            self._labeled_rows = self._rows.take(self.labeled_indices)
        return self._labeled_rows

    @property
    def labeled_targets(self) -> Tensor:
        """Class indices of the labeled samples, in training-set order."""
        return self.train_targets[self.labeled_indices]

    @property
    def unlabeled_indices(self) -> Tensor:
        """Training-set indices of the pool: position ``i`` in the pool is sample ``unlabeled_indices[i]``."""
        self.setup()
        return self._state.unlabeled_indices

    # ---------------------------------------------------------------------------------------------------- labeling

    def draw_initial(self, generator: torch.Generator, may_be_all: bool = False) -> Tensor:
        """Draws or chooses the initial set, without labeling it.

        Args:
            generator: CPU generator of the draw.
            may_be_all: Whether to draw all samples if there are fewer than asked for.

        Returns:
            Training-set indices in the order drawn, int64, shape ``(num_initial,)``.

        Raises:
            InputError: If there are too few samples, or too few samples of a class for a balanced set.
        """
        targets, there = self.train_targets, self.indices_there
        option, num = self._size_of_initial()
        if num > len(there) and not may_be_all:
            raise InputError(f"Expected `{option}` to be at most the training set size {len(there)}, but got {num}.")
        if self.initial not in DRAWN:
            if self.choose_initial is None:
                raise InputError(
                    f"Expected `data.initial` to be {' or '.join(DRAWN)} without a loop, but got {self.initial}."
                )
            return self.choose_initial(there, min(num, len(there)), generator)
        order = torch.randperm(len(targets), generator=generator)
        if self._there is not None:
            order = order[self._there[order]]
        if self.initial == "random":
            return order[:num]
        return order[self._balanced(targets[order], num, generator)]

    def _size_of_initial(self) -> tuple[str, int]:
        """The option that decides about the size of the initial set, and the size."""
        if self.num_initial > 0:
            return "data.num_initial", self.num_initial
        if self.query_size is None:
            raise InputError("Expected `data.num_initial` to be at least 1 without a loop, but got 0.")
        return "loop.query_size", self.query_size

    def _balanced(self, targets: Tensor, num: int, generator: torch.Generator) -> Tensor:
        """Positions of the first samples of each class: the same number of each, or one more of some classes."""
        num_classes = int(targets.max()) + 1
        per_class, rest = divmod(num, num_classes)
        quota = torch.full((num_classes,), per_class)
        quota[torch.randperm(num_classes, generator=generator)[:rest]] += 1
        positions = [(targets == c).nonzero().squeeze(1)[:n] for c, n in enumerate(quota.tolist())]
        for c, (found, n) in enumerate(zip(positions, quota.tolist(), strict=True)):
            if len(found) < n:
                raise InputError(
                    f"Expected at least {n} samples of class {c} for `data.initial` = balanced, but got {len(found)}."
                )
        return torch.cat(positions).sort().values

    def label(self, query: Tensor, labels: Tensor | None = None) -> Tensor:
        """Moves samples from the pool to the labeled set.

        Args:
            query: Distinct positions in the pool, int64, shape ``(b,)``.
            labels: Their class indices, int64, shape ``(b,)``. By default the classes that the data set knows. A label
                of -1 means that the labeler skipped the sample: the sample leaves the pool, and no fit trains on it.

        Returns:
            Their training-set indices, in the same order.

        Raises:
            InputError: If ``query`` or ``labels`` have another form. Then nothing is labeled.
        """
        indices = self.indices_of(query)
        self.label_indices(indices, labels)
        return indices

    def indices_of(self, query: Tensor) -> Tensor:
        """Turns positions in the pool into training-set indices. The argument is the same as in :meth:`label`."""
        self.setup()
        return self._state.indices_of(query)

    def label_indices(self, indices: Tensor, labels: Tensor | None = None) -> None:
        """Labels samples by their training-set indices. Labels and errors are the same as in :meth:`label`."""
        self.setup()
        self._labeled_rows = None
        self._state.label(indices, labels, self.count_classes())

    def set_labeled(self, indices: Tensor, labels: Tensor | None = None) -> None:
        """Makes exactly these training-set indices the labeled set. A run that is resumed begins with this call.

        Args:
            indices: Training-set indices, int64, shape ``(M,)``.
            labels: Their class indices, see :meth:`label`.
        """
        self.setup()
        self._state.clear()
        self.label_indices(indices, labels)

    # ----------------------------------------------------------------------------------------------------- loaders

    def train_dataloader(self) -> MinibatchLoader:
        """Shuffled minibatches of the labeled set, in the form that the model asks for.

        Four members of the model decide:

        - ``minibatches_per_step`` groups minibatches. It is ignored if the trainer counts minibatches, for
          ``max_steps`` or ``limit_train_batches``.
        - ``min_updates_per_epoch`` is the least number of minibatches in an epoch, which is otherwise one pass.
        - ``solves_at_once`` puts all labeled samples into one minibatch, in the order of the training set.
        - ``needs_unlabeled`` adds the same number of inputs of the pool to each minibatch.
        """
        trainer = self.trainer
        model = None if trainer is None else trainer.lightning_module
        group = traits(model).minibatches_per_step
        if group and trainer is not None and (trainer.max_steps != -1 or trainer.limit_train_batches != 1.0):
            group = 1
        at_once = traits(model).solves_at_once
        unlabeled = None
        if traits(model).needs_unlabeled:
            unlabeled = EndlessRows(self._rows, self.unlabeled_indices, self.unlabeled_generator)
        return MinibatchLoader(
            self.labeled_rows,
            self._in_form(self.labeled_targets, model),
            len(self.labeled_rows) if at_once else self.batch_size,
            group=group,
            in_order=at_once,
            generator=self.shuffle_generator,
            least=traits(model).min_updates_per_epoch,
            unlabeled=unlabeled,
            transform_generator=self.transform_generator,
            rank=0 if trainer is None or at_once else trainer.global_rank,
            size=1 if trainer is None or at_once else trainer.world_size,
            as_pairs=traits(model).takes_pairs,
        )

    def input_dataloader(self, seed: int, rank: int = 0, size: int = 1) -> InputLoader:
        """Shuffled minibatches of all training inputs, labeled or not, without labels.

        The arguments are those of :class:`~al_lightning.data.input_loader.InputLoader`.
        """
        self.setup()
        return InputLoader(self._rows, self.indices_there, self.batch_size, seed, rank, size)

    def test_dataloader(self) -> BatchLoader:
        model = None if self.trainer is None else self.trainer.lightning_module
        targets = self._in_form(self.test_targets, model)
        return BatchLoader(self.test_blocks(), targets, as_pairs=traits(model).takes_pairs)

    def predict_dataloader(self) -> BatchLoader:
        """The test set."""
        return self.test_dataloader()

    def test_blocks(self) -> Blocks:
        """The test inputs."""
        return self.source.test_blocks()

    def train_blocks(self, indices: Tensor | None = None) -> Blocks:
        """All training inputs as they are scored, labeled or not, or the ones at these indices."""
        self.setup()
        return self._rows.blocks(indices)

    def pool_blocks(self) -> Blocks:
        """The unlabeled inputs, in pool order."""
        return self.train_blocks(self.unlabeled_indices)

    def labeled_blocks(self) -> Blocks:
        """The labeled inputs, in training-set order. They are copies, because a model may write to its inputs."""
        rows = self.labeled_rows
        return rows.blocks(torch.arange(len(rows)))
