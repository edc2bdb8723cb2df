"""``al-lightning label RUN --import FILE``: answers of people come into a run."""

import sys
from pathlib import Path

from al_lightning.cli.options import Parser
from al_lightning.errors import InputError
from al_lightning.labeling.answers import read_answers
from al_lightning.labeling.match_answers import settle
from al_lightning.paths import as_path
from al_lightning.run_folder.folder import RunFolder
from al_lightning.run_folder.tables import SKIPPED

MOST_NAMED = 20


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
        "Label Studio exported; `skip` takes a sample out of the pool",
    )
    parser.add_argument(
        "--close",
        action="store_true",
        help="take what is still open back to the pool, so that fit goes on without it",
    )
    options = parser.parse_args(words)
    folder = RunFolder.edit(options.run)
    try:
        all_taken = _answer(folder, options.file, options.close)
    finally:
        folder.close()
    if not all_taken:
        sys.exit(1)


def _answer(folder: RunFolder, file: Path | None, close: bool) -> bool:
    """Takes answers into the folder; returns whether all of them could be."""
    if not folder.asked:
        raise InputError(f"Expected open questions in {folder.path}, but there are none; `al-lightning fit` goes on.")
    names = list(folder.identity.get("classes", []))
    settled = settle(folder.asked, read_answers(file) if file is not None else [], names)
    open_ones = [question for question in settled.questions if question.label is None]
    answered = [question for question in settled.questions if question.label is not None]
    if close and not answered:
        raise InputError("Expected at least one answer before `--close`, but got none.")
    done = not open_ones or close
    if done:
        if all(query.label == SKIPPED for query in (*folder.queries, *answered)):
            raise InputError("Expected at least one label to begin with, but all samples were skipped.")
        folder.commit(queries=answered)
    elif settled.num_taken:
        folder.commit(asked=settled.questions)
    if file is not None:
        skipped = f", {settled.num_skipped} of them skipped" if settled.num_skipped else ""
        print(f"Took {settled.num_taken} answers from {file}{skipped}.")
    for title, lines in (("Note", settled.notes), ("Not taken", settled.problems)):
        for line in lines[:MOST_NAMED]:
            print(f"{title}: {line}{'' if line.endswith('?') else '.'}", file=sys.stderr)
        if len(lines) > MOST_NAMED:
            print(f"{title}: {len(lines) - MOST_NAMED} more.", file=sys.stderr)
    if not done:
        named = [question.file or f"sample {question.index}" for question in open_ones[:MOST_NAMED]]
        more = ", ..." if len(open_ones) > MOST_NAMED else ""
        print(f"{len(open_ones)} of {len(settled.questions)} questions are open: {', '.join(named)}{more}.")
        print("--close goes on without them.")
    else:
        back = f", {len(open_ones)} went back to the pool" if open_ones else ""
        print(f"All is answered{back}. To continue: al-lightning fit --config {folder.path / 'config.yaml'}")
    return not settled.problems
