"""``al-lightning suggest RUN FOLDER``: which images of a folder a trained run would ask for."""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from al_lightning.cli.options import Parser
from al_lightning.cli.trained_run import TrainedRun
from al_lightning.data.images import image_files, readable
from al_lightning.data.new_samples import not_read
from al_lightning.errors import InputError
from al_lightning.fitting.model_contract import settle_classes
from al_lightning.inference import PoolPredictor
from al_lightning.labeling.label_studio import labeling_config, task
from al_lightning.labeling.questions import predicted_name, write_whole
from al_lightning.labeling.suggested import note_suggested
from al_lightning.paths import as_path
from al_lightning.random_streams import stream
from al_lightning.run_folder.tables import SKIPPED, Query

NO_INDEX = -1  # of images that are not in the training set


def run(words: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: If the words are bad, the run is not trained, or its data are not images.
    """
    parser = Parser(
        "al-lightning suggest RUN FOLDER --out FILE",
        description="Ranks images by what the strategy of a trained run would ask for first.",
    )
    parser.add_argument("run", metavar="RUN", type=as_path, help="the run folder")
    parser.add_argument("folder", metavar="FOLDER", type=as_path, help="a folder of images, also in its subfolders")
    parser.add_argument("--num", type=int, help="how many to suggest; the query size of the run if not given")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=as_path,
        default=Path("suggestions.csv"),
        help="a .csv, or a .json with tasks for Label Studio (default: suggestions.csv)",
    )
    options = parser.parse_args(words)
    if options.out.suffix not in (".csv", ".json"):
        raise InputError(f"Expected `--out` to be a .csv or .json file, but got {options.out}.")
    if not options.folder.is_dir():
        raise InputError(f"Expected `FOLDER` to be a folder of images, but there is no {options.folder}.")
    questions, names = suggest(options.run, options.folder, options.num)
    if options.out.suffix == ".json":
        write_whole(options.out, [task(question, names) for question in questions])
        write_whole(options.out.with_suffix(".xml"), labeling_config(names))
    else:
        write_whole(options.out, _as_csv(questions, names))
    for path in not_read(options.folder):
        print(f"Left out: {path}: this format is not read here.", file=sys.stderr)
    note_suggested(options.run, (question.file for question in questions))
    print(
        f"Wrote {len(questions)} suggestions to {options.out}. A run with people takes their labels: "
        f"al-lightning label {options.run} --import FILE"
    )


def suggest(run_dir: Path, folder: Path, num: int | None = None) -> tuple[list[Query], list[str]]:
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
            f"{type(data).__name__}."
        )
    labeled = torch.tensor([query.index for query in ledger.queries if query.label != SKIPPED])
    settle_classes(model, data)
    run.load_weights(data.sample_inputs())
    run.check_data()
    data.set_labeled(labeled)
    asked = [query.index for query in ledger.queries] + [question.index for question in ledger.asked]
    files = [file for file in map(data.file_of, asked) if file is not None]
    known = {Path(file).resolve() for file in (*files, *data.test_files())}
    paths = readable([path for path in image_files(folder) if path.resolve() not in known])
    if not paths:
        raise InputError(f"Expected images to choose from in {folder}, but got none.")
    num = min(loop.query_size, len(paths)) if num is None else num
    if not 1 <= num <= len(paths):
        raise InputError(f"Expected `--num` to be from 1 to {len(paths)}, the images in {folder}, but got {num}.")
    round = ledger.rounds[-1].round
    pool = PoolPredictor.of_trainer(trainer, model, data.blocks_of(paths), data.labeled_blocks(), loop.seed, round)
    chosen, scores = loop.strategy.answer(pool, num, stream(loop.seed, "query", round))
    confidences, classes = pool.predicted(
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


def _as_csv(questions: Sequence[Query], names: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", "file", "predicted", "confidence", "score", "label"])
    for question in questions:
        row: list[Any] = [question.order + 1, question.file]
        row += [predicted_name(question, names)]
        row += ["" if value is None else f"{value:.6g}" for value in (question.confidence, question.score)]
        writer.writerow([*row, ""])
    return text.getvalue()
