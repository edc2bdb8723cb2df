"""Finds the point where a run goes on: at its initial set, or after its last round."""

from typing import NamedTuple

import torch
from torch import Tensor

from al_lightning.data import PoolDataModule
from al_lightning.errors import InputError
from al_lightning.fitting.growing import grow, pool_rows
from al_lightning.fitting.model_maker import RESET, ModelMaker, check_same_draws
from al_lightning.fitting.preflight import Prepared
from al_lightning.fitting.progress import RunProgress
from al_lightning.fitting.run_parts import RunParts
from al_lightning.fitting.run_record import summary
from al_lightning.random_streams import stream_seed
from al_lightning.run_folder.answered_rows import lacking_rows
from al_lightning.run_folder.folder import RunFolder
from al_lightning.run_folder.query_rows import query_rows


class Start(NamedTuple):
    """The point where a run goes on."""

    round: int
    indices: Tensor
    """Training-set indices of all samples queried so far, int64, in the order of the queries."""
    labels: Tensor
    """Their class indices, -1 for a skipped sample."""


def begin(
    folder: RunFolder,
    prepared: Prepared,
    parts: RunParts,
    num_rounds: int | None,
    progress: RunProgress,
    may_grow: bool = False,
    asks_people: bool = False,
) -> Start | None:
    """Writes the initial set of a new run, or reads the progress of an old one.

    Args:
        folder: The folder of the run, open.
        prepared: The starting point of a new run.
        parts: The parts of the run.
        num_rounds: Number of queries of the whole run; ``None`` for as many as the pool has.
        progress: The display that reports a continued run.
        may_grow: Whether samples may join or leave the pool.
        asks_people: Whether samples of known class are labeled without a question.

    Returns:
        The point where the run goes on; ``None`` if the run is finished or waits for labels.

    Raises:
        InputError: If the folder holds another run, or a run with more rounds.
    """
    data, initial = parts.datamodule, prepared.initial
    if not folder.queries and not folder.asked:
        bought = query_rows(0, initial, data.train_targets[initial], data)
        asked = query_rows(0, prepared.asked, None, data)
        answers = lacking_rows(folder, bought, initial.tolist(), data.file_of)
        folder.commit(queries=bought, asked=asked, answers=answers, pool=pool_rows(data) if may_grow else None)
    elif lacking := lacking_rows(folder, folder.queries, _brought(folder, data), data.file_of):
        folder.commit(asked=folder.asked, answers=lacking)  # an earlier version began it
    has_all_rounds = num_rounds is not None and len(folder.rounds) > num_rounds
    if not has_all_rounds:
        grow(folder, data, may_grow, takes_known=asks_people)
    indices = torch.tensor([query.index for query in folder.queries], dtype=torch.int64)
    if not torch.equal(indices[: len(initial)], initial):
        raise InputError(f"Expected the initial set in {folder.path} to be that of this data set, but it differs.")
    if folder.asked or not folder.queries:
        return None
    if num_rounds is not None and folder.next_round > num_rounds:
        raise InputError(
            f"Expected `loop.num_rounds` to be at least {folder.next_round}, where the run in {folder.path} has "
            f"got to, but got {num_rounds}."
        )
    pool_is_used_up = set(data.indices_there.tolist()) <= set(indices.tolist())
    if has_all_rounds or (pool_is_used_up and len(folder.rounds) > folder.next_round):
        used_up = ", and the pool is used up" if pool_is_used_up else ""
        # shown even without a progress bar
        print(f"The run in {folder.path} is finished: {summary(folder.rounds)}{used_up}.")
        return None
    _keep_maker(folder, prepared.maker, stream_seed(parts.seed, "weights"))
    parts.weights.begin(prepared.model, is_new=not folder.rounds)
    folder.reopen_last_round()  # a finished run goes on if `num_rounds` or the pool has grown
    if folder.rounds:
        progress.message(f"Continuing the run in {folder.path}: {summary(folder.rounds)}.")
        if folder.changed_versions:
            progress.message(
                "The rounds to come may differ from those of a run that was not stopped, for these changed: "
                f"{folder.changed_versions}."
            )
    labels = torch.tensor(folder.labels, dtype=torch.int64)
    return Start(folder.next_round, indices, labels)


def _brought(folder: RunFolder, data: PoolDataModule) -> list[int]:
    """Training-set indices of the initial samples whose class the data know."""
    return [query.index for query in folder.queries if query.round == 0 and int(data.train_targets[query.index]) >= 0]


def _keep_maker(folder: RunFolder, maker: ModelMaker | None, seed: int) -> None:
    """Writes down in the run folder how the weights of a run are drawn.

    Raises:
        InputError: If a continued run drew its weights in another way, with other values.
    """
    if maker is None:
        return
    if folder.rounds:
        check_same_draws(maker, folder.drawn_by or RESET, folder.path, seed)
    folder.drawn_by = maker.name
