"""Labels that wait in the ledger of a run until its next fit takes them, or until their file joins the pool."""

from collections.abc import Collection, Iterable, Sequence

from al_lightning.run_folder.tables import WAITING, Answered, Sample

NOT_THERE = -1
"""Index of a waiting label whose file is not in the pool yet."""


def waiting_labels(
    answers: Iterable[Answered], pool: Sequence[Sample], has_label: Collection[int]
) -> dict[int, Answered]:
    """Finds the waiting labels whose sample is in the pool.

    Args:
        answers: The rows of answers.csv.
        pool: The rows of pool.csv.
        has_label: Training-set indices of the samples that have a label of the run. Their waiting labels are done.

    Returns:
        The row of answers.csv by training-set index. Of several rows for a sample, the last one counts.

    Example:
        >>> rows = [Answered(2, -1, "x.png", "cat", kind="waiting", digest="D")]
        >>> list(waiting_labels(rows, [Sample(7, "y.png", "D", joined=3)], has_label=[]))
        [7]
    """
    index_of = {sample.digest: sample.index for sample in reversed(pool) if sample.left is None and sample.digest}
    found = {}
    for row in answers:
        if row.kind == WAITING:
            index = row.index if row.index != NOT_THERE else index_of.get(row.digest, NOT_THERE)
            if index != NOT_THERE and index not in has_label:
                found[index] = row
    return found
