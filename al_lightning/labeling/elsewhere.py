"""Labels that were not given to questions of a run: those of another run, and those of suggested images."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone

from al_lightning.data.answer import Answer
from al_lightning.data.growth import TEST
from al_lightning.errors import composed, did_you_mean
from al_lightning.run_folder.folder import RunFolder
from al_lightning.run_folder.tables import SKIP, Sample, Waiting


@dataclass(frozen=True)
class Elsewhere:
    """A label of a sample that has a file, or of a sample by its index in this run."""

    answer: Answer
    name: str = ""
    """Path relative to the folder of the data there."""
    digest: str = ""
    """Digest of the file, if it is known."""


@dataclass
class Sorted:
    """Labels by what happens to them."""

    answers: list[Answer] = field(default_factory=list)
    """Answers to samples that the run asked for, now or before."""
    waiting: list[Waiting] = field(default_factory=list)
    """All labels that wait from now on: the rows of waiting.csv."""
    num_in_pool: int = 0
    """Number of new ones whose sample is in the pool. The next fit takes them."""
    num_later: int = 0
    """Number of new ones whose file is not in the pool yet."""
    num_known: int = 0
    """Number of labels that wait already."""
    num_test: int = 0
    """Number of labels of samples in the test set, which are not taken."""
    problems: list[str] = field(default_factory=list)


def sort_out(folder: RunFolder, labels: Iterable[Elsewhere]) -> Sorted:
    """Finds the samples of labels in a run.

    A sample is the same if its content is the same, or if its name is the same and its content is not known.

    Args:
        folder: The folder of the run, open.
        labels: The labels. Of several labels of a sample, the last one counts.
    """
    found, samples = Sorted(), _Samples(folder)
    asked = {query.index for query in (*folder.queries, *folder.asked)}
    class_of = {composed(name): name for name in folder.class_names}
    waits = {(row.index, row.digest): row for row in folder.waiting}
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    rows: dict[tuple[int | None, str], Waiting] = {}
    for one in labels:
        answer = one.answer
        label = SKIP if answer.label is None else class_of.get(composed(answer.label))
        sample = samples.find(one)
        if label is None:
            hint = did_you_mean(answer.label or "", folder.class_names).rstrip(".")
            found.problems.append(f"{answer.where}: `{answer.label}` is no class{hint}")
        elif sample is None and not one.digest:
            found.problems.append(f"{answer.where}: {one.name or 'its sample'} is not in the data of {folder.path}")
        elif sample is not None and sample.index == TEST:
            found.num_test += 1
        elif sample is not None and sample.index in asked:
            found.answers.append(Answer(answer.where, sample.index, None, answer.label, answer.annotator, answer.at))
        else:
            index, digest = (None, one.digest) if sample is None else (sample.index, sample.digest)
            name = one.name if sample is None else sample.file
            rows[index, digest] = Waiting(index, name, digest, label, answer.annotator, now)
    new = {key: row for key, row in rows.items() if key not in waits or waits[key].label != row.label}
    found.num_known = len(rows) - len(new)
    found.num_in_pool = sum(row.index is not None for row in new.values())
    found.num_later = len(new) - found.num_in_pool
    found.waiting = list((waits | new).values())
    return found


class _Samples:
    """Samples of a run by index, content and name."""

    def __init__(self, folder: RunFolder) -> None:
        there = [sample for sample in folder.pool if sample.left is None]
        self._by_name = {composed(sample.file): sample for sample in there}
        self._by_digest: dict[str, list[Sample]] = {}
        for sample in there:
            self._by_digest.setdefault(sample.digest, []).append(sample)

    def find(self, one: Elsewhere) -> Sample | None:
        """The sample of a label; ``None`` if the run has no such sample."""
        if one.answer.index is not None:
            return Sample(one.answer.index, one.name, "", 0)
        named = self._by_name.get(composed(one.name))
        if named is not None and (not one.digest or not named.digest or named.digest == one.digest):
            return named
        alike = self._by_digest.get(one.digest, []) if one.digest else []
        last = one.name.rpartition("/")[2]
        same_name = [sample for sample in alike if sample.file.rpartition("/")[2] == last]
        return next(iter(same_name or alike), None)
