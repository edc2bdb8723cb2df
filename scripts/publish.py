"""Copies runs in a compact form, enough to redo every figure of a report without training.

python scripts/publish.py runs/study --out results/study

Of each run: rounds.csv as it is, config.yaml without folders, the other tables compressed, without acquisition scores
and with confidences of four digits. Models, events and logs stay behind. What is there already of the same run is
replaced.
"""

import argparse
import gzip
from pathlib import Path

import yaml

from al_lightning.study.reading import find_runs, read_run

TABLES = ("queries", "calibration", "diagnostics")


def publish(run_dir: Path, out: Path) -> int:
    """Writes one run; returns its size in bytes."""
    run = read_run(run_dir)  # refuses what is torn
    folder = out / run.arm / f"seed{run.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    for folders, names in ((config["loop"], ("run_dir", "shared_dir")), (config["data"]["init_args"], ("root",))):
        for name in names:  # of this machine
            folders.pop(name, None)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (folder / "rounds.csv").write_bytes((run_dir / "rounds.csv").read_bytes())
    for name in TABLES:
        table = getattr(run, name)
        if len(table):
            integers = {column: "Int64" for column in ("predicted",) if column in table}
            text = table.drop(columns="score", errors="ignore").astype(integers).round(4).to_csv(index=False)
            # no time in the header: the same table is the same file
            (folder / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    return sum(path.stat().st_size for path in folder.iterdir())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    sizes = [publish(path, options.out) for path in find_runs(options.runs)]
    print(f"{len(sizes)} runs, {sum(sizes) / 2**20:.1f} MiB, in {options.out}")


if __name__ == "__main__":
    main()
