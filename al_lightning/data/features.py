"""Features: the rows that a network made of images or texts once, as a data set of their own."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from al_lightning.data.arranged_rows import (
    arrange_named_rows,
    arrange_rows,
    digest_of,
    known_rows,
    names_of_texts,
)
from al_lightning.data.class_names import IN_OPTION, check_class_names
from al_lightning.data.datamodule import PoolDataModule
from al_lightning.data.datasets import Datasets
from al_lightning.data.disk_rows import DiskRows
from al_lightning.data.feature_scaling import FeatureScaler, Scaling
from al_lightning.data.features_file import FeaturesFile, Part, read_features
from al_lightning.data.given_labels import FilesByName, GivenLabels, row_of
from al_lightning.data.growth import Growth, KnownFile
from al_lightning.data.labels import UNKNOWN
from al_lightning.data.memory import hold
from al_lightning.data.new_samples import NewBlock
from al_lightning.data.source import Arrays
from al_lightning.errors import InputError, composed, did_you_mean
from al_lightning.paths import expanded, folder_of_images

SAME = ("model", "weights", "inputs")
"""What files of features must have in common, if a model is to take both."""


class Features(PoolDataModule):
    """A file of ``al-lightning features``: ``--data Features --data.path photos.npz``.

    A run trains on the features. People see the images or texts that the features were made of: in the tables of
    questions, in Label Studio and in reports. The test set is that of the file, or it is drawn.

    If the file is made again of more images, the new ones join the pool of a run. Samples are found by the names and
    checksums of their files.

    Args:
        path: The file.
        root: Folder of the images, if it has moved since the file was made.
        classes: Names of the classes in the order of their indices. By default those of the file.
        test_fraction: Share of the labeled samples, in [0, 1), that is drawn as the test set if the file has none.
        scaling: How features are scaled: see :class:`~al_lightning.data.feature_scaling.FeatureScaler`. ``center``
            takes the mean and the size of all training samples, labeled or not.
        num_workers: Ignored: one process reads blocks of rows faster than several do.
        max_memory: GiB that features in memory may take, as float32.
        **kwargs: Arguments of :class:`~al_lightning.data.PoolDataModule`.

    Raises:
        InputError: If the file is missing, torn or another kind of file, or an argument is out of range.
    """

    shows_inputs = False  # a row of 784 features is no image

    def __init__(
        self,
        path: str,
        root: str | None = None,
        classes: list[str] | None = None,
        test_fraction: float = 0.2,
        scaling: Scaling = "center",
        num_workers: int = 2,
        max_memory: float = 8.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if scaling not in get_args(Scaling):
            raise InputError(f"Expected `data.scaling` to be {' or '.join(get_args(Scaling))}, but got {scaling}.")
        if num_workers < 0:
            raise InputError(f"Expected `data.num_workers` to be at least 0, but got {num_workers}.")
        self.path = expanded(path)
        self.root: Path | None = None if root is None else folder_of_images(Path(expanded(root)))
        """Folder of the images: the given one, or else the one that the file names."""
        self.classes = classes
        self.test_fraction = test_fraction
        self.scaling = scaling
        self.num_workers = num_workers
        self.max_memory = max_memory
        self._is_root_given = root is not None
        self._content: FeaturesFile | None = None
        self._scaler: FeatureScaler | None = None
        self._names: list[str] = []
        self._digests: list[str] = []
        self._rows_of = torch.empty(0, dtype=torch.int64)
        """Row of each training sample in the file, by index; -1 if it is not there."""
        self._test_rows: Tensor | None = None
        """Rows of a drawn test set; ``None`` if the file has a test set."""

    def load(self) -> Arrays | Datasets:
        content = self._content = read_features(Path(self.path))
        if not self._is_root_given:
            self.root = recorded_root(Path(self.path), content)
        part, test = content.train, content.test
        targets = self._targets(content)
        is_drawn = test is None
        names, digests = names_of(part)
        if names:
            arranged = arrange_named_rows(names, digests, targets[0], self.begun, is_drawn, self.test_fraction)
            self._names, self._digests, rows, test_rows, self._growth = arranged
        else:
            rows, test_rows = arrange_rows(targets[0], self.begun, is_drawn, self.test_fraction)
        if (rows < 0).any():
            self._there = rows >= 0
        self._rows_of = rows
        self._test_rows = test_rows if is_drawn else None
        rows = rows[rows >= 0]
        if len(rows) == 0:
            raise InputError(f"Expected samples to train on in {self.path}, but got none.")
        self._scaler = FeatureScaler(self.scaling, part.features, self._first_rows().numpy())
        of_test = part.features if test is None else test.features
        test_rows = test_rows if test is None else torch.arange(len(test))
        test_targets = targets[0][test_rows] if test is None else targets[1]
        train_set = DiskRows(part.features, self._scaler, rows)
        test_set = DiskRows(of_test, self._scaler, test_rows)
        return hold(train_set, test_set, targets[0][rows], test_targets, self.max_memory, num_workers=0)

    def file_of(self, index: int) -> str:
        """Path of the image, or the file of features and the row in it, from 0."""
        part = self._part()
        if part.files:
            return self._path_of(self._names[index])
        return f"{self.path}:{int(self._rows_of[index])}"

    def name_of(self, index: int) -> str:
        if self._part().files:
            return self._names[index]
        return Path(self.file_of(index)).name

    def text_of(self, index: int) -> str:
        part, row = self._part(), int(self._rows_of[index])
        return part.texts[row] if part.texts else super().text_of(index)

    @property
    def shows_texts(self) -> bool:
        return bool(self._part().texts)

    def picture_of(self, index: int) -> Path | None:
        part = self._part()
        return Path(self._path_of(self._names[index])) if part.files else None

    def test_files(self) -> list[str]:
        part = self._part()
        assert self._content is not None
        if self._test_rows is None:
            return [self._path_of(name) for name in self._content.test.files] if self._content.test else []
        return [self._path_of(part.files[row]) for row in self._test_rows.tolist()] if part.files else []

    def new_samples(self, path: Path) -> "NewFeatures":
        """Another file of features, made by the same network."""
        if path.is_dir():
            raise InputError(
                f"Expected a file of features, made by `al-lightning features` as {self.path} was, but {path} is a "
                "folder."
            )
        part, content = self._part(), read_features(path, "FILE")
        assert self._content is not None
        assert self._scaler is not None
        differing = [name for name in SAME if self._content.made_with.get(name) != content.made_with.get(name)]
        if differing:
            raise InputError(
                f"Expected {path} to be made as {self.path} was, but it was made with other {' and '.join(differing)}."
            )
        if content.train.features.shape[1] != part.features.shape[1]:
            raise InputError(
                f"Expected {path} to hold {part.features.shape[1]} features of each sample, like {self.path}, but got "
                f"{content.train.features.shape[1]}."
            )
        return NewFeatures(content.train, path, recorded_root(path, content), self._scaler)

    def known_files(self) -> list[KnownFile]:
        """All samples that have names, those of a drawn test set first. A run keeps this list."""
        part = self._part()
        names, digests = names_of(part)
        drawn = [] if self._test_rows is None else self._test_rows.tolist()
        test = [(names[row], digests[row]) for row in drawn] if names else []
        return known_rows(self._names, self._digests, (self._rows_of >= 0).tolist(), test) if names else []

    def growth(self) -> Growth:
        self.setup()
        return self._growth if self._names else super().growth()

    def known_indices(self) -> Tensor | None:
        growth = self.growth()
        if self.begun is not None and any(index < self.begun.num_first for index in growth.new):
            return None  # a sample of the beginning came back, which changes mean and size
        return super().known_indices()

    def fingerprint(self) -> str:
        part = self._part()
        if self.begun is not None and (self.begun.files or self.begun.content == self.content()):
            return self.begun.samples  # another file may hold the same samples, and more
        names, _ = names_of(part)
        listed = "\n".join(names[row] for row in self._rows_of.tolist()) if names else str(len(part))
        digest = hashlib.sha256(listed.encode("utf-8", "surrogatepass"))
        digest.update(self._given[0].numpy().tobytes())
        return digest.hexdigest()

    def content(self) -> str:
        """A digest of what made the features, and of the rows that the run knows if they have no names."""
        part = self._part()
        assert self._content is not None
        digest = hashlib.sha256("".join(str(self._content.made_with.get(name)) for name in SAME).encode())
        if not self._names:
            num_rows = len(part)
            if self.begun is not None:
                num_rows = min(
                    num_rows, self.begun.num_known + (self.begun.num_test if self._content.test is None else 0)
                )
            for start in range(0, num_rows, 4096):
                rows = slice(start, min(start + 4096, num_rows))
                digest.update(np.ascontiguousarray(part.features[rows]).tobytes())
                digest.update(part.targets[rows].tobytes())
        return digest.hexdigest()

    def _part(self) -> Part:
        self.setup()
        assert self._content is not None
        return self._content.train

    def _path_of(self, name: str) -> str:
        return str(name if self.root is None else self.root / name)

    def _first_rows(self) -> Tensor:
        """Rows of the training samples of the beginning of the run: new ones do not change the inputs of the others."""
        rows = self._rows_of if self.begun is None else self._rows_of[: self.begun.num_first]
        return rows[rows >= 0]

    def _targets(self, content: FeaturesFile) -> list[Tensor]:
        """Class indices of the training and the test samples, and the names of the classes."""
        part = content.train
        given = None if self.labels is None else GivenLabels(self.labels, [*(self.classes or content.classes)])
        targets = [torch.from_numpy(np.array(one.targets)) for one in (part, content.test) if one is not None]
        if self.classes or content.classes or given is not None:
            known = set(map(composed, content.classes))
            more = [] if given is None else [name for name in given.names() if name not in known]
            found = self.classes or [*content.classes, *more]
            self.class_names = check_class_names(found, IN_OPTION if self.classes else "")
            targets = [self._renamed(one, content.classes) for one in targets]
        elif all((one == UNKNOWN).all() for one in targets):
            raise InputError(
                f"Expected `data.classes` to name the classes, since {self.path} has no labels, but got none."
            )
        if given is not None:
            assert self.class_names is not None
            find = FilesByName([Path(self._path_of(file)) for file in part.files], self.root or Path()).find
            for row, target in given.classes(self.class_names, find if part.files else self._row_of).items():
                targets[0][row] = target
        return targets

    def _renamed(self, targets: Tensor, names: Sequence[str]) -> Tensor:
        """Class indices among ``class_names``, of indices among other names."""
        assert self.class_names is not None
        if not names:
            return targets
        index_of = {composed(name): index for index, name in enumerate(self.class_names)}
        found = targets.clone()
        for index in targets[targets >= 0].unique().tolist():
            name = names[index]
            if composed(name) not in index_of:
                hint = did_you_mean(name, self.class_names)
                if hint == "." and self._content is not None and self._content.train.files:
                    hint = "; images without a class may be in a folder `unlabeled`."
                raise InputError(
                    f"Expected `data.classes` to name all classes of {self.path}, but `{name}` is missing{hint}"
                )
            found[targets == index] = index_of[composed(name)]
        return found

    def _row_of(self, answer: Any) -> int | None:
        """Row of the sample that an answer means, in a file of samples without files."""
        assert self._content is not None
        row = row_of(answer)
        if row is None and (self._content.test is not None or self.test_fraction == 0):
            row = answer.index
        return row if row is not None and row < len(self._content.train) else None

    def _take_given_labels(self) -> None:
        """Does nothing: :meth:`load` took the labels, because they decide on the test set."""


class NewFeatures:
    """Rows of a file of features, in blocks: see :class:`~al_lightning.data.new_samples.NewSamples`."""

    def __init__(self, part: Part, path: Path, root: Path | None, scaler: FeatureScaler) -> None:
        self.depends_on_data = True
        self._part = part
        self._path = path
        self._root = root
        self._scaler = scaler

    def __len__(self) -> int:
        return len(self._part)

    def __iter__(self) -> Iterator[NewBlock]:
        for start in range(0, len(self._part), 2048):
            rows = self._part.features[start : start + 2048]
            files = self._part.files[start : start + 2048]
            paths = [file if self._root is None else str(self._root / file) for file in files]
            names = paths or [f"{self._path}:{start + row}" for row in range(len(rows))]
            yield NewBlock(names, self._scaler(rows), texts=list(self._part.texts[start : start + 2048]))


def names_of(part: Part) -> tuple[list[str], list[str]]:
    """Names and digests of samples with files or texts. Texts are named by their digests; other samples have none."""
    if part.files:
        return list(part.files), list(part.checksums or map(digest_of, part.files))
    return names_of_texts(part.texts)


def recorded_root(path: Path, content: FeaturesFile) -> Path | None:
    """The folder of the images that a file of features names, seen from the folder of the file."""
    root = content.made_with.get("root")
    return Path(path.parent, root) if isinstance(root, str) and content.train.files else None
