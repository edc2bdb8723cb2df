"""Data that others have made: map-style datasets, and a user's LightningDataModule."""

from collections.abc import Iterable, Sequence
from typing import Literal

import lightning.pytorch as L
from torch.utils.data import DataLoader, Dataset

from al_lightning.data.datasets import Datasets
from al_lightning.data.pool import PoolDataModule
from al_lightning.errors import InputError


class DatasetPool(PoolDataModule):
    """Map-style datasets: ``--data DatasetPool --data.train my_module.MyTrain --data.test my_module.MyTest``.

    Items are pairs of an input, a tensor, and a class index. Targets are read from an attribute ``targets`` if there is
    one, and otherwise from all items, once.

    Args:
        train: The training samples.
        test: The test samples.
        pool: The training samples again, in the same order, as they are to be scored: without random augmentations.
            These are ``train`` if not given.
        classes: Names of the classes in the order of their indices.
        num_workers: Processes that read ahead; 0 reads in the main process.
        num_initial: Number of samples labeled before the first round.
        initial: How the initial set is drawn: ``random``, uniformly, or ``balanced``, the same number of each class.
        batch_size: Samples in a minibatch of training.

    Raises:
        InputError: If the datasets are not map-style, or do not hold what is said above.
    """

    no_settings = ("train", "test", "pool")

    def __init__(
        self,
        train: Dataset,
        test: Dataset,
        pool: Dataset | None = None,
        classes: list[str] | None = None,
        num_workers: int = 0,
        num_initial: int = 500,
        initial: Literal["random", "balanced"] = "random",
        batch_size: int = 64,
    ) -> None:
        super().__init__(num_initial, initial, batch_size)
        if num_workers < 0:
            raise InputError(f"Expected `data.num_workers` to be at least 0, but got {num_workers}.")
        self.train = train
        self.test = test
        self.pool = pool
        self.num_workers = num_workers
        self.class_names = tuple(classes) if classes else None

    def load(self) -> Datasets:
        return Datasets(self.train, self.test, self.pool, num_workers=self.num_workers)


class DataModuleAdapter(PoolDataModule):
    """A user's own LightningDataModule: ``--data DataModuleAdapter --data.datamodule my_module.MyDataModule``.

    What it is asked for is ``prepare_data``, ``setup("fit")``, ``setup("test")`` and the datasets of its
    ``train_dataloader`` and ``test_dataloader``, or ``val_dataloader`` if it has no test set; batches, shuffles and
    the labeled set are managed here. If its training set is augmented at random, it needs a method ``pool_dataloader``
    as well, whose dataset has the same samples in the same order without that: these are scored.

    Args:
        datamodule: The data module.
        num_initial: Number of samples labeled before the first round.
        initial: How the initial set is drawn: ``random``, uniformly, or ``balanced``, the same number of each class.
        batch_size: Samples in a minibatch of training; that of its training loader if not given.

    Raises:
        InputError: If it has no such loader, or one without a map-style dataset.
    """

    no_settings = ("datamodule",)

    def __init__(
        self,
        datamodule: L.LightningDataModule,
        num_initial: int = 500,
        initial: Literal["random", "balanced"] = "random",
        batch_size: int | None = None,
    ) -> None:
        super().__init__(num_initial, initial, 64 if batch_size is None else batch_size)
        self.datamodule = datamodule
        self._takes_its_batch_size = batch_size is None

    def prepare_data(self) -> None:
        self.datamodule.prepare_data()

    def load(self) -> Datasets:
        self.datamodule.setup("fit")
        train = self._loader("train_dataloader")
        self.datamodule.setup("test")
        test = self._loader("test_dataloader", "val_dataloader")
        pool = self._loader("pool_dataloader").dataset if hasattr(self.datamodule, "pool_dataloader") else None
        if self._takes_its_batch_size and train.batch_size:
            self.batch_size = train.batch_size
        names = getattr(self.datamodule, "class_names", None) or getattr(train.dataset, "classes", None)
        self.class_names = tuple(str(name) for name in names) if isinstance(names, Sequence) else None
        return Datasets(train.dataset, test.dataset, pool, num_workers=train.num_workers)

    def _loader(self, *names: str) -> DataLoader:
        """What the first of these methods returns that the data module has."""
        from lightning.pytorch.utilities.model_helpers import is_overridden

        kind = type(self.datamodule).__name__
        for name in names:
            if hasattr(self.datamodule, name) and (
                not hasattr(L.LightningDataModule, name) or is_overridden(name, self.datamodule)
            ):
                loader = getattr(self.datamodule, name)()
                if isinstance(loader, Iterable) and isinstance(getattr(loader, "dataset", None), Dataset):
                    return loader  # type: ignore[return-value]
                got = type(loader).__name__
                raise InputError(f"Expected {kind}.{name} to return one loader of a map-style dataset, but got {got}.")
        raise InputError(f"Expected {kind} to have `{'` or `'.join(names)}`, but it has not.")
