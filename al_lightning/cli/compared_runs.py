"""Compares the runs that ``al-lightning report`` names, prints what came out, and writes the page."""

import argparse
import shlex
import sys
import textwrap
from collections.abc import Sequence
from math import isnan

import pandas as pd

from al_lightning.errors import InputError
from al_lightning.report.analysis import Analysis, analyse
from al_lightning.report.claims.judge import Claim, judge
from al_lightning.report.findings import LEAST_SEEDS
from al_lightning.report.markdown import to_markdown
from al_lightning.report.read_run import find_runs, has_no_round, read_run
from al_lightning.report.study import read_study
from al_lightning.report.write import write_report


def compare(
    args: Sequence[str], options: argparse.Namespace, arms: Sequence[str] | None, seeds: Sequence[int] | None
) -> None:
    """Runs the command.

    Args:
        args: The words after ``report``, for the page.
        options: The same words, parsed.
        arms: The arms to compare; all if not given.
        seeds: The seeds to compare; all if not given.

    Raises:
        InputError: If there are no runs, or they cannot be compared.
    """
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
