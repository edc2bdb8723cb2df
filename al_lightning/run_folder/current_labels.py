"""The labels of a run as they are now: the labels that were bought, and the corrections since."""

from collections.abc import Iterable, Sequence

from al_lightning.run_folder.tables import CORRECTION, SKIP, SKIPPED, Answered, Query


def current_labels(queries: Sequence[Query], answers: Iterable[Answered], class_names: Sequence[str]) -> list[int]:
    """Class indices of bought labels, after all corrections.

    queries.csv keeps the label that each round trained on first. A correction counts from its own round on, and a later
    correction replaces an earlier one.

    Args:
        queries: The rows of queries.csv.
        answers: The rows of answers.csv.
        class_names: Names of the classes.

    Returns:
        The class index of each query, in its order; -1 for a skipped sample.

    Example:
        >>> bought = [Query(0, 0, 7, label=1), Query(0, 1, 9, label=0)]
        >>> current_labels(bought, [Answered(1, 7, "7.png", "cat", kind="correction")], ["cat", "dog"])
        [0, 0]
    """
    corrected = {row.index: row.label for row in answers if row.kind == CORRECTION}
    index_of = {name: index for index, name in enumerate(class_names)} | {SKIP: SKIPPED}
    labels = [index_of[corrected[query.index]] if query.index in corrected else query.label for query in queries]
    return [label for label in labels if label is not None]
