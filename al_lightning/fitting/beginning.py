"""Finds the point where a run goes on: at its initial set, or after its last round."""

from typing import NamedTuple

import torch
from torch import Tensor

from al_lightning.errors import InputError
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
    folder: RunFolder, prepared: Prepared, parts: RunParts, num_rounds: int | None, progress: RunProgress
) -> Start | None:
    """Writes the initial set of a new run, or reads the progress of an old one.

    Args:
        folder: The folder of the run, open.
        prepared: The starting point of a new run.
        parts: The parts of the run.
        num_rounds: Number of queries of the whole run; ``None`` for as many as the pool has.
        progress: The display that reports a continued run.

    Returns:
        The point where the run goes on; ``None`` if the run is finished or waits for labels.

    Raises:
        InputError: If the folder holds another run, or a run with more rounds.
    """
    data, initial = parts.datamodule, prepared.initial
    if not folder.queries and not folder.asked:
        bought = query_rows(0, initial, data.train_targets[initial], data)
        asked = query_rows(0, prepared.asked, None, data)
        folder.commit(queries=bought, asked=asked, answers=lacking_rows(folder, bought, initial.tolist(), data.file_of))
    elif lacking := lacking_rows(folder, folder.queries, initial.tolist(), data.file_of):  # an earlier version began it
        folder.commit(asked=folder.asked, answers=lacking)
    indices = torch.tensor([query.index for query in folder.queries], dtype=torch.int64)
    if not torch.equal(indices[: len(initial)], initial):
        raise InputError(f"Expected the initial set in {folder.path} to be that of this data set, but it differs.")
    if folder.asked:
        return None
    if num_rounds is not None and folder.next_round > num_rounds:
        raise InputError(
            f"Expected `loop.num_rounds` to be at least {folder.next_round}, where the run in {folder.path} has "
            f"got to, but got {num_rounds}."
        )
    pool_is_used_up = len({query.index for query in folder.queries}) == len(data.train_targets)
    has_all_rounds = num_rounds is not None and len(folder.rounds) > num_rounds
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
