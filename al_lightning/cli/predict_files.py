"""``al-lightning predict RUN FOLDER|FILE``: class probabilities of images or arrays, by the model of a run."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from al_lightning.cli.loading import loading
from al_lightning.cli.options import Parser
from al_lightning.cli.words_of_run import config_of_run
from al_lightning.errors import InputError
from al_lightning.paths import as_path
from al_lightning.run_folder.files import writing
from al_lightning.run_folder.table_writer import table_writer

if TYPE_CHECKING:
    from torch import Tensor

    from al_lightning.cli.trained_run import TrainedRun
    from al_lightning.data.new_samples import NewBlock, NewSamples

FORM = "al-lightning predict RUN FOLDER|FILE --out predictions.csv"
MOST_NAMED = 20


def run(words: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: If the words are bad, the run is not trained, or there is nothing to predict.
    """
    parser = Parser(FORM, description="Writes the class probabilities that the model of a run gives to new samples.")
    parser.add_argument("run", metavar="RUN", type=as_path, help="the run folder")
    parser.add_argument(
        "path",
        metavar="FOLDER|FILE",
        type=as_path,
        help="a folder of images, also in its subfolders, or an image; for a run on arrays, a .npy or .npz file",
    )
    parser.add_argument(
        "--out", metavar="FILE", type=as_path, default=Path("predictions.csv"), help="a .csv (default: predictions.csv)"
    )
    parser.epilog = "Without files: al-lightning predict RUN predicts the test set of the run, to RUN/predictions.csv."
    options, flags = parser.parse_known_args(words)
    if options.out.suffix.lower() != ".csv":
        raise InputError(f"Expected `--out` to be a .csv file, but got {options.out}.")
    if not options.out.absolute().parent.is_dir():
        raise InputError(f"Expected `--out` to be in a folder that is there, but got {options.out}.")
    config_of_run(options.run)
    if not options.path.exists():
        raise InputError(f"Expected `FOLDER|FILE` to be a folder or a file, but there is no {options.path}.")
    with loading():
        from al_lightning.cli.trained_run import TrainedRun
        from al_lightning.data.new_samples import not_read

    trained = TrainedRun.open(options.run, flags)
    left_out = {str(path): "this format is not read here" for path in not_read(options.path)}
    num_written, unreadable = predict(trained, options.path, options.out)
    left_out |= unreadable
    for name, reason in list(left_out.items())[:MOST_NAMED]:
        print(f"Left out: {name}: {reason.rstrip('.')}.", file=sys.stderr)
    if len(left_out) > MOST_NAMED:
        print(f"Left out: {len(left_out) - MOST_NAMED} more.", file=sys.stderr)
    noun = "prediction" if num_written == 1 else "predictions"
    print(f"Wrote {num_written} {noun} to {options.out}{f'; left out {len(left_out)}' if left_out else ''}.")


def predict(run: "TrainedRun", path: Path, out: Path) -> tuple[int, dict[str, str]]:
    """Writes a table with a row for each sample: file, predicted class, confidence, probability of each class.

    Samples that are texts have a column ``text`` after the file.

    Args:
        run: The run. Its data are loaded only if its inputs depend on them.
        path: A folder of images, an image, or a file of arrays.
        out: The table. It is replaced when the new table is complete.

    Returns:
        Number of rows, and the files that cannot be read, with the reason.

    Raises:
        InputError: If nothing can be predicted, or the inputs do not suit the model.
    """
    samples = run.data.new_samples(path)
    if samples.depends_on_data:
        run.load_weights(run.data.sample_inputs())
        run.check_data()
    names = run.class_names
    num_written = 0
    left_out: dict[str, str] = {}
    with writing(out, encoding="utf-8-sig") as file:  # spreadsheets need the byte order mark
        writer = table_writer(file)
        for block, probs in _predicted(run, _shown(samples)):
            left_out |= block.left_out
            if block.names and not num_written:
                shown = ["file", "text"] if block.texts else ["file"]
                writer.writerow([*shown, "predicted", "confidence", *(f"prob_{name}" for name in names)])
            cells_of = zip(*filter(None, (block.names, block.texts)), strict=True)
            for cells, row in zip(cells_of, probs.tolist(), strict=True):
                best = max(range(len(row)), key=row.__getitem__)
                writer.writerow([*cells, names[best], f"{row[best]:.6g}", *(f"{value:.6g}" for value in row)])
            num_written += len(block.names)
        if not num_written:
            first = next(iter(left_out.items()), None)
            why = "got none" if first is None else f"none of {len(left_out)} can be read: {first[0]}: {first[1]}"
            raise InputError(f"Expected samples to predict in {path}, but {why.rstrip('.')}.")
    return num_written, left_out


def _predicted(run: "TrainedRun", blocks: "Iterator[NewBlock]") -> "Iterator[tuple[NewBlock, Tensor]]":
    """Each block with its probabilities, float32, shape ``(B, C)``."""
    import torch

    from al_lightning.data.blocks import OneBlock
    from al_lightning.inference import PoolPredictor

    pool: PoolPredictor | None = None
    for block in blocks:
        if not block.names:
            yield block, torch.empty(0, len(run.class_names))
            continue
        inputs = OneBlock(block.inputs)
        if pool is None:
            run.load_weights(block.inputs)
            empty = OneBlock(block.inputs[:0])
            pool = PoolPredictor.of_trainer(run.trainer, run.model, inputs, empty, run.loop.seed)
        try:
            yield block, pool.map(lambda batch: batch.probs[:, : len(run.class_names)], over=inputs).float()
        except RuntimeError as error:  # each layer reports a wrong shape in its own way
            raise InputError(
                f"Expected inputs for the model of the run in {run.path}, but {block.names[0]} and others are of "
                f"shape {tuple(block.inputs.shape[1:])}: {' '.join(str(error).split())[:200]}"
            ) from error


def _shown(samples: "NewSamples") -> "Iterator[NewBlock]":
    """The blocks, with a display of the progress on a terminal."""
    console = Console(file=sys.stderr)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("Predicting", total=len(samples))
        for block in samples:
            yield block
            progress.advance(task, len(block.names) + len(block.left_out))
