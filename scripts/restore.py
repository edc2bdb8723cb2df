"""Turns published runs into run folders, so that the runs can go on.

python scripts/restore.py results/study --out runs/study
al-lightning sweep --config configs/study.yaml

A restored run lacks acquisition scores of earlier rounds, models and events. If each fit starts from scratch, the next
rounds need none of these. On the same hardware and versions, and with the same data, they are the same to the bit as if
the run had never stopped. A run with an origin.json refuses other data, and says if hardware or versions differ. With
`loop.reinit` warm or initial the next fit would need weights that were not published. Such a run is restored only if it
is finished.

`--rounds N` restores only the first N rounds, so that the later rounds can be made again, perhaps with other code:

python scripts/restore.py results/study/bald/seed0 --out again --rounds 50
al-lightning fit --config again/bald/seed0/config.yaml --loop.run_dir again/bald/seed0 --loop.num_rounds 50

Nothing is written before all runs were read. After an interruption, the same command goes on: it leaves the folders
that it has made as they are. It refuses a folder with another run, or with other rounds of the same run.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pandas as pd
import yaml

from al_lightning.errors import InputError
from al_lightning.report.read_run import Run, find_runs, parse_origin, parse_run, read_texts
from al_lightning.run_folder import (
    COMMIT,
    CONFIG,
    ROUNDS,
    CalibrationBin,
    Diagnostic,
    Query,
    Round,
    RunFolder,
    read_rounds,
)

RowT = TypeVar("RowT", CalibrationBin, Diagnostic)


@dataclass(frozen=True)
class Published:
    """A published run in the form that a run folder takes."""

    run: Run
    settings: dict[str, Any]
    origin: dict[str, Any]
    rounds: list[Round]
    queries: list[Query]
    calibration: list[CalibrationBin]
    diagnostics: list[Diagnostic]


def restore(paths: Iterable[Path], out: Path, num_rounds: int | None = None) -> None:
    """Makes the folders of the published runs at or below some folders.

    Args:
        paths: The folders.
        out: Where run folders go, as ``arm/seed``.
        num_rounds: Number of rounds of each run, by default all.

    Raises:
        InputError: If a run cannot be read or cannot go on, has too few rounds, or its place is taken.
    """
    sources: dict[Path, Path] = {}
    made = set()
    for path in find_runs(paths):
        published = read_published(path, num_rounds)
        folder = out / published.run.arm / f"seed{published.run.seed}"
        if folder in sources:
            raise InputError(f"Expected one run for {folder}, but got {sources[folder]} and {path}.")
        sources[folder] = path
        if is_made(folder, published):
            made.add(folder)
    for folder, path in sources.items():
        if folder not in made:
            write(folder, read_published(path, num_rounds))  # read once more: all runs at once may not fit into memory
        print(f"{folder}{' was restored before: left as it is.' if folder in made else ''}")


def read_published(path: Path, num_rounds: int | None = None) -> Published:
    """Reads a published run, or its first rounds.

    Raises:
        InputError: If the folder has no published run, or the run has too few rounds or cannot go on.
    """
    texts = read_texts(path)
    run, rounds = parse_run(path, texts), read_rounds(path)  # read_rounds keeps the bits of floats, pandas does not
    reinit = run.settings.get("loop.reinit", "scratch")
    kept = len(run.rounds) if num_rounds is None else num_rounds
    if not 1 <= kept <= len(run.rounds):
        raise InputError(f"Expected `--rounds` from 1 to the {len(run.rounds)} of {path}, but got {kept}.")
    if reinit != "scratch" and kept < run.num_rounds:
        raise InputError(
            f"Expected to restore all of a finished run from {path}, but got {kept} of {run.num_rounds} rounds, and "
            f"with `loop.reinit` {reinit} the next fit starts from weights that are not published."
        )
    if len(rounds) != len(run.rounds):
        raise InputError(f"Expected {path / ROUNDS} as it was published, but it was edited or is torn.")
    try:
        queries = [to_query(row) for row in run.all_queries.to_dict("records")]
        calibration, diagnostics = to_rows(CalibrationBin, run.calibration), to_rows(Diagnostic, run.diagnostics)
    except ValueError as error:  # a number is missing
        raise InputError(f"Expected whole tables of a run in {path}, but got: {error}.") from error
    return Published(
        run,
        yaml.safe_load(texts[CONFIG]),
        parse_origin(path, texts),
        rounds[:kept],
        [row for row in queries if row.round <= kept],  # the labels bought after the last fit too
        [row for row in calibration if row.round < kept],
        [row for row in diagnostics if row.round < kept],
    )


def to_query(row: dict[Any, Any]) -> Query:
    predicted, confidence = row.get("predicted"), row.get("confidence")
    return Query(
        round=int(row["round"]),
        order=int(row["order"]),
        index=int(row["index"]),
        label=int(row["label"]),
        score=None,
        predicted=None if pd.isna(predicted) else int(predicted),
        confidence=None if pd.isna(confidence) else float(confidence),
    )


def to_rows(row_type: type[RowT], table: pd.DataFrame) -> list[RowT]:
    types: dict[str, Any] = {field.name: field.type for field in fields(row_type)}
    return [
        row_type(**{name: kind(row[name]) for name, kind in types.items()})  # int refuses NaN
        for row in table.to_dict("records")
    ]


def is_made(folder: Path, published: Published) -> bool:
    """Whether a folder is already the restored run. If not, the folder is free.

    Raises:
        InputError: If the folder has other contents.
    """
    # a kill before the commit leaves only these files, and RunFolder replaces them
    if not folder.exists() or all(path.name == ".lock" or path.suffix == ".new" for path in folder.iterdir()):
        return False
    if (folder / COMMIT).exists():
        RunFolder.edit(folder).close()  # opening finishes a commit that was cut off
        with TemporaryDirectory() as scratch:
            write(Path(scratch), published)
            if (folder / COMMIT).read_bytes() == (Path(scratch) / COMMIT).read_bytes():  # digests of all tables
                return True
    raise InputError(f"Expected {folder} to be free for the run in {published.run.path}, but it has other contents.")


def write(path: Path, published: Published) -> None:
    """Writes a run folder in one commit."""
    folder = RunFolder.open(path, published.settings)
    # set, not committed as new rounds, for which the folder would record the versions of today
    folder.rounds, folder.queries = published.rounds, published.queries
    folder.calibration, folder.diagnostics = published.calibration, published.diagnostics
    folder.identity, folder.made_with = published.origin.get("data", {}), published.origin.get("made_with", [])
    folder.commit()
    folder.close()


def main(args: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, help="restores only the first ones of each run")
    options = parser.parse_args(args)
    try:
        restore(options.runs, options.out, options.rounds)
    except (InputError, OSError) as error:
        parser.exit(2, f"{parser.prog}: error: {' '.join(str(error).split())}\n")


if __name__ == "__main__":
    main()
