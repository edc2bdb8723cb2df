"""Makes run folders of published runs, so that they can go on from where they stand.

python scripts/restore.py results/study --out runs/study
al-lightning sweep --config configs/study.yaml

What scripts/publish.py left out is missing: acquisition scores of earlier rounds, models and events. The rounds to come
need none of them if each fit starts from scratch, and are the same to the bit as if the run had never stopped, on the
same hardware and versions and with the same data. A run with an origin.json refuses other data, and says so if hardware
or versions are others; of one without, they are not known. With `loop.reinit` warm or initial the next fit would need
weights that were not published: such a run is restored only if it is finished.

`--rounds N` restores only the first N rounds, so that later ones can be made again, the same or with other code:

python scripts/restore.py results/study/bald/seed0 --out again --rounds 50
al-lightning fit --config again/bald/seed0/config.yaml --loop.run_dir again/bald/seed0 --loop.num_rounds 50

Nothing is written before all runs were looked at. The same command goes on where it was interrupted: folders that it
has made are left as they are, and those that are another run, or have other rounds by now, are refused.
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
    """A published run, as a run folder takes it."""

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
        num_rounds: How many rounds of each run; None for all.

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
            write(folder, read_published(path, num_rounds))  # once more: all of them at once may not fit into memory
        print(f"{folder}{' was restored before: left as it is.' if folder in made else ''}")


def read_published(path: Path, num_rounds: int | None = None) -> Published:
    """Reads a published run, or its first rounds.

    Raises:
        InputError: If it is none, has too few rounds, or cannot go on.
    """
    texts = read_texts(path)
    run, rounds = parse_run(path, texts), read_rounds(path)  # which has the bits of figures, as pandas has not
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
    except ValueError as error:  # of a number that is not there
        raise InputError(f"Expected whole tables of a run in {path}, but got: {error}.") from error
    return Published(
        run,
        yaml.safe_load(texts[CONFIG]),
        parse_origin(path, texts),
        rounds[:kept],
        [row for row in queries if row.round <= kept],  # what was bought after the last fit
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
    """Whether a folder is what would be made of a published run; otherwise it can be made.

    Raises:
        InputError: If there is something else in it.
    """
    # a kill before the commit leaves no more than these, and RunFolder begins anew over them
    if not folder.exists() or all(path.name == ".lock" or path.suffix == ".new" for path in folder.iterdir()):
        return False
    if (folder / COMMIT).exists():
        RunFolder.edit(folder).close()  # after a kill in the commit it is finished
        with TemporaryDirectory() as scratch:
            write(Path(scratch), published)
            if (folder / COMMIT).read_bytes() == (Path(scratch) / COMMIT).read_bytes():  # digests of all tables
                return True
    raise InputError(f"Expected {folder} to be free for the run in {published.run.path}, but it has other contents.")


def write(path: Path, published: Published) -> None:
    """Makes a run folder: all of it in one commit, or nothing that counts."""
    folder = RunFolder.open(path, published.settings)
    # these are the rounds as they were, not new ones, of which it would be recorded what makes them now
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
