"""Copies runs in a compact form, enough to redo every figure of a report without training.

python scripts/publish.py runs/study --out results/study

Of each run: rounds.csv as it is, config.yaml without folders, the other tables compressed, without acquisition scores
and with figures of few digits, and origin.json: what is known of its data and of what its rounds were made with.
Models, events and logs stay behind, and so do questions that people have not answered yet. What is there already of the
same run is replaced; runs without a finished round are left out. Nothing is written before all runs were read.
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
"""After the point, of the tables that are compressed: a gallery shows confidences in percent."""
FILES = (CONFIG, ORIGIN, *(f"{name}.xz" for name in DIGITS), ROUNDS)
"""Of a published run; the rounds come last: with fewer queries than they need, a run is refused by whoever reads it."""
FOLDERS = {"loop": ("run_dir", "shared_dir"), "data": ("root",)}
"""Settings that are folders of one machine."""


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
    """Returns the place of a run in a folder of published ones, and its files, all of one moment."""
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
    """Makes a folder have these files of a published run, and no others that it had of one."""
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
