"""Labels that nobody asked for: they wait until their file is in the pool, and until the next fit takes them."""

from collections.abc import Collection, Iterable, Sequence

from al_lightning.run_folder.tables import Sample, Waiting


def labels_that_are_due(
    waiting: Iterable[Waiting], pool: Sequence[Sample], has_label: Collection[int]
) -> dict[int, Waiting]:
    """Finds the waiting labels whose sample is in the pool.

    Args:
        waiting: The rows of waiting.csv.
        pool: The samples of today, if they have files of their own.
        has_label: Training-set indices of the samples that have a label of the run.

    Returns:
        The waiting label by training-set index. Of several labels of a sample, the last one counts. A label waits on
        if its file left, or has another content now.

    Example:
        >>> due = labels_that_are_due([Waiting(None, "x.png", "D", "cat")], [Sample(7, "y.png", "D", joined=3)], [])
        >>> due[7].label
        'cat'
    """
    there = [sample for sample in pool if sample.left is None and sample.digest]
    digest_of = {sample.index: sample.digest for sample in there}
    index_of = {sample.digest: sample.index for sample in reversed(there)}
    found = {}
    for row in waiting:
        is_same = row.index is not None and digest_of.get(row.index, "") == row.digest
        index = row.index if is_same else index_of.get(row.digest, -1)
        if index is not None and index >= 0 and index not in has_label:
            found[index] = row
    return found
