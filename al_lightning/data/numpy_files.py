"""Arrays in files of NumPy: images, or features of tables."""

import hashlib
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from al_lightning.data.answer import Answer
from al_lightning.data.class_names import IN_OPTION, check_class_names
from al_lightning.data.datamodule import PoolDataModule
from al_lightning.data.datasets import Datasets
from al_lightning.data.disk_rows import DiskRows
from al_lightning.data.given_labels import row_of
from al_lightning.data.labels import UNKNOWN, class_indices
from al_lightning.data.memory import hold
from al_lightning.data.new_samples import NewRows, check_rows
from al_lightning.data.source import Arrays
from al_lightning.data.splits import draw_test_set
from al_lightning.data.standardize import Standardizer, loses_digits
from al_lightning.errors import InputError, composed
from al_lightning.paths import expanded

NAMES = {
    "train_inputs": ("train_inputs", "x_train", "X_train", "inputs", "x", "X"),
    "train_targets": ("train_targets", "y_train", "targets", "y"),
    "test_inputs": ("test_inputs", "x_test", "X_test"),
    "test_targets": ("test_targets", "y_test"),
}
"""Names of the parts in a .npz file."""
MOST_CLASSES = 100_000  # a larger number of classes means that the targets number the samples
ROWS = 4096  # rows to read in one step
LARGEST = float(np.finfo(np.float32).max)
MOST_NAMED = 5  # at most so many features are named in a message


