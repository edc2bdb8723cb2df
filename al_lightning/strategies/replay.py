"""Replay: buy what another run bought, for another model."""

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from al_lightning.errors import InputError
from al_lightning.inference import Known, PoolPredictor
from al_lightning.paths import as_path
from al_lightning.run_folder import QUERIES, SKIPPED, Query, RunFolder
from al_lightning.run_folder.tables import from_csv
from al_lightning.strategies.base import QueryStrategy, check_query_size


@dataclass(frozen=True)
class Bought:
    """What a run bought: training-set indices and classes, in the order of its queries, without skipped samples."""

    initial: Tensor
    """Indices of the initial set, int64, shape ``(I,)``."""
    initial_labels: Tensor
    """Their class indices, int64, shape ``(I,)``."""
    queried: Tensor
    """Indices of all queries, int64, shape ``(Q,)``."""


def read_bought(path: Path) -> Bought:
    """Reads what a run bought so far, while it runs or afterwards.

    Args:
        path: The run folder, or its queries.csv.

    Raises:
        InputError: If there is no such run.
    """
    file = path / QUERIES if path.is_dir() else path
    folder = RunFolder.glance(file.parent)
    queries, labels = folder.queries, folder.labels
    if not queries or file.name != QUERIES:  # a table without the rest of its run
        try:
            queries = from_csv(Query, file.read_text())
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(
                f"Expected `run` of Replay to be a run folder or its {QUERIES}, but there is none in {path}."
            ) from error
        labels = [SKIPPED if query.label is None else query.label for query in queries]
    kept = [(query, label) for query, label in zip(queries, labels, strict=True) if label != SKIPPED]
    if not kept:
        raise InputError(f"Expected `run` of Replay to be a run with labels, but {path} has none.")
    initial = [(query.index, label) for query, label in kept if query.round == 0]
    return Bought(
        torch.tensor([index for index, _ in initial], dtype=torch.int64),
        torch.tensor([label for _, label in initial], dtype=torch.int64),
        torch.tensor([query.index for query, _ in kept if query.round > 0], dtype=torch.int64),
    )


def positions_of(wanted: Tensor, indices: Tensor) -> Tensor:
    """Finds where values stand in a list of distinct values. Values that are not there are left out.

    Args:
        wanted: Values to find, int64, shape ``(K,)``.
        indices: The list, int64, shape ``(N,)``.

    Returns:
        Positions in the list, int64, in the order of ``wanted``.

    Example:
        >>> positions_of(torch.tensor([7, 4, 5]), torch.tensor([5, 6, 7]))
        tensor([2, 0])
    """
    if len(indices) == 0:
        return torch.empty(0, dtype=torch.int64)
    order = indices.argsort()
    places = torch.searchsorted(indices[order], wanted).clamp(max=len(indices) - 1)
    return order[places[indices[order][places] == wanted]]


class Replay(QueryStrategy):
    """Queries what another run queried, in its order, so that another model learns from the same labels.

    The size of a query may differ from that of the other run. Samples that a labeler skipped there are left out.
    The initial set must be the same: give the same data, seed and initial size. The classes of the initial set are
    compared, and not the inputs. So a run on features may replay a run on the images that they were made of.

    Args:
        run: The folder of the other run, or its queries.csv.

    Raises:
        InputError: Before the first fit or when queried, if there is no such run, if it is of other data or has another
            initial set, or if it bought too few samples.

    Reference:
        Lowell, Lipton and Wallace, "Practical Obstacles to Deploying Active Learning", EMNLP 2019.
    """

    is_rehearsed = False

    def __init__(self, run: str) -> None:
        self.run = str(run)

    def check_run(self, known: Known, num_queried: int | None) -> None:
        left = len(self._left(known))
        if num_queried is not None and left < num_queried:
            raise self._too_few(left, num_queried)

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        check_query_size(query_size, len(pool))
        left = self._left(pool.known)
        if len(left) < query_size:
            raise self._too_few(len(left), query_size)
        return left[:query_size]

    def _left(self, known: Known) -> Tensor:
        """Positions of all samples that the other run bought and that are still in the pool, in its order."""
        indices, labeled, targets = known.indices, known.labeled_indices, known.labeled_targets
        if indices is None or labeled is None or targets is None:
            raise InputError(
                "Expected `known` of PoolPredictor to have the indices of all samples and the classes of labeled ones, "
                "which Replay needs, but got none."
            )
        bought = read_bought(as_path(self.run))
        is_here = torch.isin(bought.initial, labeled)
        here = positions_of(bought.initial, labeled)
        num_other = int((targets[here] != bought.initial_labels[is_here]).sum())
        if num_other:
            raise InputError(
                f"Expected the data of the run in {self.run}, but {num_other} of {len(here)} samples of its initial "
                "set have another class here."
            )
        num_extra = int((~torch.isin(labeled, torch.cat([bought.initial, bought.queried]))).sum())
        if len(here) < len(bought.initial) or num_extra:
            raise InputError(
                f"Expected the initial set of the run in {self.run}, but {len(bought.initial) - len(here)} of its "
                f"{len(bought.initial)} samples are not labeled here, and {num_extra} others are; give the same data, "
                "seed and initial size."
            )
        return positions_of(bought.queried, indices)

    def _too_few(self, left: int, wanted: int) -> InputError:
        return InputError(
            f"Expected the run in {self.run} to have bought {wanted} more samples, for Replay, but it has {left}."
        )
