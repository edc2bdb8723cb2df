"""A data set of images in a folder for each class."""

import hashlib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from al_lightning.data.class_names import IN_OPTION, check_class_names
from al_lightning.data.datamodule import PoolDataModule
from al_lightning.data.datasets import DatasetBlocks, Datasets
from al_lightning.data.folder_layout import UNLABELED, Layout, descended, find_layout, part_of
from al_lightning.data.folder_summary import class_folders, describe, listed
from al_lightning.data.given_labels import FilesByName, GivenLabels
from al_lightning.data.growth import TEST, KnownFile, Placed, file_digest, place, relative_name
from al_lightning.data.image_reader import Found, ImageReader
from al_lightning.data.images import FoundFiles, ImageFiles, ImageTransform, find_files, readable, unreadable
from al_lightning.data.labels import UNKNOWN
from al_lightning.data.memory import BYTES, hold
from al_lightning.data.new_samples import NewImages, find_images
from al_lightning.data.source import Arrays
from al_lightning.data.splits import draw_test_set
from al_lightning.errors import InputError, composed, did_you_mean
from al_lightning.paths import expanded, folder_of_images


class ImageFolder(PoolDataModule):
    """Images in a folder for each class.

    ::

        photos/cat/1.jpg          Each class is a folder. The test set is drawn.
        photos/train/cat/1.jpg    Or the test set is given: photos/test (or val) has the same classes.
        photos/unlabeled/9.jpg    The class is unknown. The same is true outside of all folders of classes.
                                  `loop.oracle` FileOracle asks people for these labels.

    The folders train (or training), test (testing), val (valid, validation) and unlabeled may be written in upper or
    lower case. If both test and val exist, test is the test set. If one folder contains all others, for example in
    photos/data/cat, the search goes on inside it. A folder without images is not a class unless `classes` names it. A
    summary on standard output says what was found and what was left out.

    Images are resized, cut to a square and standardised as networks pretrained on ImageNet expect. They are held in
    memory if they fit and are not augmented. Otherwise worker processes read them from disk in every epoch.

    A run decodes each image once, to see whether it can be read. It keeps the result in the folder ``cache`` of the run
    folder, see :mod:`~al_lightning.data.image_cache`, so that a run that goes on decodes only files with new content.
    In Python, the loop names this folder: give the data to the loop before you ask for samples, or call
    :meth:`~al_lightning.data.PoolDataModule.use_cache`.

    Args:
        root: The folder.
        image_size: Height and width in pixels that images are brought to.
        channels: 3 for colour, 1 for grey.
        classes: Names of the classes in the order of their indices. By default the names of the folders, sorted.
        test_fraction: Share of the labeled images, in [0, 1), that is drawn as the test set if no folder has one.
        corrupt: What to do about files that cannot be read. ``refuse`` names them all and does not begin. ``skip``
            names them and leaves them out. ``trust`` does not check files in advance; a file that cannot be read ends
            the run.
        train_transform: A transform of ``torchvision.transforms.v2`` that augments images to train on, never those to
            score or test. It gets uint8 images in their original size.
        num_workers: Processes that read images ahead where they are not in memory.
        max_memory: GiB that images in memory may take; 0 always reads them from disk.
        **kwargs: Arguments of :class:`~al_lightning.data.PoolDataModule`.

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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
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
        self._size = (image_size, channels)
        self._transform = ImageTransform(image_size, channels)
        self._train_transform = ImageTransform(image_size, channels, train_transform) if train_transform else None
        self._files: list[Path] = []
        self._test_files: list[Path] = []
        self._num_unreadable = 0
        self._is_drawn = False
        self._given_digest = ""
        self._digests: dict[Path, str] = {}
        self._num_values = channels * image_size**2
        self._found: Found | None = None
        self._held_files: tuple[list[Path], list[Path]] | None = None
        """Training and test files whose images are in memory, in the order of the inputs."""

    def load(self) -> Arrays | Datasets:
        with ImageReader(self._transform, *self._size, self._cache_folder) as reader:
            held = self._load(reader)
        self._found = reader.found
        return held

    def _load(self, reader: ImageReader) -> Arrays | Datasets:
        self._num_unreadable, self._digests = 0, {}
        layout = self._layout()
        parts = (layout.train, *([layout.test] if layout.test else []), *layout.left_out)
        found = find_files(layout.train, skipped=[part for part in parts if part != layout.train])
        given = None if self.labels is None else self._read_labels(found)
        self.class_names = check_class_names(self.classes or self._found_classes(layout, found, given))
        if not self.class_names and self.needs_classes:
            raise InputError(
                f"Expected `data.classes` to name the classes, since {layout.train} has no folder of a class, "
                "but got none."
            )
        train_files, train_targets = self._labeled_files(layout.train, found, reader)
        if given is None:
            self._check_classes(layout.train, train_targets)
        others, unlabeled = found.others, [find_files(folder) for folder in layout.unlabeled]
        for more in unlabeled:
            train_files += self._readable(more.images, reader)
            others += more.others
        train_targets = torch.cat([train_targets, torch.full((len(train_files) - len(train_targets),), UNKNOWN)])
        if given is not None:
            find = FilesByName(train_files, self.root).find
            for position, target in given.classes(self.class_names, find).items():
                train_targets[position] = target
            self._given_digest = hashlib.sha256(train_targets.numpy().tobytes()).hexdigest()
        test_part = None if layout.test is None else descended(layout.test, self.class_names)
        self._is_drawn = test_part is None
        if test_part is not None:
            of_test = find_files(test_part)
            others += of_test.others
            test_files, test_targets = self._labeled_files(test_part, of_test, reader)
            if not test_files:
                raise InputError(f"Expected images to test on in {layout.test}, but got none.")
            if (test_targets == UNKNOWN).any():
                raise InputError(f"Expected all images in {layout.test} to be in folders of classes, but some are not.")
        else:
            train, test = self._drawn(train_files, train_targets)
            test_files, test_targets = [train_files[i] for i in test.tolist()], train_targets[test]
            train_files, train_targets = [train_files[i] for i in train.tolist()], train_targets[train]
        if not train_files:
            raise InputError(f"Expected images to train on in {layout.train}, but got none.")
        all_files, there = self._placed(train_files)
        train_files, train_targets = [train_files[i] for i in there.tolist()], train_targets[there]
        if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            of_train = self.class_names, train_files, train_targets
            print(describe(self.root, layout, *of_train, len(test_files), others, self._num_unreadable))
        self.class_names = self.class_names or None
        self._files, self._test_files = all_files, test_files
        pool, test_set = (ImageFiles(files, self._transform, reader.made) for files in (train_files, test_files))
        augmented = None if self._train_transform is None else ImageFiles(train_files, self._train_transform)
        limits = self.max_memory, self.num_workers
        held = hold(pool, test_set, train_targets, test_targets, *limits, augmented, self._num_values)
        self._held_files = (train_files, test_files) if isinstance(held, Arrays) else None
        return held

    def write_cache(self, folder: Path) -> None:
        if self._found is None:
            return
        parts = None
        if self._held_files is not None:
            if not isinstance(self.source, Arrays):  # of a subclass
                return
            parts = list(zip(self._held_files, (self.source.train_inputs, self.source.test_inputs), strict=True))
        try:
            with ImageReader(self._transform, *self._size, folder) as writer:
                writer.write(self._found, parts)
        except OSError as error:
            warnings.warn(
                f"Expected to write decoded images to {folder}, but got: {error.strerror or error}; the next start of "
                "the run decodes them again.",
                stacklevel=2,
            )

    def file_of(self, index: int) -> str | None:
        self.setup()
        return str(self._files[index])

    def test_files(self) -> list[str]:
        self.setup()
        return [str(path) for path in self._test_files]

    def name_of(self, index: int) -> str:
        self.setup()
        return relative_name(self._files[index], self.root)

    def known_files(self) -> list[KnownFile]:
        """All samples, those of a drawn test set first. A run keeps this list, see :meth:`arrange`."""
        self.setup()
        is_there = self._there.tolist() if self._there is not None else [True] * len(self._files)
        drawn = self._test_files if self._is_drawn else []
        rows = [KnownFile(TEST, relative_name(path, self.root), self._digest(path)) for path in drawn]
        for index, path in enumerate(self._files):
            rows.append(KnownFile(index, relative_name(path, self.root), self._digest(path), is_there[index]))
        return rows

    def fingerprint(self) -> str:
        self.setup()
        if self.begun is not None and self.begun.files:
            return self.begun.samples  # the run's list of files takes the place of a fingerprint
        names = "\n".join(path.relative_to(self.root).as_posix() for path in self._files)
        return hashlib.sha256(os.fsencode(names + self._given_digest)).hexdigest()

    def _found_classes(self, layout: Layout, found: FoundFiles, given: GivenLabels | None) -> list[str]:
        """The classes in folders and in the table of labels, sorted."""
        folders = class_folders(layout, found)
        known = set(map(composed, folders))
        more = [] if given is None else [name for name in given.names() if name not in known]
        return sorted([*folders, *more])

    def _read_labels(self, found: FoundFiles) -> GivenLabels:
        assert self.labels is not None
        return GivenLabels(self.labels, [*(self.classes or ()), *(path.name for path in found.images)])

    def _take_given_labels(self) -> None:
        """Does nothing: :meth:`load` took the labels, because they decide on the test set."""

    def blocks_of(self, paths: Sequence[Path]) -> DatasetBlocks:
        """Other images, as they are scored."""
        return DatasetBlocks(ImageFiles(paths, self._transform), num_workers=self.num_workers)

    def new_samples(self, path: Path) -> NewImages:
        return find_images(path, self._transform)

    def _layout(self) -> Layout:
        return find_layout(folder_of_images(self.root), check_class_names(self.classes or (), IN_OPTION))

    def _labeled_files(self, folder: Path, found: FoundFiles, reader: ImageReader) -> tuple[list[Path], Tensor]:
        """The readable images of a part and their class indices."""
        assert self.class_names is not None
        index_of = {composed(name): index for index, name in enumerate(self.class_names)}
        files = self._readable(found.images, reader)
        targets = []
        for path in files:
            name = path.relative_to(folder).parts[0] if path.parent != folder else UNLABELED
            index = index_of.get(composed(name))
            if index is None and part_of(name) != UNLABELED:
                hint = "; images without a class may be in a folder `unlabeled`."
                if name.lower() in map(str.lower, self.class_names):
                    hint = did_you_mean(name, self.class_names)
                raise InputError(
                    f"Expected the folders in {folder} to be classes, {listed(self.class_names)}, "
                    f"but got `{name}`; see `data.classes`{hint}"
                )
            targets.append(UNKNOWN if index is None else index)
        return files, torch.tensor(targets, dtype=torch.int64)

    def _drawn(self, files: Sequence[Path], targets: Tensor) -> tuple[Tensor, Tensor]:
        """Positions of the training and the test samples. A run that goes on keeps its test set."""
        if self.begun is None or not self.begun.files:
            return draw_test_set(targets, self.test_fraction)
        test = torch.tensor(self._place(files, self.begun.files).test, dtype=torch.int64)
        is_test = torch.zeros(len(files), dtype=torch.bool)
        is_test[test] = True
        return (~is_test).nonzero().squeeze(1), test

    def _placed(self, files: Sequence[Path]) -> tuple[list[Path], Tensor]:
        """Gives training samples their indices in a run that goes on.

        Returns:
            The files by training-set index, and the positions of the samples that are there in the order of their
            indices.
        """
        if self.begun is None or not self.begun.files:
            return list(files), torch.arange(len(files))
        # A drawn test set is not among the files any more: a copy of a test image is a sample of its own.
        known = [sample for sample in self.begun.files if sample.index != TEST or not self._is_drawn]
        placed = self._place(files, known)
        self._growth = placed.growth
        found = torch.tensor(placed.found, dtype=torch.int64)
        if (found < 0).any():
            self._there = found >= 0
        paths = [self.root / name if i < 0 else files[i] for name, i in zip(placed.names, placed.found, strict=True)]
        self._digests |= dict(zip(paths, placed.digests, strict=True))
        return paths, found[found >= 0]

    def _place(self, files: Sequence[Path], known: Sequence[KnownFile]) -> Placed:
        names = [relative_name(path, self.root) for path in files]
        return place(known, names, [self._digest(path) for path in files])

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            self._digests[path] = file_digest(path)
        return self._digests[path]

    def _check_classes(self, folder: Path, targets: Tensor) -> None:
        """Refuses classes without a readable image, unless the user named the classes."""
        assert self.class_names is not None
        if self.classes:
            return
        gone = [name for index, name in enumerate(self.class_names) if not (targets == index).any()]
        if gone:
            raise InputError(f"Expected images of class `{gone[0]}` in {folder / gone[0]}, but none can be read.")

    def _readable(self, paths: list[Path], reader: ImageReader) -> list[Path]:
        """Leaves out files that cannot be read, or refuses the data set."""
        fit = BYTES * self._num_values * (len(reader.made) + len(paths)) <= self.max_memory * 2**30
        is_held = fit and self._train_transform is None
        if self.corrupt == "trust":
            if is_held:
                unreadable(paths, reader.make)  # a file that cannot be read is named when it is needed
            return paths
        found = readable(paths, self.corrupt == "refuse", reader.make if is_held else reader.check)
        self._num_unreadable += len(paths) - len(found)
        return found
