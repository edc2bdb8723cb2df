"""Makes run folders of published runs, so that they can go on from where they stand.

python scripts/restore.py results/study --out runs/study
al-lightning sweep --config configs/study.yaml

What scripts/publish.py left out is missing: acquisition scores of earlier rounds, models and events. The rounds to come
need none of them, and are the same to the bit as if the run had never stopped, on the same hardware and versions.
"""

import argparse
from pathlib import Path

import pandas as pd
import yaml

from al_lightning.errors import InputError
from al_lightning.run_folder import CalibrationBin, Diagnostic, Query, RunFolder, read_rounds
from al_lightning.study.reading import find_runs, read_run


def restore(published: Path, out: Path) -> Path:
    """Makes the folder of one run; returns it."""
    run = read_run(published)
    path = out / run.arm / f"seed{run.seed}"
    if path.exists():
        raise InputError(f"Expected no folder {path}, but there is one.")
    folder = RunFolder.open(path, yaml.safe_load((published / "config.yaml").read_text()))
    folder.commit(
        read_rounds(published),
        [
            Query(
                round=int(row["round"]),
                order=int(row["order"]),
                index=int(row["index"]),
                label=int(row["label"]),
                score=None,
                predicted=None if pd.isna(row.get("predicted")) else int(row["predicted"]),
                confidence=None if pd.isna(row.get("confidence")) else float(row["confidence"]),
            )
            for row in run.queries.to_dict("records")
        ],
        [CalibrationBin(**row) for row in run.calibration.to_dict("records")],
        [Diagnostic(**row) for row in run.diagnostics.to_dict("records")],
    )
    folder.close()
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    for path in find_runs(options.runs):
        print(restore(path, options.out))


if __name__ == "__main__":
    main()
