"""``al-lightning suggest RUN FOLDER``: which images of a folder a trained run would ask for."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from al_lightning.cli.loading import loading
from al_lightning.cli.options import Parser
from al_lightning.cli.words_of_run import config_of_run
from al_lightning.errors import InputError
from al_lightning.labeling.label_studio import labeling_config, task
from al_lightning.labeling.questions import predicted_name, write_whole
from al_lightning.labeling.suggested import note_suggested
from al_lightning.paths import as_path
from al_lightning.run_folder.files import replace_file
from al_lightning.run_folder.table_writer import table_writer
from al_lightning.run_folder.tables import Query


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
    config_of_run(options.run)
    questions, names = suggest(options.run, options.folder, options.num)
    if options.out.suffix == ".json":
        write_whole(options.out, [task(question, names) for question in questions])
        write_whole(options.out.with_suffix(".xml"), labeling_config(names))
    else:
        replace_file(options.out, _as_csv(questions, names).encode("utf-8-sig"))  # people fill it in, in Excel
    from al_lightning.data.new_samples import not_read  # imports torch

    for path in not_read(options.folder):
        print(f"Left out: {path}: this format is not read here.", file=sys.stderr)
    note_suggested(options.run, (question.file for question in questions))
    print(
        f"Wrote {len(questions)} suggestion{'s' * (len(questions) != 1)} to {options.out}. "
        f"A run with people takes their labels: al-lightning label {options.run} --import FILE"
    )


def suggest(run_dir: Path, folder: Path, num: int | None = None) -> tuple[list[Query], list[str]]:
    """Ranks the images of a folder: see :func:`~al_lightning.cli.ranked_images.rank_images`."""
    with loading():
        from al_lightning.cli.ranked_images import rank_images
    return rank_images(run_dir, folder, num)


def _as_csv(questions: Sequence[Query], names: Sequence[str]) -> str:
    text = io.StringIO()
    writer = table_writer(text)
    writer.writerow(["rank", "file", "predicted", "confidence", "score", "label"])
    for question in questions:
        row: list[Any] = [question.order + 1, question.file]
        row += [predicted_name(question, names)]
        row += ["" if value is None else f"{value:.6g}" for value in (question.confidence, question.score)]
        writer.writerow([*row, ""])
    return text.getvalue()