class NumpyFiles(PoolDataModule):
    """Arrays of NumPy: ``--data.path data.npz``, or a ``.npy`` file for each part.

    The parts of a ``.npz`` file have one of these sets of names:

    - ``train_inputs``, ``train_targets``, ``test_inputs``, ``test_targets``.
    - ``x_train``, ``y_train``, ``x_test``, ``y_test``.
    - ``inputs``, ``targets``, or ``x``, ``y``, without a test set.

    Inputs are numbers of shape ``(N, ...)``. Targets are class indices or names, ``(N,)`` or ``(N, 1)``, or rows with a
    single 1, ``(N, C)``. An index of -1 or an empty name is an unknown class: use `loop.oracle` FileOracle to ask
    people. If ``classes`` is given, the training targets may be missing, and all training classes are unknown.

    Inputs in ``.npy`` files that do not fit in memory stay on disk, and are read in blocks of rows.

    Args:
        path: The ``.npz`` file.
        train_inputs: The ``.npy`` file of the training inputs, if there is no ``.npz`` file.
        train_targets: The ``.npy`` file of the training targets.
        test_inputs: The ``.npy`` file of the test inputs. Without a test set, one is drawn from the training set.
        test_targets: The ``.npy`` file of the test targets.
        test_fraction: Share of the labeled samples, in [0, 1), that is drawn as the test set if none is given.
        classes: Names of the classes in the order of their indices. By default the names in the targets, sorted, or
            numbers.
        standardize: Whether inputs are brought to mean 0 and standard deviation 1 over the training set. Each feature
            of a table, ``(N, D)``, is standardised by itself; images are standardised as a whole. The computation is in
            float64 and the result is float32. See :class:`~al_lightning.data.standardize.Standardizer` for features
            that hardly change.
        num_workers: Ignored: one process reads blocks of rows faster than several do.
        max_memory: GiB that inputs in memory may take, as float32.
        **kwargs: Arguments of :class:`~al_lightning.data.PoolDataModule`.

    Raises:
        InputError: If a file is missing, is not an array file, or has other content. The message names the file.
    """

    def __init__(
        self,
        path: str | None = None,
        train_inputs: str | None = None,
        train_targets: str | None = None,
        test_inputs: str | None = None,
        test_targets: str | None = None,
        test_fraction: float = 0.2,
        classes: list[str] | None = None,
        standardize: bool = True,
        num_workers: int = 2,
        max_memory: float = 4.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._files = {
            "train_inputs": expanded(train_inputs),
            "train_targets": expanded(train_targets),
            "test_inputs": expanded(test_inputs),
            "test_targets": expanded(test_targets),
        }
        given = [name for name, file in self._files.items() if file is not None]
        if path is not None and given:
            raise InputError(f"Expected `data.path` or `data.{given[0]}`, but got both.")
        needed = {"train_inputs"} if classes else {"train_inputs", "train_targets"}
        if path is None and not needed <= set(given):
            raise InputError(
                "Expected `data.path`, a .npz file, or `data.train_inputs` and `data.train_targets`, .npy files, "
                f"but got {' and '.join(f'`data.{name}`' for name in given) or 'none'}."
            )
        if ("test_inputs" in given) != ("test_targets" in given):
            raise InputError("Expected `data.test_inputs` and `data.test_targets` or neither, but got one of them.")
        if num_workers < 0:
            raise InputError(f"Expected `data.num_workers` to be at least 0, but got {num_workers}.")
        self.path = expanded(path)
        self.classes = classes
        self.test_fraction = test_fraction
        self.standardize = standardize
        self.num_workers = num_workers
        self.max_memory = max_memory
        self._inputs = np.empty(0)
        self._targets = torch.empty(0, dtype=torch.int64)
        self._test_parts: tuple[np.ndarray, Tensor] | None = None
        self._scaler: Standardizer | None = None
        self._differs = False
        self._chosen: Tensor | None = None
        """Rows of the file that form the training set, if a test set was drawn."""

    def load(self) -> Arrays | Datasets:
        self._chosen, self._test_parts, self._differs = None, None, False
        parts = self._read_npz(Path(self.path)) if self.path is not None else self._read_npy()
        train_x, test_x = parts["train_inputs"], parts.get("test_inputs")
        if "train_targets" not in parts:
            parts["train_targets"] = _unknown_targets(len(train_x), parts.get("test_targets"))
        targets = self._class_indices([parts[name] for name in ("train_targets", "test_targets") if name in parts])
        for name, inputs, labels in (("train", train_x, targets[0]), ("test", test_x, targets[-1])):
            if inputs is not None and len(inputs) != len(labels):
                raise InputError(
                    f"Expected as many {name}_targets as {name}_inputs, {len(inputs)}, but got {len(labels)}."
                )
        num_first = self._num_first(len(train_x), is_drawn=test_x is None)
        self._targets = targets[0]
        if test_x is None:
            train, test = draw_test_set(targets[0][:num_first], self.test_fraction)
            scale = self._scaler = self._scale(train_x, train.numpy(), train_x, test.numpy())
            train = torch.cat([train, torch.arange(num_first, len(train_x))])
            train_set, test_set = (DiskRows(train_x, scale or _as_floats, rows) for rows in (train, test))
            targets = [targets[0][train], targets[0][test]]
            self._chosen = train
        else:
            self._test_parts = test_x, targets[1]
            if test_x.shape[1:] != train_x.shape[1:]:
                raise InputError(f"Expected test_inputs of shape (N, {train_x.shape[1:]}), but got {test_x.shape}.")
            scale = self._scaler = self._scale(train_x[:num_first], None, test_x, None)
            train_set, test_set = (DiskRows(inputs, scale or _as_floats) for inputs in (train_x, test_x))
        self._inputs = train_x
        if len(targets[0]) == 0:
            raise InputError("Expected samples to train on, but got none.")
        return hold(train_set, test_set, targets[0], targets[1], self.max_memory, num_workers=0)

    def file_of(self, index: int) -> str:
        """The file and the row in it, from 0."""
        return f"{self.path or self._files['train_inputs']}:{self._row(index)}"

    def name_of(self, index: int) -> str:
        return Path(self.file_of(index)).name

    def _index_of(self, answer: Answer) -> int | None:
        row = row_of(answer)
        if row is None:
            return super()._index_of(answer)
        if self._chosen is None:
            return row if row < len(self._train_targets) else None
        found = (self._chosen == row).nonzero()
        return int(found) if len(found) else None

    def text_of(self, index: int) -> str:
        return ", ".join(_text(value) for value in np.asarray(self._inputs[self._row(index)]).ravel().tolist())

    def new_samples(self, path: Path) -> NewRows:
        """Rows of a ``.npy`` file, or of the training inputs in a ``.npz`` file, or else of its test inputs."""
        self.setup()
        loaded = _load(path, "FILE")
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded as file:
                names = (*NAMES["train_inputs"], *NAMES["test_inputs"])
                found = next((name for name in names if name in file), None)
                if found is None:
                    held = ", ".join(file) or "nothing"
                    raise InputError(f"Expected {path} to hold {', '.join(names[1:])}, but it holds {held}.")
                loaded = file[found]
        rows = check_rows(loaded, path, self._inputs)
        return NewRows(rows, str(path), _as_floats if self._scaler is None else self._scaler)

    def _row(self, index: int) -> int:
        self.setup()
        return index if self._chosen is None else int(self._chosen[index])

    def fingerprint(self) -> str:
        self.setup()
        if self.begun is not None and self.begun.content == self.content():
            return self.begun.samples  # another file may hold the same samples, and more
        digest = self._begin_digest()
        for file in filter(None, (self.path, *self._files.values())):
            with Path(file).open("rb") as content:
                while chunk := content.read(2**20):
                    digest.update(chunk)
        return digest.hexdigest()

    def content(self) -> str:
        self.setup()
        digest = self._begin_digest()
        num_rows = len(self._inputs)
        if self.begun is not None:
            num_rows = min(num_rows, self.begun.num_known + (0 if self._test_parts else self.begun.num_test))
        parts = [(self._inputs[:num_rows], self._targets[:num_rows])]
        for inputs, targets in (*parts, *([self._test_parts] if self._test_parts else [])):
            digest.update(f"{inputs.dtype.str} {inputs.shape} ".encode())
            for start in range(0, len(inputs), ROWS):
                digest.update(np.ascontiguousarray(inputs[start : start + ROWS]).tobytes())
            digest.update(targets.numpy().tobytes())
        return digest.hexdigest()

    def _begin_digest(self) -> Any:
        digest = hashlib.sha256()
        if self._differs:  # a run that began with rounded features must not continue with exact ones
            digest.update(b"standardized in float64")
        return digest

    def _num_first(self, num_rows: int, is_drawn: bool) -> int:
        """Number of rows when the run began: these decide on the test set and on the standardization."""
        if self.begun is None:
            return num_rows
        return min(num_rows, self.begun.num_first + (self.begun.num_test if is_drawn else 0))

    def _read_npz(self, path: Path) -> dict[str, np.ndarray]:
        parts = {}
        loaded = _load(path, "data.path")
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise InputError(f"Expected `data.path` {path} to be a .npz file, but got a single array.")
        with loaded as file:
            for part, names in NAMES.items():
                found = next((name for name in names if name in file), None)
                if found is None and part.startswith("train") and not (part == "train_targets" and self.classes):
                    held = ", ".join(file) or "nothing"
                    hint = "; if no class is known, name the classes by `data.classes`" * (part == "train_targets")
                    raise InputError(
                        f"Expected {path} to hold {part}, or {', '.join(names[1:])}, but it holds {held}{hint}."
                    )
                if found is not None:
                    parts[part] = _checked(file, found, path, part)
        if ("test_inputs" in parts) != ("test_targets" in parts):
            raise InputError(
                f"Expected {path} to hold test_inputs and test_targets or neither, but it holds one of them."
            )
        return parts

    def _read_npy(self) -> dict[str, np.ndarray]:
        parts = {}
        for part, name in self._files.items():
            if name is not None:
                array = _load(Path(name), f"data.{part}")
                if not isinstance(array, np.ndarray):
                    raise InputError(f"Expected `data.{part}` {name} to be a .npy file, but got one of several arrays.")
                parts[part] = _checked({part: array}, part, Path(name), part)
        return parts

    def _class_indices(self, labels: list[np.ndarray]) -> list[Tensor]:
        """Turns targets into indices, and sets the names of the classes."""
        if any(part.dtype.kind not in "US" for part in labels):
            return self._indices_of_numbers(labels)
        try:
            names = [part.astype(str).reshape(len(part)) for part in labels]
        except UnicodeDecodeError as error:
            raise InputError(
                f"Expected targets to be names in ASCII where they are bytes, but got: {error}."
            ) from error
        spelled: dict[str, str] = {}  # Unicode may compose the same name in two ways
        for name in sorted({name for part in names for name in part.tolist() if name}):
            spelled.setdefault(composed(name), name)
        self.class_names = check_class_names(self.classes or list(spelled.values()), IN_OPTION if self.classes else "")
        index_of = {composed(name): index for index, name in enumerate(self.class_names)} | {"": UNKNOWN}
        unknown = [name for key, name in spelled.items() if key not in index_of]
        if unknown:
            raise InputError(f"Expected targets to be among `data.classes`, but got `{unknown[0]}`.")
        return [torch.tensor([index_of[composed(n)] for n in part.tolist()], dtype=torch.int64) for part in names]

    def _indices_of_numbers(self, labels: list[np.ndarray]) -> list[Tensor]:
        for part in labels:
            if part.dtype.kind in "biu":
                _check_range(part, MOST_CLASSES)
        targets, _, width = class_indices(labels, "NumpyFiles")
        for found in targets:
            _check_range(found.numpy(), MOST_CLASSES)
        if width is not None and not self.classes:
            self.class_names = tuple(map(str, range(width)))  # some columns may be classes without a sample
        if self.classes:
            self.class_names = check_class_names(self.classes, IN_OPTION)
            try:
                targets = class_indices(targets, "NumpyFiles", self.class_names).targets
            except InputError:
                for found in targets:
                    _check_range(found.numpy(), len(self.class_names))
                raise
        return targets

    def _scale(
        self, train: np.ndarray, train_rows: np.ndarray | None, test: np.ndarray, test_rows: np.ndarray | None
    ) -> Standardizer | None:
        """Makes the standardiser of the inputs, if there is to be one; warns of features that lose information."""
        if len(train if train_rows is None else train_rows) == 0:
            return None
        if not self.standardize:
            if (lost := loses_digits(train, train_rows)).any():
                warnings.warn(
                    f"Expected numbers whose differences float32 holds, with `data.standardize` = False, but it rounds "
                    f"{_features(lost)} of the inputs to little more than their mean.",
                    stacklevel=2,
                )
            return None
        scale = Standardizer(train, train_rows)
        self._differs = scale.differs
        if (cut := scale.cut(test, test_rows)).any():
            warnings.warn(
                f"Some test values of {_features(cut)} are far outside of what the training set has; they were cut at "
                "ten times its largest, or at 1 where a feature never changes in the training set.",
                stacklevel=2,
            )
        return scale


def _as_floats(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))


