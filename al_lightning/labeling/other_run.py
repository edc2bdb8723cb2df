"""Reads the labels of another run. Needs no torch."""

from pathlib import Path

from al_lightning.data.answer import Answer
from al_lightning.errors import InputError
from al_lightning.labeling.elsewhere import Elsewhere
from al_lightning.run_folder.folder import COMMIT, RunFolder
from al_lightning.run_folder.tables import COUNTING, SKIPPED


def labels_of_run(path: Path, into: RunFolder) -> list[Elsewhere]:
    """The labels of a run as they are now, also those of open questions that were answered.

    Args:
        path: The folder of the run. It is read, also while another process uses it.
        into: The run that the labels are for.

    Raises:
        InputError: If there is no run, it has no labels of people, or the samples of the two runs cannot be compared.
    """
    if not (path / COMMIT).is_file():
        raise InputError(f"Expected `--from` to be the folder of a run, but there is no {path / COMMIT}.")
    other = RunFolder.glance(path)
    labels = dict(zip((query.index for query in other.queries), other.labels, strict=True))
    labels |= {question.index: question.label for question in other.asked if question.label is not None}
    if not labels or not other.asks_people:
        raise InputError(f"Expected labels of people in `--from` {path}, but it has none.")
    has_files = any(sample.digest for sample in into.pool)
    if not has_files and other.identity.get("samples") != into.identity.get("samples"):
        raise InputError(
            f"Expected the samples of {into.path} to be those of {path}, or to have files of their own that "
            f"al-lightning fit {into.path} has listed in pool.csv, but they are not."
        )
    name_of, person_of = {row.index: row.file for row in other.answers}, {}
    for row in other.answers:
        if row.kind in COUNTING:
            person_of[row.index] = row.annotator
    name_of |= {sample.index: sample.file for sample in other.pool}
    digest_of = {sample.index: sample.digest for sample in other.pool}
    found = []
    for index, label in labels.items():
        file, name = name_of.get(index, ""), None if label == SKIPPED else other.class_names[label]
        where = f"{path}: {file or f'sample {index}'}"
        answer = Answer(where, None if has_files else index, file or None, name, person_of.get(index, ""))
        found.append(Elsewhere(answer, file, digest_of.get(index, "")))
    return found
