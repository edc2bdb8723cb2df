"""``al-lightning report RUNS... --out DIR``: compares runs, and judges the claims."""

import argparse
import os
import shlex
import sys
import textwrap
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import NoReturn

import pandas as pd

from al_lightning.cli.seeds import parse_seeds
from al_lightning.errors import InputError
from al_lightning.paths import as_path
from al_lightning.report.analysis import Analysis, analyse
from al_lightning.report.claims.judge import Claim, judge
from al_lightning.report.findings import LEAST_SEEDS
from al_lightning.report.markdown import to_markdown
from al_lightning.report.read_run import find_runs, has_no_round, read_run
from al_lightning.report.study import read_study
from al_lightning.report.write import write_report

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
    study = read_study(options.runs, arms, options.max_labels, seeds, options.vary)
    analysis = analyse(study, options.baseline)
    factorial = (
        [read_run(path) for path in find_runs([options.factorial]) if not has_no_round(path)]
        if options.factorial
        else []
    )
    planted = read_study([options.planted], max_labels=options.max_labels) if options.planted else None
    asks_for_claims = options.claims or options.factorial or planted
    if asks_for_claims and not study.is_tested:
        raise InputError("Expected runs with test accuracies for `--claims`, but these have none.")
    claims = judge(analysis, factorial, planted) if asks_for_claims else []
    notes = [*analysis.notes, *(f"In {options.planted}: {note}" for note in (planted.notes if planted else []))]
    print(to_markdown(analysis, claims, notes) if options.markdown else _text(analysis, claims, notes), end="")
    if options.out is not None:
        command = shlex.join(["al-lightning", "report", *args])
        page = write_report(analysis, options.out, claims=claims, root=options.data_root, command=command)
        written = f"\nWrote {page}, figures, summary.csv and summary.json to {options.out}."
        print(written, file=sys.stderr if options.markdown else sys.stdout)  # standard output is one Markdown document


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


def _text(analysis: Analysis, claims: Sequence[Claim], notes: Sequence[str]) -> str:
    """Returns what came out, the notes, the primary endpoint or the answers of people, and the claims as text."""
    study = analysis.study
    parts = [
        *(line for sentence in analysis.findings for line in textwrap.wrap(sentence, 110, subsequent_indent="  ")),
        *(f"Note: {note}" for note in notes),
        *(
            [f"\n{_endpoints(analysis)}"]
            if study.is_tested and not (study.is_of_people and len(study.arms) == 1)
            else []
        ),
        *([f"\n{_asked(analysis.asked)}"] if len(analysis.asked) else []),
        *([f"\n{_claims(claims)}"] if claims else []),
    ]
    return "".join(f"{part}\n" for part in parts)


def _endpoints(analysis: Analysis) -> str:
    """Returns the primary endpoint as text, the best arm first."""
    table = analysis.endpoints
    primary = table["endpoint"].iloc[0]
    rows = table[table["endpoint"] == primary].sort_values("mean", ascending=False)
    width = max(map(len, rows["arm"]))
    seeds = len(analysis.study.seeds)
    compared = f"; difference to {analysis.baseline}{', 95 % intervals' * (seeds > 1)}" if len(rows) > 1 else ""
    lines = [f"{primary}, {seeds} seed{'s' * (seeds != 1)}{compared}:"]
    for row in rows.itertuples():
        line = f"  {row.arm:{width}}  {row.mean:.4f}"
        if row.arm != analysis.baseline:
            line += f"  {row.difference:+.4f}"
            if seeds > 1:
                line += f" [{row.difference_low:+.4f}, {row.difference_high:+.4f}]"
                line += f"  p {row.p_holm:.3g} (Holm{', of two seeds: worth nothing' * (seeds < LEAST_SEEDS)})"
        lines.append(line)
    return "\n".join(lines)


def _asked(table: pd.DataFrame) -> str:
    """Returns the rounds of people as text."""
    lines = [
        "asked of people:",
        f"  {'round':>5}  {'labels':>7}  {'asked':>5}  {'skipped':>7}  {'predicted':>9}  {'accuracy':>8}",
    ]
    several = len(table[["arm", "seed"]].drop_duplicates()) > 1
    for row in table.to_dict("records"):
        agreed = "-" if isnan(row["agreed"]) else f"{100 * row['agreed']:.0f} %"
        accuracy = "-" if isnan(row["test_acc"]) else f"{row['test_acc']:.4f}"
        line = f"  {row['round']:>5}  {row['num_labeled']:>7,}  {row['asked']:>5}  {row['skipped']:>7}"
        run = f"  {row['arm']} seed {row['seed']}" if several else ""
        lines.append(f"{line}  {agreed:>9}  {accuracy:>8}{run}")
    return "\n".join(lines)


def _claims(claims: Sequence[Claim]) -> str:
    """Returns the claims as text."""
    lines = []
    for claim in claims:
        lines.append(f"{claim.id:4} {claim.claim}: {claim.verdict.upper()}")
        for text in (claim.statistic, claim.interval, claim.note):
            lines += textwrap.wrap(text, 110, initial_indent="       ", subsequent_indent="         ")
    return "\n".join(lines)
