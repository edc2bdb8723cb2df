"""Labels in a table that the user gives besides the data: ``--data.labels labels.csv``."""

import os
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from al_lightning.data.answer import Answer
from al_lightning.data.answer_tables import answers_of_table
from al_lightning.data.decoding import read_text
from al_lightning.errors import InputError, composed, did_you_mean

OPTION = "data.labels"
MOST_NAMED = 3


class GivenLabels:
    """The labels of a table.

    Args:
        path: The table, with a column ``label``, and a column ``file`` or ``index``, such as labels.csv of a run. Rows
            with the label ``skip`` count as rows without a label.
        words: Names of classes and files, which help to find the encoding of the table.

    Raises:
        InputError: If there is no such file, or it has another form.
    """

    def __init__(self, path: str, words: Sequence[str] = ()) -> None:
        self._path = path
        file = Path(path)
        answers = answers_of_table(file, read_text(file, words, OPTION), OPTION)
        self.answers = [answer for answer in answers if answer.label is not None]

    def names(self) -> list[str]:
        """Names of the classes in the table, sorted."""
        return sorted({composed(answer.label) for answer in self.answers if answer.label is not None})

    def classes(self, class_names: Sequence[str], find: Callable[[Answer], int | None]) -> dict[int, int]:
        """Finds the samples of the labels.

        Args:
            class_names: Names of the classes in the order of their indices.
            find: Returns the index of the sample of a row; ``None`` if the data have no such sample.

        Returns:
            Class index by index of the sample. Rows without a sample are left out, with a warning.

        Raises:
            InputError: If a label is not a class, or two rows contradict each other.
        """
        class_of = {composed(name): index for index, name in enumerate(class_names)}
        found: dict[int, int] = {}
        lost = []
        for answer in self.answers:
            label = class_of.get(composed(answer.label or ""))
            if label is None:
                hint = did_you_mean(answer.label or "", class_names)
                raise InputError(f"Expected labels in {self._path} to be classes, but got `{answer.label}`{hint}")
            index = find(answer)
            if index is None:
                lost.append(answer.file or f"sample {answer.index}")
            elif found.setdefault(index, label) != label:
                raise InputError(
                    f"Expected one label of each sample in {self._path}, but "
                    f"{answer.file or f'sample {answer.index}'} is {class_names[found[index]]} and {answer.label}."
                )
        if lost:
            more = f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
            warnings.warn(
                f"{len(lost)} of {len(self.answers)} labels in {self._path} are of samples that are not there: "
                f"{', '.join(lost[:MOST_NAMED])}{more}.",
                stacklevel=2,
            )
        return found


class FilesByName:
    """Positions of files by the names that a table may have for them.

    Args:
        files: The files.
        root: The folder of the data. A table may have names relative to it, names without folders, the last folders of
            a path, or whole paths, also of another machine, if the folder of the data has the same name there.
    """

    def __init__(self, files: Sequence[Path], root: Path) -> None:
        self._root = _parts(os.path.abspath(root))
        self._whole = [_parts(os.path.abspath(path)) for path in files]
        self._by_path = {whole: position for position, whole in enumerate(self._whole)}
        self._by_last: dict[str, list[int]] = {}
        for position, whole in enumerate(self._whole):
            self._by_last.setdefault(whole[-1], []).append(position)

    def find(self, answer: Answer) -> int | None:
        """Position of the file of an answer; ``None`` if there is none, or if its name may be that of several."""
        given = _parts(answer.file or "")
        if not given:
            return None
        for path in ((*self._root, *given), _parts(os.path.abspath(answer.file or ""))):
            if path in self._by_path:
                return self._by_path[path]
        alike = [position for position in self._by_last.get(given[-1], []) if self._may_be(given, position)]
        return alike[0] if len(alike) == 1 else None

    def _may_be(self, given: tuple[str, ...], position: int) -> bool:
        """Whether the ends of two paths agree: that of the table, and that of a file from the folder of the data on."""
        whole = self._whole[position]
        from_root = whole[max(0, len(self._root) - 1) :]
        return whole[-len(given) :] == given or given[-len(from_root) :] == from_root


def _parts(path: str) -> tuple[str, ...]:
    """Folders and name of a path, in one form."""
    return tuple(part for part in composed(path).replace("\\", "/").split("/") if part not in ("", "."))


def row_of(answer: Answer) -> int | None:
    """The row in a file that an answer names, as in ``wine.npz:156``; ``None`` if it names none."""
    found = re.search(r":(\d{1,18})$", answer.file or "")
    return int(found[1]) if found else None
