"""Samples of a run, found by what an answer says of them."""

import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from al_lightning.errors import composed
from al_lightning.run_folder.sample_names import name_of


@dataclass(frozen=True)
class Named:
    """A sample with the names of its file."""

    index: int
    """Training-set index."""
    file: str = ""
    """Path of the file, or the row in a file; empty if the sample has no file, or the run does not say."""
    name: str = ""
    """The same, relative to the folder of the data; of a file that was moved, the name of before."""

    def __str__(self) -> str:
        return self.file or self.name or f"sample {self.index}"


class Samples:
    """Samples of a run.

    A file may be given in any of these forms, if the form stands for one sample only:

    - as the run writes it;
    - relative to the folder of the data, or with the last folders of its path, or without folders;
    - absolute, also on another machine, if the folder of the data has the same name there;
    - with backslashes, and with accents that Unicode composes in another way.

    If the index is given, too, a question mark in the name of a file may stand for any character. Spreadsheets write it
    for characters that their encoding does not have.

    Args:
        samples: The samples.
        root: The folder of the data; ``None`` if the data have no folder.
    """

    def __init__(self, samples: Iterable[Named], root: str | None = None) -> None:
        self._by_index = {sample.index: sample for sample in samples}
        self._root = None if root is None else os.path.abspath(os.path.expanduser(root))
        self._exact: dict[str, int] = {}
        self._alike: dict[tuple[str, ...], set[int]] = {}
        self._by_last: dict[str, list[int]] = {}
        for sample in self._by_index.values():
            names = {name for name in (sample.file, sample.name or name_of(sample.file, root)) if name}
            for name in names:
                self._exact[name] = sample.index
                self._alike.setdefault(_parts(name), set()).add(sample.index)
            for last in {_parts(name)[-1] for name in names}:
                self._by_last.setdefault(last, []).append(sample.index)

    def __getitem__(self, index: int) -> Named:
        return self._by_index[index]

    def __contains__(self, index: int) -> bool:
        return index in self._by_index

    def of_file(self, file: str) -> list[Named]:
        """The samples that a file may stand for: one, several or none."""
        if file in self._exact:
            return [self._by_index[self._exact[file]]]
        parts = _parts(file)
        if not parts:
            return []
        alike = self._alike.get(parts)
        if alike is None:
            alike = {index for index in self._by_last.get(parts[-1], ()) if self._is_of(file, self._by_index[index])}
        return [self._by_index[index] for index in sorted(alike)]

    def is_of(self, file: str, sample: Named) -> bool:
        """Whether a file may stand for this sample."""
        if not (sample.file or sample.name):
            return True  # nobody knows
        if file in (sample.file, sample.name):
            return True
        if any(_parts(file) == _parts(name) for name in (sample.file, sample.name)) or self._is_of(file, sample):
            return True
        return "?" in file and any(_is_like(file, name) for name in (sample.file, sample.name) if name)

    def _is_of(self, file: str, sample: Named) -> bool:
        given = _parts(file)
        for name in {sample.name, name_of(sample.file, self._root)} - {""}:
            if self._root is None:
                whole, tail = _parts(os.path.abspath(sample.file or name)), _parts(name)
            else:
                whole = _parts(os.path.join(self._root, name))
                tail = (composed(PurePath(self._root).name), *_parts(name))
            ends = given[-len(tail) :] == tail
            if ends or whole == given or (whole[-len(given) :] == given and not _is_absolute(file)):
                return True
        return False


def _parts(file: str) -> tuple[str, ...]:
    """Folders and name of a file, in one form."""
    return tuple(part for part in composed(file).replace("\\", "/").split("/") if part not in ("", "."))


def _is_like(file: str, name: str) -> bool:
    """Whether the last part of a name is this one, where a question mark is any character."""
    said, real = (unicodedata.normalize("NFD", _parts(text)[-1]) for text in (file, name))
    pattern = ".{0,3}".join(map(re.escape, said.split("?")))  # a syllable of Korean is three characters
    return re.fullmatch(pattern, real) is not None


def _is_absolute(file: str) -> bool:
    return re.match(r"[/\\]|[A-Za-z]:[/\\]", file) is not None
