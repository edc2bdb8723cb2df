"""``al-lightning label RUN --import FILE``: answers of people come into a run. Imports no torch."""

import shlex
import sys
from argparse import Namespace

from al_lightning.cli.options import Parser
from al_lightning.errors import InputError
from al_lightning.labeling.agreement import agreement, describe
from al_lightning.labeling.answers import read_answers_of_people
from al_lightning.labeling.conflicts import RULES
from al_lightning.labeling.filled_tables import take_tables
from al_lightning.labeling.other_run import labels_of_run
from al_lightning.labeling.questions import QUERY
from al_lightning.labeling.studio.take import take_pulled
from al_lightning.labeling.suggested import split_suggested
from al_lightning.labeling.take_answers import take, words_of
from al_lightning.labeling.take_elsewhere import take_elsewhere
from al_lightning.labeling.taken_tables import note_taken
from al_lightning.labeling.tell_answers import tell, tell_known, tell_open
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
        dest="files",
        metavar="FILE",
        type=as_path,
        action="append",
        help="a .csv with columns label, and index or file, as query.csv is when it is filled in; or a .json that "
        "Label Studio exported; `skip` takes a sample out of the pool; without --import, the tables in the run folder "
        "and the answers in the run's project in Label Studio; "
        "for colleagues more than once, each file named after its person",
    )
    parser.add_argument(
        "--from",
        dest="other",
        metavar="RUN",
        type=as_path,
        help="another run: its labels of the same samples, by content and name, come into this one",
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
    parser.add_argument("--annotator", default="", metavar="NAME", help="who answered, where the file does not say it")
    parser.add_argument(
        "--agreement",
        action="store_true",
        help="print how far people agree who answered for the same samples; without --import, do nothing else",
    )
    options = parser.parse_args(words)
    folder = RunFolder.edit(options.run)
    try:
        is_all = True
        if options.files and options.other is not None:
            raise InputError("Expected `--import` or `--from`, but got both.")
        if options.other is not None:
            is_all = _take_run(folder, options)
        elif options.files:
            is_all = _take_file(folder, options)
        elif not options.agreement:
            is_all = _take_own(folder, options)
        if options.agreement:
            print(describe(agreement(folder.answers)))
    finally:
        folder.close()
    if not is_all:
        sys.exit(1)


def _take_file(folder: RunFolder, options: Namespace) -> bool:
    """Takes the answers of files; returns whether all of them could be taken."""
    was_open, table = bool(folder.asked), folder.path / QUERY
    before = sha256_of(table.read_bytes()) if table.exists() else ""
    answers = read_answers_of_people(options.files, words_of(folder), options.annotator)
    is_table = before in {sha256_of(file.read_bytes()) for file in options.files}  # query.csv, or a copy of it
    named = " and ".join(map(str, options.files))
    suggested, answers = split_suggested(folder, answers)
    if not answers and not suggested:
        print(
            f"Note: {named} has no answers: no row with a `label`, or no annotation with a choice of `label`.",
            file=sys.stderr,
        )
    unasked = take_elsewhere(folder, suggested)
    answers += unasked.answers
    taken = take(folder, answers, options.close, options.correct, options.conflicts)
    if is_table and taken.is_all:
        note_taken(table, before)
    if was_open or taken.changes or not taken.is_all or not (answers or suggested):
        tell(taken, folder, named, " ".join(f"--import {shlex.quote(str(file))}" for file in options.files))
        tell_open(folder, taken.num_back)
    elif suggested:
        tell_open(folder)
    else:
        tell_known(taken, folder)
    return taken.is_all and unasked.is_all


def _take_run(folder: RunFolder, options: Namespace) -> bool:
    """Takes the labels of another run; returns whether all of them could be taken."""
    unasked = take_elsewhere(folder, labels_of_run(options.other, folder))
    taken = take(folder, unasked.answers, options.close, options.correct, options.conflicts)
    if unasked.answers:
        tell(taken, folder, str(options.other), f"--from {shlex.quote(str(options.other))}")
    tell_open(folder, taken.num_back)
    return taken.is_all and unasked.is_all


def _take_own(folder: RunFolder, options: Namespace) -> bool:
    """Takes answers from the tables in the folder itself and from the run's project in Label Studio.

    Returns:
        Whether all answers could be taken.
    """
    was_open = bool(folder.asked)
    results = [take_from(folder, options.correct, options.conflicts) for take_from in (take_tables, take_pulled)]
    if results == [None, None] and not was_open:
        raise InputError(f"Expected open questions in {folder.path}, but there are none; `al-lightning fit` goes on.")
    num_back = take(folder, [], close=True).num_back if options.close and folder.asked else 0
    tell_open(folder, num_back)
    return False not in results