def _features(which: np.ndarray) -> str:
    """Lists features by number, from 0, for messages. For images, all features are meant."""
    if which.ndim == 0:
        return "all features"
    found = which.nonzero()[0].tolist()
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return f"feature{'s' if len(found) > 1 else ''} {', '.join(map(str, found[:MOST_NAMED]))}{more}"


def _text(value: int | float) -> str:
    """A number with enough digits to tell it from its neighbours."""
    return str(int(value)) if isinstance(value, int) else f"{value:.6g}" if abs(value) < 1e5 else f"{value:.15g}"


def _unknown_targets(number: int, others: np.ndarray | None) -> np.ndarray:
    """Targets of unknown classes: empty names if the other targets are names, and else indices."""
    if others is not None and others.dtype.kind in "US":
        return np.full(number, "")
    return np.full(number, UNKNOWN)


def _is_column(targets: np.ndarray) -> bool:
    """Whether there is one name for each sample, or at least one number."""
    return targets.size == len(targets) or (targets.dtype.kind not in "US" and targets.size > 0)


def _check_range(targets: np.ndarray, num_classes: int) -> None:
    if targets.size and not UNKNOWN <= int(targets.min()) <= int(targets.max()) < num_classes:
        wrong = int(targets.min()) if int(targets.min()) < UNKNOWN else int(targets.max())
        raise InputError(f"Expected targets to be class indices from 0 to {num_classes - 1}, or -1, but got {wrong}.")


