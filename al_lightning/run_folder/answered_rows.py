"""Rows of answers.csv for labels that did not come by ``al-lightning label``."""

from collections.abc import Callable, Collection, Iterable

from al_lightning.run_folder.folder import RunFolder
from al_lightning.run_folder.sample_names import name_of
from al_lightning.run_folder.tables import ANSWER, KNOWN, Answered, Query


def lacking_rows(
    folder: RunFolder, queries: Iterable[Query], known: Collection[int], file_of: Callable[[int], str | None]
) -> list[Answered]:
    """The rows that answers.csv lacks: of labels that the data brought, and of labels of earlier versions.

    Args:
        folder: The folder of the run, open.
        queries: Labels of the run.
        known: Training-set indices of the samples whose labels the data brought.
        file_of: The path of a sample's file by its training-set index.
    """
    if not folder.asks_people:
        return []
    told, root = {row.index for row in folder.answers}, folder.root
    return [
        Answered(
            query.round,
            query.index,
            name_of(query.file or file_of(query.index) or "", root),
            folder.name_of(query.label),
            KNOWN if query.index in known else ANSWER,
        )
        for query in queries
        if query.index not in told and query.label is not None
    ]
