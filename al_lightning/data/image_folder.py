"""A folder of images, labeled by the folders they are in."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from al_lightning.data.datasets import DatasetBlocks, Datasets
from al_lightning.data.images import MOST_NAMED, ImageFiles, ImageTransform, image_files, readable
from al_lightning.data.memory import hold
from al_lightning.data.pool import UNKNOWN, Arrays, PoolDataModule, check_class_names
from al_lightning.data.splits import draw_test_set
from al_lightning.errors import InputError
from al_lightning.paths import expanded

UNLABELED = "unlabeled"
TEST_FOLDERS = ("test", "val", "valid", "validation")


class ImageFolder(PoolDataModule):
    """Images in a folder for each class.

    ::

        photos/cat/1.jpg                 a class is a folder; the test set is drawn
        photos/train/cat/1.jpg           or it is given: photos/test (or val) has the same classes
        photos/unlabeled/9.jpg           of no known class, and so are images that lie in no folder of a class;
                                         they are for `loop.oracle` FileOracle, which asks people

    Images are resized, cut to a square and standardised as networks pretrained on ImageNet expect. They are held in
    memory if they fit and are not augmented; otherwise worker processes read them from disk again and again.

    Args:
        root: The folder.
        image_size: Height and width in pixels that images are brought to.
        channels: 3 for colour, 1 for grey.
        classes: Names of the classes in the order of their indices; the names of the folders, sorted, if not given.
        test_fraction: Share of the labeled images that is drawn as test set where no folder has one, in [0, 1).
        corrupt: What is done about files that cannot be read. ``refuse``: all of them are named, and nothing begins.
            ``skip``: they are named and left out. ``trust``: files are not looked at before they are needed, and one
            that cannot be read ends the run.
        train_transform: A transform of ``torchvision.transforms.v2`` that augments images to train on, never those to
            score or test. It gets uint8 images as large as they are.
        num_workers: Processes that read images ahead where they are not in memory.
        max_memory: GiB that images in memory may take, 0 to read them from disk always.
        num_initial: Number of samples labeled before the first round.
        initial: How the initial set is drawn: ``random``, uniformly, or ``balanced``, the same number of each class.
        batch_size: Samples in a minibatch of training.

    Raises:
        InputError: If there are no images, classes are missing, a file cannot be read, or an argument is out of range.
    """

    no_settings = ("train_transform",)

    def __init__(
        self,
        root: str,
        image_size: int = 64,
        channels: Literal[1, 3] = 3,
        classes: list[str] | None = None,
        test_fraction: float = 0.2,
        corrupt: Literal["refuse", "skip", "trust"] = "refuse",
        train_transform: nn.Module | None = None,
        num_workers: int = 2,
        max_memory: float = 2.0,
        num_initial: int = 500,
        initial: Literal["random", "balanced"] = "random",
        batch_size: int = 64,
    ) -> None:
        super().__init__(num_initial, initial, batch_size)
        if image_size < 1:
            raise InputError(f"Expected `data.image_size` to be at least 1, but got {image_size}.")
        if num_workers < 0:
            raise InputError(f"Expected `data.num_workers` to be at least 0, but got {num_workers}.")
        self.root = Path(expanded(root))
        self.classes = classes
        self.test_fraction = test_fraction
        self.corrupt = corrupt
        self.num_workers = num_workers
        self.max_memory = max_memory
        self.train_transform = train_transform
        self._transform = ImageTransform(image_size, channels)
        self._train_transform = ImageTransform(image_size, channels, train_transform) if train_transform else None
        self._files: list[Path] = []
        self._test_files: list[Path] = []

    def load(self) -> Arrays | Datasets:
        train_folder, test_folder = self._folders()
        folders = _class_folders(train_folder, test_folder)
        self.class_names = check_class_names(self.classes or folders)
        if not self.class_names:
            raise InputError(
                f"Expected `data.classes` to name the classes, since {train_folder} has no folder of a class, "
                "but got none."
            )
        train_files, train_targets = self._find(train_folder, skipped=test_folder)
        unlabeled = self.root / UNLABELED
        if train_folder != self.root and unlabeled.is_dir():
            more = self._readable(image_files(unlabeled))
            train_files += more
            train_targets = torch.cat([train_targets, torch.full((len(more),), UNKNOWN)])
        if test_folder is not None:
            test_files, test_targets = self._find(test_folder)
            if not test_files:
                raise InputError(f"Expected images to test on in {test_folder}, but got none.")
            if (test_targets == UNKNOWN).any():
                raise InputError(f"Expected all images in {test_folder} to be in folders of classes, but some are not.")
        else:
            train, test = draw_test_set(train_targets, self.test_fraction)
            test_files, test_targets = [train_files[i] for i in test.tolist()], train_targets[test]
            train_files, train_targets = [train_files[i] for i in train.tolist()], train_targets[train]
        if not train_files:
            raise InputError(f"Expected images to train on in {train_folder}, but got none.")
        self._files, self._test_files = train_files, test_files
        pool, test_set = ImageFiles(train_files, self._transform), ImageFiles(test_files, self._transform)
        augmented = None if self._train_transform is None else ImageFiles(train_files, self._train_transform)
        return hold(pool, test_set, train_targets, test_targets, self.max_memory, self.num_workers, augmented)

    def file_of(self, index: int) -> str | None:
        self.setup()
        return str(self._files[index])

    def test_files(self) -> list[str]:
        self.setup()
        return [str(path) for path in self._test_files]

    def fingerprint(self) -> str:
        self.setup()
        names = "\n".join(path.relative_to(self.root).as_posix() for path in self._files)
        return hashlib.sha256(names.encode()).hexdigest()

    def blocks_of(self, paths: Sequence[Path]) -> DatasetBlocks:
        """Other images, as they are scored."""
        return DatasetBlocks(ImageFiles(paths, self._transform), num_workers=self.num_workers)

    def _folders(self) -> tuple[Path, Path | None]:
        """The folder of the training images, and that of the test images if there is one."""
        if not self.root.is_dir():
            raise InputError(f"Expected `data.root` to be a folder of images, but there is no {self.root}.")
        train = self.root / "train" if (self.root / "train").is_dir() else self.root
        beside = {path.name for path in self.root.iterdir() if path.is_dir() and not path.name.startswith(".")}
        others = sorted(beside - {"train", UNLABELED, *TEST_FOLDERS})
        if train != self.root and others:
            raise InputError(
                f"Expected the classes of {self.root} in its folder train, where there is one, but got `{others[0]}` "
                "beside it."
            )
        # a folder that is called test and has no folders in it is a class of that name
        tests = (self.root / name for name in TEST_FOLDERS if (self.root / name).is_dir())
        return train, next(
            (test for test in tests if any(path.is_dir() and not path.name.startswith(".") for path in test.iterdir())),
            None,
        )

    def _find(self, folder: Path, skipped: Path | None = None) -> tuple[list[Path], Tensor]:
        """The readable images of a folder and their class indices."""
        assert self.class_names is not None
        files, targets = [], []
        index_of = {name: index for index, name in enumerate(self.class_names)}
        found = image_files(folder)
        if skipped is not None:
            found = [path for path in found if skipped not in path.parents]
        for path in self._readable(found):
            name = path.relative_to(folder).parts[0] if path.parent != folder else UNLABELED
            if name not in index_of and name != UNLABELED:
                raise InputError(
                    f"Expected the folders in {folder} to be classes, {_listed(list(self.class_names))}, "
                    f"but got `{name}`; see `data.classes`."
                )
            files.append(path)
            targets.append(index_of.get(name, UNKNOWN))
        return files, torch.tensor(targets, dtype=torch.int64)

    def _readable(self, paths: list[Path]) -> list[Path]:
        """Leaves out the files that cannot be read, or refuses them."""
        if self.corrupt == "trust":
            return paths
        return readable(paths, refuse=self.corrupt == "refuse")


def _class_folders(folder: Path, test_folder: Path | None) -> list[str]:
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir() and path != test_folder and path.name != UNLABELED and not path.name.startswith(".")
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
