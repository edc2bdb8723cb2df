"""Takes in what changed in the data of a run since its last round: samples that joined, left or got a class."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

import torch

from al_lightning.data import PoolDataModule
from al_lightning.data.growth import Growth
from al_lightning.errors import InputError
from al_lightning.labeling.tell_answers import counted
from al_lightning.run_folder.fingerprint.fingerprints import fingerprints_of_data
from al_lightning.run_folder.folder import RunFolder
from al_lightning.run_folder.query_rows import query_rows
from al_lightning.run_folder.sample_names import name_of
from al_lightning.run_folder.tables import KNOWN, SKIP, SKIPPED, Answered, Query, Sample, Waiting
from al_lightning.run_folder.waiting import labels_that_are_due

MOST_NAMED = 5


@dataclass
class Taken:
    """What a commit is to write, and what people are told of it."""

    known: list[Query] = field(default_factory=list)
    """Samples with a label that nobody asked for: their class is known, or their label waited."""
    answers: list[Answered] = field(default_factory=list)
    """Their rows of answers.csv."""
    waiting: list[Waiting] = field(default_factory=list)
    """Labels that wait further on."""
    asked: list[Query] = field(default_factory=list)
    """Open questions that stay."""
    notes: list[str] = field(default_factory=list)


def grow(folder: RunFolder, data: PoolDataModule, may_grow: bool, takes_known: bool) -> None:
    """Brings the ledger of a run up to date with its data, in one commit.

    Samples that joined are in the pool from now on. Samples without a label may leave; their open questions are closed.

    Args:
        folder: The folder of the run, open. The run has begun.
        data: The data, arranged as in the run; see :meth:`~al_lightning.data.PoolDataModule.arrange`.
        may_grow: Whether the pool of this run may change.
        takes_known: Whether samples whose class the data know are labeled without a question.

    Raises:
        InputError: If the pool may not change, or a labeled sample left or changed. Then nothing is written.
    """
    growth = data.growth()
    if growth and not may_grow:
        what = f"{len(growth.new)} came, {len(growth.left)} went and {len(growth.changed)} changed"
        raise InputError(
            f"Expected the samples of the run in {folder.path}, but {what}; `loop.pool_may_grow` takes in new ones."
        )
    _check_any_is_there(folder, data, growth)
    _check_labeled(folder, data, growth)
    # The questions keep their names of files, because the published ones have these names.
    asked = [question for question in folder.asked if not _is_gone(question, growth)]
    taken = Taken(asked=asked, waiting=folder.waiting)
    if takes_known:
        _take_known(taken, folder, data)
        _tell_of_table(folder, data)
    first = _round_of(folder, taken)
    has_list = not may_grow or bool(folder.pool) or not data.known_files()
    answered = _if_all_answered(taken.asked)
    if not growth and not taken.known and not answered and has_list:
        return
    _tell(taken, folder, data, growth, first)
    pool = pool_rows(data, folder.pool, growth, max(1, first)) if may_grow else None
    if growth:
        data.accept_growth()
        folder.identity |= fingerprints_of_data(data)
    bought, asked = [*taken.known, *answered], [] if answered else taken.asked
    folder.commit(queries=bought, asked=asked, answers=taken.answers, pool=pool, waiting=taken.waiting)
    for note in taken.notes:
        print(note)


def pool_rows(
    data: PoolDataModule, rows: Sequence[Sample] = (), growth: Growth | None = None, round: int = 0
) -> list[Sample]:
    """The rows of pool.csv: all samples that have files of their own, or else the samples that joined.

    Args:
        data: The data.
        rows: The rows so far; none for a new run.
        growth: What changed since.
        round: The first round that can ask for new samples; at least 1, since the samples of the beginning have 0. A
            sample that left and came back keeps its round.
    """
    growth = growth or Growth()
    new, before = set(growth.new), {sample.index: sample for sample in rows if sample.index >= 0}
    known = data.known_files()
    if not known:
        return [*rows, *(Sample(index, data.name_of(index), "", round) for index in growth.new)]
    found = []
    for sample in known:
        was = before.get(sample.index)
        joined = was.joined if was else round if sample.index in new else 0
        left = None if sample.is_there else was.left if was is not None and was.left is not None else round
        found.append(Sample(sample.index, sample.file, sample.digest, joined, left))
    return found


def _check_any_is_there(folder: RunFolder, data: PoolDataModule, growth: Growth) -> None:
    """Refuses data that have no sample of the run: perhaps they are those of another run, or a disk is missing."""
    before = {sample.index for sample in folder.pool if sample.index >= 0 and sample.left is None}
    if growth.left and before <= set(growth.left):
        raise InputError(
            f"Expected samples of the run in {folder.path} in {getattr(data, 'root', None) or 'the data'}, but none of "
            f"its {len(before)} is there; other samples need another `loop.run_dir`."
        )


def _check_labeled(folder: RunFolder, data: PoolDataModule, growth: Growth) -> None:
    """Refuses data without a sample that has a label, or with another content of it."""
    labeled = [replace(query, label=label) for query, label in zip(folder.queries, folder.labels, strict=True)]
    labeled += [question for question in folder.asked if question.label is not None]
    left, changed = set(growth.left), set(growth.changed)
    lost = [query for query in labeled if query.label != SKIPPED and query.index in left | changed]
    if not lost:
        return
    first = lost[0]
    name = data.list_class_names()[first.label or 0]
    what = "it is missing; put it back" if first.index in left else "its content changed; put it back as it was"
    more = f", and the same is true for {len(lost) - 1} more" if len(lost) > 1 else ""
    raise InputError(
        f"Expected {data.name_of(first.index)}, which was labeled {name} in round {first.round}, to be in "
        f"{getattr(data, 'root', None) or 'the data'}, but {what}{more}."
    )


def _take_known(taken: Taken, folder: RunFolder, data: PoolDataModule) -> None:
    """Labels the samples whose class the data know, such as images in folders of classes, or whose label waited."""
    has_label = {query.index for query in (*folder.queries, *folder.asked) if query.label is not None}
    pool = [Sample(one.index, one.file, one.digest, 0, None if one.is_there else 0) for one in data.known_files()]
    due = labels_that_are_due(folder.waiting, pool, has_label)
    class_of = {name: index for index, name in enumerate(data.list_class_names())} | {SKIP: SKIPPED}
    targets = data.train_targets
    labels = {i: int(targets[i]) for i in data.indices_there.tolist() if int(targets[i]) >= 0 and i not in has_label}
    labels |= {index: class_of[row.label] for index, row in sorted(due.items())}
    if not labels:
        return
    taken.asked = [question for question in taken.asked if question.index not in labels]
    rows = query_rows(len(folder.rounds), torch.tensor(list(labels)), torch.tensor(list(labels.values())), data)
    taken.known = [replace(row, order=row.order + len(folder.asked)) for row in rows]
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    told, root = {index: (row.annotator, row.at) for index, row in due.items()}, folder.root
    for query in taken.known:
        name, label = name_of(query.file, root), folder.name_of(query.label)
        taken.answers.append(Answered(query.round, query.index, name, label, KNOWN, *told.get(query.index, ("", now))))
    done = {(row.index, row.digest) for row in due.values()}
    taken.waiting = [row for row in folder.waiting if (row.index, row.digest) not in done]


def _round_of(folder: RunFolder, taken: Taken) -> int:
    """The round that trains on new labels, and whose query is the first that can ask for new samples."""
    return len(folder.rounds) if taken.known or folder.asked or not folder.queries else folder.next_round


def _if_all_answered(asked: Sequence[Query]) -> Sequence[Query]:
    """All questions, if none is open after the files of some left, and one has a label; otherwise nothing."""
    labels = {question.label for question in asked}
    return asked if None not in labels and labels - {SKIPPED} else ()


def _is_gone(question: Query, growth: Growth) -> bool:
    return question.label is None and question.index in set(growth.left)


def _tell(taken: Taken, folder: RunFolder, data: PoolDataModule, growth: Growth, round: int) -> None:
    """Says in plain words what changed."""
    what = "image" if hasattr(data, "blocks_of") else "sample"
    if growth.new:
        taken.notes.append(
            f"{counted(len(growth.new), f'new {what}')} joined the pool of {folder.path}: its round {round} is the "
            f"first that can ask for {'it' if len(growth.new) == 1 else 'them'}."
        )
    if taken.known:
        names = _listed(data.name_of(query.index) for query in taken.known)
        taken.notes.append(
            f"{counted(len(taken.known), what)} got a label without a question: round {round} is the first to train on "
            f"{'it' if len(taken.known) == 1 else 'them'} ({names})."
        )
    if growth.left:
        names = _listed(map(data.name_of, growth.left))
        taken.notes.append(f"{counted(len(growth.left), what)} that had no label left the pool: {names}.")
    closed = [question for question in folder.asked if _is_gone(question, growth)]
    if closed:
        names = _listed(data.name_of(question.index) for question in closed)
        taken.notes.append(f"{counted(len(closed), 'open question')} closed, because the {what} left: {names}.")
    if growth.changed:
        names = _listed(map(data.name_of, growth.changed))
        taken.notes.append(f"{counted(len(growth.changed), what)} without a label changed: {names}.")
    if growth.renamed:
        names = _listed(f"{data.name_of(index)} was {was}" for index, was in growth.renamed.items())
        taken.notes.append(f"{counted(len(growth.renamed), what)} moved or got another name: {names}.")
    labels = dict(zip((query.index for query in folder.queries), folder.labels, strict=True))
    classes = data.list_class_names()
    for index in growth.renamed:
        said, target = labels.get(index, SKIPPED), int(data.train_targets[index])
        if said != SKIPPED and target >= 0 and target != said:
            taken.notes.append(
                f"{data.name_of(index)} lies in the folder of {classes[target]}, but its label is {classes[said]}: "
                "the label stays; al-lightning label --correct changes it."
            )


def _tell_of_table(folder: RunFolder, data: PoolDataModule) -> None:
    """Says which labels of the table in ``data.labels`` are not taken, because the run has other labels."""
    if data.labels is None:
        return
    targets, classes = data.train_targets, data.list_class_names()
    rows = zip(folder.queries, folder.labels, strict=True)
    # A row that the run began with, and that was corrected since, is no news.
    differing = [row for row, now in rows if int(targets[row.index]) not in (-1, row.label, now)]
    if differing:
        said = _listed(f"{data.name_of(row.index)} {classes[int(targets[row.index])]}" for row in differing)
        print(
            f"{counted(len(differing), 'label')} in {data.labels} not taken, because the run has another: {said}; "
            "al-lightning label --import --correct takes them."
        )


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
