"""Classification datasets of torchvision, by the name of their Python class."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.error import URLError

from torch import nn
from torch.utils.data import Dataset, Subset

from al_lightning.data.datamodule import PoolDataModule
from al_lightning.data.datasets import DatasetBlocks, Datasets, num_samples, targets_of
from al_lightning.data.images import ImageFiles, ImageTransform
from al_lightning.data.memory import hold
from al_lightning.data.new_samples import NewImages, find_images
from al_lightning.data.source import Arrays
from al_lightning.data.splits import draw_test_set
from al_lightning.errors import InputError
from al_lightning.paths import expanded

TEST_SPLITS = ("test", "val", "valid")


class Torchvision(PoolDataModule):
    """A classification data set of ``torchvision.datasets``: ``--data Torchvision --data.dataset CIFAR10``.

    The data set is searched in ``root``. If it is missing and torchvision can download it, it is downloaded to
    ``root``. Images are standardised as networks pretrained on ImageNet expect. They are held in memory if they fit and
    are not augmented.

    Args:
        dataset: Name of the Python class, such as ``CIFAR10``, ``SVHN``, ``EuroSAT`` or ``Food101``.
        root: Folder of the data.
        image_size: Height and width in pixels of the resized images. By default images keep their size; then all images
            must have the same size.
        channels: 3 for colour, 1 for grey.
        options: Other arguments of the Python class, such as ``{"split": "letters"}`` for EMNIST.
        test_fraction: Share, in [0, 1), that is drawn as the test set if the data set has none.
        train_transform: A transform of ``torchvision.transforms.v2`` that augments images to train on, never those to
            score or test. It gets uint8 images in their original size.
        num_workers: Processes that read images ahead if they are not in memory.
        max_memory: GiB that images in memory may take; 0 always reads them from disk.
        **kwargs: Arguments of :class:`~al_lightning.data.PoolDataModule`.

    Raises:
        InputError: If the data set does not exist, is not for classification, or cannot be found or downloaded.
    """

    no_settings = ("train_transform",)

    def __init__(
        self,
        dataset: str,
        root: str = "data",
        image_size: int | None = None,
        channels: Literal[1, 3] = 3,
        options: dict[str, Any] | None = None,
        test_fraction: float = 0.2,
        train_transform: nn.Module | None = None,
        num_workers: int = 2,
        max_memory: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if image_size is not None and image_size < 1:
            raise InputError(f"Expected `data.image_size` to be at least 1, but got {image_size}.")
        if num_workers < 0:
            raise InputError(f"Expected `data.num_workers` to be at least 0, but got {num_workers}.")
        self.dataset = dataset
        self.root = expanded(root)
        self.image_size = image_size
        self.channels = channels
        self.options = options or {}
        self.test_fraction = test_fraction
        self.train_transform = train_transform
        self.num_workers = num_workers
        self.max_memory = max_memory

    def load(self) -> Arrays | Datasets:
        transform = ImageTransform(self.image_size, self.channels)
        pool, test = self._splits(transform)
        train = pool
        if self.train_transform is not None:
            train, _ = self._splits(ImageTransform(self.image_size, self.channels, self.train_transform))
        targets = targets_of(pool, self.num_workers)
        self.class_names = _class_names(pool)
        if test is None:
            train_indices, test_indices = draw_test_set(targets, self.test_fraction)
            test, test_targets = Subset(pool, test_indices.tolist()), targets[test_indices]
            pool, train = Subset(pool, train_indices.tolist()), Subset(train, train_indices.tolist())
            targets = targets[train_indices]
        else:
            test_targets = targets_of(test, self.num_workers)
        for name, of_set in (("training", targets), ("test", test_targets)):
            if len(of_set) and int(of_set.min()) < 0:
                raise InputError(f"Expected {name} samples of {self.dataset} with classes, but some have none.")
        augmented = None if self.train_transform is None else train
        return hold(pool, test, targets, test_targets, self.max_memory, self.num_workers, augmented)

    def blocks_of(self, paths: Sequence[Path]) -> DatasetBlocks:
        """Images in files, transformed like the images of the data set that are scored."""
        transform = ImageTransform(self.image_size, self.channels)
        return DatasetBlocks(ImageFiles(paths, transform), num_workers=self.num_workers)

    def new_samples(self, path: Path) -> NewImages:
        return find_images(path, ImageTransform(self.image_size, self.channels))

    def _splits(self, transform: ImageTransform) -> tuple[Dataset, Dataset | None]:
        """The training set and, if there is one, the test set."""
        from torchvision import datasets  # slow to import

        cls = getattr(datasets, self.dataset, None)
        if not (inspect.isclass(cls) and issubclass(cls, datasets.VisionDataset)):
            raise InputError(
                "Expected `data.dataset` to be a class of torchvision.datasets, such as CIFAR10, "
                f"but got `{self.dataset}`."
            )
        parameters = inspect.signature(cls).parameters
        unknown = [name for name in self.options if name not in parameters]
        if unknown:
            raise InputError(f"Expected `data.options` to be arguments of {self.dataset}, but got `{unknown[0]}`.")
        if "train" in parameters:
            splits: list[dict[str, Any]] = [{"train": True}, {"train": False}]
        elif "split" in parameters and "split" not in self.options:
            splits = [{"split": "train"}]
            test_split = next((name for name in TEST_SPLITS if name in _split_names(cls)), "test")
            splits.append({"split": test_split})
        else:
            splits = [{}]
        made = [self._make(cls, parameters, transform, split) for split in splits]
        return made[0], made[1] if len(made) > 1 else None

    def _make(self, cls: Any, parameters: Any, transform: ImageTransform, split: dict[str, Any]) -> Dataset:
        arguments = {"root": self.root, "transform": transform, **split, **self.options}
        if "download" in parameters:
            arguments.setdefault("download", not self._is_there(cls, arguments))
        try:
            made: Dataset = cls(**arguments)
            num_samples(made)
            return made
        except (RuntimeError, URLError, OSError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise InputError(
                f"Expected {self.dataset} in `data.root` = {self.root}, but it is not there and could not be "
                f"downloaded: {reason.rstrip('.')}."
            ) from error
        except (TypeError, ValueError) as error:
            raise InputError(f"Expected `data.options` to go with {self.dataset}, but got: {error}.") from error

    def _is_there(self, cls: Any, arguments: dict[str, Any]) -> bool:
        """Whether the files exist. Then torchvision is not told to download them, which would need the network."""
        try:
            cls(**arguments, download=False)
        except (RuntimeError, OSError, TypeError, ValueError):
            return False
        return True


def _split_names(cls: Any) -> tuple[str, ...]:
    """Names of the splits in the documentation of a class; torchvision has no other place for them."""
    return tuple(
        name for name in TEST_SPLITS if f'"{name}"' in (cls.__doc__ or "") or f"'{name}'" in (cls.__doc__ or "")
    )


def _class_names(dataset: Any) -> tuple[str, ...] | None:
    names = getattr(dataset, "classes", None)
    return tuple(str(name) for name in names) if isinstance(names, list | tuple) and names else None
