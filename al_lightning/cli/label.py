"""``al-lightning label RUN --import FILE``: answers of people come into a run. Imports no torch."""

import sys
from pathlib import Path

from al_lightning.cli.options import Parser
from al_lightning.errors import InputError
from al_lightning.labeling.answers import read_answers
from al_lightning.labeling.conflicts import RULES, Conflicts
from al_lightning.labeling.filled_tables import take_tables
from al_lightning.labeling.take_answers import take, words_of
from al_lightning.labeling.taken_tables import note_taken
from al_lightning.labeling.tell_answers import tell, tell_open
from al_lightning.paths import as_path
from al_lightning.run_folder.files import sha256_of
from al_lightning.run_folder.folder import RunFolder


def run(words: list[str]) -> None:
    """Runs the command.

    Raises:
        InputError: If the words are bad, or the run asks for nothing.
        SystemExit: With code 1 if something in the file was not taken.
    """
    parser = Parser(
        "al-lightning label RUN --import FILE",
        description="Takes answers into a run that asks people for labels, and says what is still open.",
    )
    parser.add_argument("run", metavar="RUN", type=as_path, help="the run folder")
    parser.add_argument(
        "--import",
        dest="file",
        metavar="FILE",
        type=as_path,
        help="a .csv with columns label, and index or file, as query.csv is when it is filled in; or a .json that "
        "Label Studio exported; `skip` takes a sample out of the pool; without --import, the tables in the run folder",
    )
    parser.add_argument(
        "--close",
        action="store_true",
        help="take what is still open back to the pool, so that fit goes on without it",
    )
    parser.add_argument(
        "--correct",
        action="store_true",
        help="take answers that differ from labels of earlier rounds; the next fit trains on them",
    )
    parser.add_argument(
        "--conflicts",
        choices=RULES,
        default="refuse",
        help="of several answers to one sample, take none, that of the majority, or the latest (default: refuse)",
    )
    options = parser.parse_args(words)
    folder = RunFolder.edit(options.run)
    try:
        all_taken = _answer(folder, options.file, options.close, options.correct, options.conflicts)
    finally:
        folder.close()
    if not all_taken:
        sys.exit(1)


def _answer(folder: RunFolder, file: Path | None, close: bool, correct: bool, conflicts: Conflicts) -> bool:
    """Takes answers into the folder; returns whether all of them could be."""
    was_open, num_back = bool(folder.asked), 0
    if file is not None:
        answers = read_answers(file, words_of(folder))
        taken = take(folder, answers, close, correct, conflicts)
        is_all, num_back = taken.is_all, taken.num_back
        tell(taken, str(file))
        if is_all:
            note_taken(folder.path, sha256_of(file.read_bytes()))
    else:
        found = take_tables(folder, correct, conflicts)
        if found is None and not was_open:
            raise InputError(
                f"Expected open questions in {folder.path}, but there are none; `al-lightning fit` goes on."
            )
        is_all = found is not False
        if close and folder.asked:
            num_back = take(folder, [], close=True).num_back
    if was_open or not is_all or file is None or taken.changes:
        tell_open(folder, num_back)
    return is_all
