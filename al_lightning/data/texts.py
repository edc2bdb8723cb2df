"""Texts: a table of texts, for networks that read them."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from al_lightning.data.answer import Answer
from al_lightning.data.arranged_rows import arrange_named_rows, known_rows, names_of_texts
from al_lightning.data.class_names import IN_OPTION, check_class_names
from al_lightning.data.datamodule import PoolDataModule
from al_lightning.data.datasets import Datasets
from al_lightning.data.given_labels import GivenLabels, row_of
from al_lightning.data.growth import Growth, KnownFile
from al_lightning.data.labels import UNKNOWN
from al_lightning.data.new_samples import NewBlock
from al_lightning.data.text_bytes import bytes_of
from al_lightning.data.text_tables import read_texts
from al_lightning.errors import InputError, composed, did_you_mean
from al_lightning.paths import expanded

ROWS_IN_BLOCK = 256


class Texts(PoolDataModule):
    """A table of texts: ``--data Texts --data.path reviews.csv --data.column text --data.label_column label``.

    The table is a ``.csv`` or ``.tsv`` file, a ``.jsonl`` file with an object a line, or a ``.txt`` file with a text a
    line. An input is the bytes of a text in UTF-8, with zeros at its end: see
    :func:`~al_lightning.data.text_bytes.texts_of`.
    :class:`~al_lightning.models.SentenceEncoder` takes such inputs.

    If texts are added to the table, anywhere, they join the pool of a run: samples are found by their texts.

    Args:
        path: The table.
        column: Name of the column of the texts.
        label_column: Name of the column of the classes. An empty cell is an unknown class.
        test_path: A table of the test texts, with the same columns. Without it, a test set is drawn.
        test_fraction: Share of the labeled texts, in [0, 1), that is drawn as the test set if there is none.
        classes: Names of the classes in the order of their indices. By default those in the column, sorted.
        **kwargs: Arguments of :class:`~al_lightning.data.PoolDataModule`.

    Raises:
        InputError: If a file is missing or has no such column, or a label is not a class.
    """

    shows_inputs = False
    shows_texts = True

    def __init__(
        self,
        path: str,
        column: str = "text",
        label_column: str | None = None,
        test_path: str | None = None,
        test_fraction: float = 0.2,
        classes: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = expanded(path)
        self.column = column
        self.label_column = label_column
        self.test_path = expanded(test_path)
        self.test_fraction = test_fraction
        self.classes = classes
        self._texts: list[str] = []
        self._test_texts: list[str] = []
        self._names: list[str] = []
        self._digests: list[str] = []
        self._rows_of = torch.empty(0, dtype=torch.int64)
        self._drawn: list[tuple[str, str]] = []

    def load(self) -> Datasets:
        words = self.classes or ()
        texts, labels = read_texts(Path(self.path), self.column, self.label_column, "data.path", words)
        given = None if self.labels is None else GivenLabels(self.labels, words)
        test_texts, test_labels = self._read_test()
        self.class_names = self._class_names([*labels, *test_labels], given)
        targets, test_targets = self._indices(labels), self._indices(test_labels)
        if given is not None and self.class_names is not None:
            for row, target in given.classes(self.class_names, lambda answer: self._row(answer, len(texts))).items():
                targets[row] = target
        names, digests = names_of_texts(texts)
        is_drawn = self.test_path is None
        arranged = arrange_named_rows(names, digests, targets, self.begun, is_drawn, self.test_fraction)
        self._names, self._digests, rows, test_rows, self._growth = arranged
        if (rows < 0).any():
            self._there = rows >= 0
        self._rows_of, self._texts = rows, texts
        if is_drawn:
            test_texts, test_targets = [texts[row] for row in test_rows.tolist()], targets[test_rows]
        self._drawn = [(names[row], digests[row]) for row in test_rows.tolist()]
        self._test_texts = test_texts
        rows = rows[rows >= 0]
        if len(rows) == 0:
            raise InputError(f"Expected texts to train on in {self.path}, but got none.")
        parts = _Items([texts[row] for row in rows.tolist()], targets[rows]), _Items(test_texts, test_targets)
        return Datasets(*parts, train_targets=targets[rows], test_targets=test_targets, label_key=1, collate_fn=collate)

    def file_of(self, index: int) -> str:
        """The table and the row in it, from 0."""
        self.setup()
        return f"{self.path}:{int(self._rows_of[index])}"

    def name_of(self, index: int) -> str:
        return Path(self.file_of(index)).name

    def text_of(self, index: int) -> str:
        self.setup()
        return self._texts[int(self._rows_of[index])]

    def test_texts(self) -> list[str]:
        self.setup()
        return list(self._test_texts)

    def new_samples(self, path: Path) -> "NewTexts":
        """The texts of another table."""
        return NewTexts(read_texts(path, self.column, None, "FILE")[0], path)

    def known_files(self) -> list[KnownFile]:
        """All texts, those of a drawn test set first. A run keeps this list."""
        self.setup()
        return known_rows(self._names, self._digests, (self._rows_of >= 0).tolist(), self._drawn)

    def growth(self) -> Growth:
        self.setup()
        return self._growth

    def fingerprint(self) -> str:
        self.setup()
        if self.begun is not None and self.begun.files:
            return self.begun.samples  # the run's list of texts takes the place of a fingerprint
        digest = hashlib.sha256("\n".join(self._digests).encode())
        digest.update(self._given[0].numpy().tobytes())
        return digest.hexdigest()

    def _read_test(self) -> tuple[list[str], list[str]]:
        if self.test_path is None:
            return [], []
        texts, labels = read_texts(Path(self.test_path), self.column, self.label_column, "data.test_path")
        if "" in labels:
            raise InputError(f"Expected a label of each text in `data.test_path` {self.test_path}, but got none.")
        return texts, labels

    def _class_names(self, labels: Sequence[str], given: GivenLabels | None) -> tuple[str, ...] | None:
        found = sorted({composed(label) for label in labels if label} | set([] if given is None else given.names()))
        if all(name.isdecimal() for name in found):
            found.sort(key=int)
        names = self.classes or found
        if not names and self.needs_classes:
            raise InputError(
                f"Expected `data.classes` to name the classes, since {self.path} has no labels, but got none; "
                "`data.label_column` names a column of labels."
            )
        return check_class_names(names, IN_OPTION if self.classes else "") or None

    def _indices(self, labels: Sequence[str]) -> Tensor:
        index_of = {composed(name): index for index, name in enumerate(self.class_names or ())} | {"": UNKNOWN}
        unknown = next((label for label in labels if composed(label) not in index_of), None)
        if unknown is not None:
            hint = did_you_mean(unknown, self.class_names or ())
            raise InputError(f"Expected labels in {self.path} to be among `data.classes`, but got `{unknown}`{hint}")
        return torch.tensor([index_of[composed(label)] for label in labels], dtype=torch.int64)

    def _row(self, answer: Answer, num_rows: int) -> int | None:
        row = row_of(answer)
        if row is None and (self.test_path is not None or self.test_fraction == 0):
            row = answer.index
        return row if row is not None and row < num_rows else None

    def _take_given_labels(self) -> None:
        """Does nothing: :meth:`load` took the labels, because they decide on the test set."""


class NewTexts:
    """Texts of a table in blocks: see :class:`~al_lightning.data.new_samples.NewSamples`."""

    depends_on_data = False

    def __init__(self, texts: Sequence[str], path: Path) -> None:
        self._texts = texts
        self._path = path

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[NewBlock]:
        for start in range(0, len(self._texts), ROWS_IN_BLOCK):
            texts = self._texts[start : start + ROWS_IN_BLOCK]
            names = [f"{self._path}:{start + row}" for row in range(len(texts))]
            yield NewBlock(names, pad_sequence(list(map(bytes_of, texts)), batch_first=True), texts=list(texts))


class _Items(Dataset):
    """Texts as bytes, with their classes."""

    def __init__(self, texts: Sequence[str], targets: Tensor) -> None:
        self._texts = texts
        self._targets = targets.tolist()

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return bytes_of(self._texts[index]), self._targets[index]


def collate(items: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    """Pads texts of a batch with zeros."""
    inputs = pad_sequence([item[0] for item in items], batch_first=True)
    return inputs, torch.tensor([item[1] for item in items])
