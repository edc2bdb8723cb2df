"""Data that the user has already: map-style datasets, or a LightningDataModule."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import lightning.pytorch as L
import numpy as np
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.utils.data import DataLoader, Dataset, default_collate, default_convert

from al_lightning.data.datamodule import PoolDataModule
from al_lightning.data.datasets import Datasets
from al_lightning.data.reading import num_samples
from al_lightning.data.samplers import batch_size_of, chosen_indices, subset
from al_lightning.errors import InputError

BATCH_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
"""Methods of a data module that Lightning calls for each batch."""


class DatasetPool(PoolDataModule):
    """Map-style datasets: ``--data DatasetPool --data.train my_module.MyTrain --data.test my_module.MyTest``.

    An item is a tuple or a mapping that holds an input (a tensor), a class, and perhaps other parts. Classes are read
    from the attribute ``targets`` if the dataset has this attribute and it agrees with the items. Otherwise all items
    are read once. A class is a whole number or a name; -1 or an empty name is an unknown class.

    Args:
        train: The training samples.
        test: The test samples.
        pool: The training samples in the same order, without random augmentations: strategies score these. By default
            ``train``.
        classes: Names of the classes in the order of their indices. By default the names that the items have, sorted.
        num_workers: Processes that read ahead; 0 reads in the main process.
        num_initial: Number of samples labeled before the first round.
        initial: How the initial set is chosen, see :class:`~al_lightning.data.PoolDataModule`.
        batch_size: Samples in a minibatch of training.
        label_key: Which part of an item is the class, if this is not evident. Give a position in a tuple, from 0, or a
            key of a mapping.
        image_key: Which part of an item is the input, if this is not evident.
        text_key: The same as ``image_key``, for texts.
        collate_fn: Makes a batch of a list of items, like ``collate_fn`` of torch's DataLoader. The batch is a tuple or
            a mapping that contains the classes. The function may pad the items. Models train and test on this batch,
            and score it without the classes.
        labels: See :class:`~al_lightning.data.PoolDataModule`.
        initial_features: See :class:`~al_lightning.data.PoolDataModule`.

    Raises:
        InputError: If the datasets are not map-style, or their items are not as described above.
    """

    no_settings = ("train", "test", "pool", "collate_fn")

    def __init__(
        self,
        train: Dataset,
        test: Dataset,
        pool: Dataset | None = None,
        classes: list[str] | None = None,
        num_workers: int = 0,
        num_initial: int = 500,
        initial: str = "random",
        batch_size: int = 64,
        label_key: int | str | None = None,
        image_key: int | str | None = None,
        text_key: int | str | None = None,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        labels: str | None = None,
        initial_features: str = "inputs",
    ) -> None:
        super().__init__(num_initial, initial, batch_size, labels, initial_features)
        if num_workers < 0:
            raise InputError(f"Expected `data.num_workers` to be at least 0, but got {num_workers}.")
        self.train = train
        self.test = test
        self.pool = pool
        self.num_workers = num_workers
        self.class_names = tuple(classes) if classes else None
        self.label_key = label_key
        self.input_key = _input_key(image_key, text_key)
        self.collate_fn = collate_fn

    def load(self) -> Datasets:
        return Datasets(
            self.train,
            self.test,
            self.pool,
            num_workers=self.num_workers,
            label_key=self.label_key,
            input_key=self.input_key,
            class_names=self.class_names,
            collate_fn=self.collate_fn,
        )


class DataModuleAdapter(PoolDataModule):
    """A user's own LightningDataModule: ``--data DataModuleAdapter --data.datamodule my_module.MyDataModule``.

    The adapter calls ``prepare_data``, ``setup("fit")`` and ``setup("test")``. Then it takes the datasets of
    ``train_dataloader`` and ``test_dataloader``, or of ``val_dataloader`` if there is no test set. The adapter itself
    manages batches, shuffles and the labeled set.

    If the training set is augmented at random, the data module also needs a method ``pool_dataloader``. The dataset of
    this loader has the same samples in the same order without augmentations; strategies score these.

    A sampler that leaves samples out, for example SubsetRandomSampler, chooses the samples that the run uses. All other
    samplers are ignored. The model's ``validation_step`` gets the batches of ``val_dataloader`` during the fits, and
    callbacks may watch its results.

    Args:
        datamodule: The data module.
        num_initial: Number of samples labeled before the first round.
        initial: How the initial set is chosen, see :class:`~al_lightning.data.PoolDataModule`.
        batch_size: Samples in a minibatch of training. By default the batch size of its training loader.
        label_key: Which part of an item is the class, if this is not evident. Give a position in a tuple, from 0, or a
            key of a mapping.
        image_key: Which part of an item is the input, if this is not evident.
        text_key: The same as ``image_key``, for texts.
        labels: See :class:`~al_lightning.data.PoolDataModule`.
        initial_features: See :class:`~al_lightning.data.PoolDataModule`.

    Raises:
        InputError: If a loader is missing, or its dataset is not map-style.
    """

    no_settings = ("datamodule",)

    def __init__(
        self,
        datamodule: L.LightningDataModule,
        num_initial: int = 500,
        initial: str = "random",
        batch_size: int | None = None,
        label_key: int | str | None = None,
        image_key: int | str | None = None,
        text_key: int | str | None = None,
        labels: str | None = None,
        initial_features: str = "inputs",
    ) -> None:
        super().__init__(num_initial, initial, 64 if batch_size is None else batch_size, labels, initial_features)
        self.datamodule = datamodule
        self.label_key = label_key
        self.input_key = _input_key(image_key, text_key)
        self._takes_its_batch_size = batch_size is None
        self._keeps_labels = True
        self._validation: Any = None
        for hook in BATCH_HOOKS:
            if is_overridden(hook, datamodule):
                setattr(self, hook, getattr(datamodule, hook))

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        self.datamodule.trainer = self.trainer  # its hooks may use the trainer

    def prepare_data(self) -> None:
        self.datamodule.prepare_data()

    def load(self) -> Datasets:
        self.datamodule.setup("fit")
        train = self._loader("train_dataloader")
        # before `setup("test")`, which may drop what the fits need
        self._validation = self.datamodule.val_dataloader() if self._has("val_dataloader") else None
        self.datamodule.setup("test")
        test = self._loader("test_dataloader", "val_dataloader")
        pool = self._loader("pool_dataloader") if hasattr(self.datamodule, "pool_dataloader") else None
        batch_size = batch_size_of(train)
        if self._takes_its_batch_size and batch_size is not None:
            self.batch_size = batch_size
        kind = type(self.datamodule).__name__
        part = chosen_indices(train, f"{kind}.train_dataloader")
        source = Datasets(
            subset(train.dataset, part),
            subset(test.dataset, chosen_indices(test, f"the test loader of {kind}")),
            None if pool is None else self._to_score(pool, train, part),
            num_workers=train.num_workers,
            label_key=self.label_key,
            input_key=self.input_key,
            class_names=_names(getattr(self.datamodule, "class_names", None)),
            collate_fn=_collate_fn(train),
            pool_collate_fn=_collate_fn(train if pool is None else pool),
            test_collate_fn=_collate_fn(test),
        )
        self._keeps_labels = source.are_indices
        if self._has("val_dataloader"):  # Lightning looks for validation loaders there
            setattr(self, "val_dataloader", self._val_loaders)  # noqa: B010 - a method, to mypy
        names = _names(getattr(train.dataset, "classes", None))
        if source.class_names is None and names and not source.has_odd_attributes:
            highest = max(int(part.max()) if len(part) else -1 for part in (source.train_targets, source.test_targets))
            source.class_names = names if highest < len(names) else None  # too few names: they name other labels
        return source

    def _to_score(self, pool: DataLoader, train: DataLoader, part: list[int] | None) -> Dataset:
        """The samples of the pool's loader. If that loader leaves none out, the training loader chooses the samples."""
        chosen = chosen_indices(pool, f"{type(self.datamodule).__name__}.pool_dataloader")
        if chosen is None and num_samples(pool.dataset) == num_samples(train.dataset):
            chosen = part
        return subset(pool.dataset, chosen)

    def _val_loaders(self) -> Any:
        """The user's loaders for validation during the fits, unchanged."""
        if not self._keeps_labels or (self.has_gaps and self.class_names is not None):
            warnings.warn(
                f"{type(self.datamodule).__name__}.val_dataloader is not used: its classes are not the indices from 0 "
                "up that the model is trained on.",
                stacklevel=2,
            )
            return []
        return [] if self._validation is None else self._validation

    def _has(self, name: str) -> bool:
        return hasattr(self.datamodule, name) and (
            not hasattr(L.LightningDataModule, name) or is_overridden(name, self.datamodule)
        )

    def _loader(self, *names: str) -> DataLoader:
        """Calls the first of these methods that the data module has."""
        kind = type(self.datamodule).__name__
        for name in names:
            if self._has(name):
                loader = getattr(self.datamodule, name)()
                if isinstance(loader, list | tuple) and len(loader) == 1:
                    loader = loader[0]
                dataset = getattr(loader, "dataset", None)
                # datasets of Hugging Face are no subclass of torch's Dataset, but have items by index
                is_map_style = isinstance(dataset, Dataset) or hasattr(dataset, "__getitem__")
                if isinstance(loader, Iterable) and is_map_style:
                    return loader  # type: ignore[return-value]
                got = type(loader).__name__
                raise InputError(f"Expected {kind}.{name} to return one loader of a map-style dataset, but got {got}.")
        raise InputError(f"Expected {kind} to have `{'` or `'.join(names)}`, but it has not.")


def _collate_fn(loader: DataLoader) -> Callable[[list[Any]], Any]:
    """The collate function of the loader, or torch's default one if the loader makes no batches."""
    return default_collate if loader.collate_fn is default_convert else loader.collate_fn


def _names(names: Any) -> tuple[str, ...] | None:
    is_a_list = isinstance(names, Sequence | np.ndarray) and not isinstance(names, str)
    return tuple(str(name) for name in names) if is_a_list and len(names) else None


def _input_key(image_key: int | str | None, text_key: int | str | None) -> int | str | None:
    if image_key is not None and text_key is not None:
        raise InputError(f"Expected `data.image_key` or `data.text_key`, but got both, `{image_key}` and `{text_key}`.")
    return text_key if image_key is None else image_key
