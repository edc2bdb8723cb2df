"""Copies runs in a compact form, which is enough for every figure of a report.

python scripts/publish.py runs/study --out results/study

A published run has rounds.csv as it is, and config.yaml without folders. Its other tables are compressed, without
acquisition scores and with few digits. Its origin.json names its data and the versions that its rounds were made with.
Models, events, logs and unanswered questions stay behind. An earlier copy of the same run is replaced. Runs without a
finished round are left out. Nothing is written before all runs were read.
"""

import argparse
import json
import lzma
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
import yaml

from al_lightning.errors import InputError
from al_lightning.report.read_run import ORIGIN, find_runs, has_no_round, parse_origin, parse_run, read_texts
from al_lightning.run_folder import CALIBRATION, COMMIT, CONFIG, DIAGNOSTICS, QUERIES, ROUNDS

DIGITS = {QUERIES: 3, CALIBRATION: 4, DIAGNOSTICS: 4}
"""Digits after the point in the compressed tables: a gallery shows confidences in percent."""
FILES = (CONFIG, ORIGIN, *(f"{name}.xz" for name in DIGITS), ROUNDS)
"""Files of a published run. The rounds come last: readers refuse a run with fewer queries than its rounds need."""
FOLDERS = {"loop": ("run_dir", "shared_dir"), "data": ("root",)}
"""Settings that name folders of one machine."""


def publish(paths: Iterable[Path], out: Path) -> None:
    """Writes the runs at or below some folders.

    Raises:
        InputError: If a run cannot be read, or two would be written to the same place.
    """
    runs: dict[Path, tuple[Path, dict[str, bytes]]] = {}
    for path in find_runs(paths):
        if has_no_round(path):
            print(f"{path} has no finished round yet: left out.")
            continue
        place, files = compact(path)
        if place in runs:
            raise InputError(f"Expected one run for {out / place}, but got {runs[place][0]} and {path}.")
        if (out / place / COMMIT).exists():
            raise InputError(f"Expected `--out` to be for published runs, but {out / place} is a run folder.")
        runs[place] = path, files
    for place, (_, files) in runs.items():
        write(out / place, files)
    size = sum(len(content) for _, files in runs.values() for content in files.values())
    print(f"{len(runs)} runs, {size / 2**20:.1f} MiB, in {out}")


def compact(path: Path) -> tuple[Path, dict[str, bytes]]:
    """Returns the place of a run among published runs, and its files, all of one moment."""
    texts = read_texts(path)
    run, origin = parse_run(path, texts), parse_origin(path, texts)
    texts_out = {CONFIG: without_folders(texts[CONFIG]), ROUNDS: texts[ROUNDS]}
    if origin:
        texts_out[ORIGIN] = json.dumps(origin, indent=1) + "\n"
    files = {name: text.encode() for name, text in texts_out.items()}
    for name, table in zip(DIGITS, (run.all_queries, run.calibration, run.diagnostics), strict=True):
        if len(table):
            files[f"{name}.xz"] = lzma.compress(to_csv(table, DIGITS[name]).encode(), preset=9 | lzma.PRESET_EXTREME)
    return Path(run.arm, f"seed{run.seed}"), files


def without_folders(text: str) -> str:
    """Returns a config.yaml without the folders of this machine."""
    config = yaml.safe_load(text)
    for part, names in FOLDERS.items():
        settings = config.get(part, {})
        for name in names:
            settings.get("init_args", settings).pop(name, None)
    return yaml.safe_dump(config, sort_keys=False)


def to_csv(table: pd.DataFrame, digits: int) -> str:
    integers = {column: "Int64" for column in ("predicted",) if column in table}
    return table.drop(columns="score", errors="ignore").astype(integers).round(digits).to_csv(index=False)


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Writes the files of a published run, and deletes the other files of an earlier copy."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if name in files:
            (folder / name).write_bytes(files[name])
        else:
            (folder / name).unlink(missing_ok=True)


def main(args: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(args)
    try:
        publish(options.runs, options.out)
    except (InputError, OSError) as error:
        parser.exit(2, f"{parser.prog}: error: {' '.join(str(error).split())}\n")


if __name__ == "__main__":
    main()
