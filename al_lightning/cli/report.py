"""``al-lightning report RUNS... --out DIR``: compares runs, and judges the claims."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from al_lightning.cli.loading import loading
from al_lightning.cli.seeds import parse_seeds
from al_lightning.errors import InputError
from al_lightning.paths import as_path

EPILOG = """\
examples:
  al-lightning report runs/study --out report
  al-lightning report runs/badge runs/random runs/margin --out report --max_labels 5000
  al-lightning report runs/study --arms random,margin,bald --seeds 0-2 --claims
  al-lightning report runs/photos --out report
  al-lightning report runs/small_batch runs/large_batch --vary data.batch_size --out report
  al-lightning report runs/study --markdown > report.md
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"Expected the options of `report`, but got: {message}; see al-lightning report --help.")


def run(args: Sequence[str]) -> None:
    """Runs the command.

    Args:
        args: The words after ``report``.

    Raises:
        InputError: If an option is bad, there are no runs, or they cannot be compared.
    """
    options = _parser().parse_args(args)
    arms = None if options.arms is None else [name for name in options.arms.split(",") if name]
    if arms == []:
        raise InputError(f"Expected `--arms` to be names, with commas between them, but got `{options.arms}`.")
    if options.out is not None:
        _check_out(options.out)
    seeds = None if options.seeds is None else parse_seeds(options.seeds)
    with loading():
        from al_lightning.cli.compared_runs import compare
    compare(args, options, arms, seeds)


def _check_out(out: Path) -> None:
    """Raises :class:`InputError` if the folder cannot be written, before the report takes its time."""
    try:
        there = next(path for path in (out, *out.absolute().parents) if path.exists())
    except OSError as error:  # such as too long a name
        raise InputError(f"Expected `--out` to be a folder, but got: {error}.") from error
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"Expected `--out` {out} to be a folder that can be written, but {there} is not.")


def _named(text: str) -> Path:
    if not text:  # perhaps a variable that is not set; Path would take the current folder
        raise argparse.ArgumentTypeError("expected the name of a folder, but got an empty one")
    return as_path(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="al-lightning report",
        description="Compares runs that differ in their strategy or model, paired by seed. Of a run with people, it "
        "shows what was asked and answered.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("runs", nargs="+", type=as_path, metavar="RUNS", help="run folders, or folders of them")
    parser.add_argument(
        "--out", type=_named, help="folder for report.html, figures, summary.csv, summary.json and tensorboard"
    )
    parser.add_argument("--markdown", action="store_true", help="print all tables as Markdown instead of a summary")
    parser.add_argument("--claims", action="store_true", help="judge the claims C1 to C15 of docs/study.md")
    parser.add_argument(
        "--factorial", type=as_path, help="runs of configs/round0.yaml, for claim C2b; implies --claims"
    )
    parser.add_argument("--planted", type=as_path, help="runs of configs/planted.yaml, for claim C11; implies --claims")
    parser.add_argument("--arms", help="the arms to compare, with commas; all if not given")
    parser.add_argument(
        "--seeds", help="the seeds to compare, as of sweep: n for 0 to n-1, or 0-4, or 0,3,5-7; all if not given"
    )
    parser.add_argument("--baseline", help="the arm to compare the others with; the one of Random if not given")
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="NAME",
        help="a setting by which arms may differ besides strategy and model, such as data.batch_size, "
        "data.train_transform or trainer.max_epochs; may be repeated",
    )
    parser.add_argument("--max_labels", type=int, help="leave out rounds with more labels")
    parser.add_argument("--data_root", help="where the images for the gallery are, as in --data.root")
    return parser