def _load(path: Path, option: str) -> Any:
    """Opens a file of NumPy. Large arrays stay on disk."""
    try:
        with path.open("rb") as file:  # np.load would leave a broken archive open
            if file.read(2) == b"PK" and not zipfile.is_zipfile(path):
                raise InputError(f"Expected `{option}` {path} to be a file of NumPy arrays, but got a torn one.")
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"Expected `{option}` to be a file, but there is no {path}.") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"Expected `{option}` {path} to be a file of NumPy arrays, but got: {error}.") from error


def _checked(file: Any, name: str, path: Path, part: str) -> np.ndarray:
    """An array of a file, after a check that it can be this part."""
    try:
        array = file[name]
    except (ValueError, zipfile.BadZipFile, EOFError, OSError) as error:  # pickled objects, or a broken file
        raise InputError(f"Expected `{name}` in {path} to be an array that can be read, but got: {error}.") from error
    if part.endswith("inputs"):
        numbers = np.asarray(array)  # a memmap makes a new memmap of each block, which takes longer
        if array.ndim < 2 or array.dtype.kind not in "biuf" or 0 in array.shape[1:]:
            raise InputError(
                f"Expected `{name}` in {path} to be numbers of shape (N, ...), "
                f"but got {array.dtype} of shape {array.shape}."
            )
        if (
            array.dtype.kind == "f"
            and not all(
                block.min() >= -LARGEST and block.max() <= LARGEST  # NaN fails, too
                for block in (numbers[i : i + 1000] for i in range(0, len(numbers), 1000))
            )
        ):
            raise InputError(
                f"Expected finite numbers of the range of float32 in `{name}` of {path}, but got NaN, infinity or more."
            )
    elif array.dtype.kind not in "biufUS" or array.ndim not in (1, 2) or not _is_column(array):
        raise InputError(
            f"Expected `{name}` in {path} to be class indices or names of shape (N,), "
            f"but got {array.dtype} of shape {array.shape}."
        )
    return array
