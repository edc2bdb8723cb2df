"""Ranks images by what the strategy of a trained run would ask for first."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from al_lightning.cli.trained_run import TrainedRun
from al_lightning.data.images import image_files, readable
from al_lightning.errors import InputError
from al_lightning.fitting.model_contract import settle_classes
from al_lightning.inference import Known, PoolPredictor
from al_lightning.random_streams import stream
from al_lightning.run_folder.tables import SKIPPED, Query

NO_INDEX = -1  # of images that are not in the training set


def rank_images(run_dir: Path, folder: Path, num: int | None = None) -> tuple[list[Query], list[str]]:
    """Asks the strategy of a run, with its last model, what to label of a folder of images.

    Images that the run has asked for or is tested on are left out, and so, with a warning, are files that cannot be
    read.

    Args:
        run_dir: The run.
        folder: Searched for images, with its subfolders.
        num: How many to choose; the query size of the run if not given, or as many as there are.

    Returns:
        The images in the order of their rank, and the names of the classes.

    Raises:
        InputError: If there is no trained run, no image, or fewer than ``num``.
    """
    run = TrainedRun.open(run_dir)
    ledger, trainer, model, data, loop = run.ledger, run.trainer, run.model, run.data, run.loop
    if not hasattr(data, "blocks_of"):
        raise InputError(
            f"Expected a run on images, of ImageFolder or Torchvision, in {run_dir}, but its data are "
            f"{type(data).__name__}; add samples to the data, and `al-lightning fit` asks for the best of them."
        )
    labels = zip(ledger.queries, ledger.labels, strict=True)
    labeled = torch.tensor([query.index for query, label in labels if label != SKIPPED])
    settle_classes(model, data)
    run.load_weights(data.sample_inputs())
    run.check_data()
    data.set_labeled(labeled)
    asked = [query.index for query in ledger.queries] + [question.index for question in ledger.asked]
    files = [file for file in map(data.file_of, asked) if file is not None]
    seen = {Path(file).resolve() for file in (*files, *data.test_files())}
    paths = readable([path for path in image_files(folder) if path.resolve() not in seen])
    if not paths:
        raise InputError(f"Expected images to choose from in {folder}, but got none.")
    num = min(loop.query_size, len(paths)) if num is None else num
    if not 1 <= num <= len(paths):
        raise InputError(f"Expected `--num` to be from 1 to {len(paths)}, the images in {folder}, but got {num}.")
    round = ledger.rounds[-1].round
    known = Known(data.labeled_targets, labeled_indices=data.labeled_indices)
    parts = (trainer, model, data.blocks_of(paths), data.labeled_blocks(), loop.seed, round)
    pool = PoolPredictor.of_trainer(*parts, known=known, precision=run.scoring_precision)
    chosen, scores = loop.strategy.answer(pool, num, stream(loop.seed, "query", round))
    confidences, classes = PoolPredictor.of_trainer(*parts).predicted(
        data.count_classes(), over=data.blocks_of([paths[i] for i in chosen.tolist()])
    )
    return _questions(round + 1, paths, chosen, scores, classes, confidences), data.list_class_names()


def _questions(
    round: int, paths: Sequence[Path], chosen: Tensor, scores: Tensor | None, classes: Tensor, confidences: Tensor
) -> list[Query]:
    return [
        Query(
            round,
            order,
            NO_INDEX,
            None,
            None if scores is None else float(scores[position]),
            int(classes[order]),
            float(confidences[order]),
            str(paths[position]),
        )
        for order, position in enumerate(chosen.tolist())
    ]
