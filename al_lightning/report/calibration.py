"""Calibration of the first, the middle and the last common round."""

import pandas as pd

from al_lightning.report.read_run import Run
from al_lightning.report.study import Study


def calibration_table(study: Study) -> pd.DataFrame:
    """Pools the bins of three rounds, with the same seeds in all arms: :attr:`Analysis.calibration`."""
    seeds = _calibrated_seeds(study)
    tables = []
    for arm, runs in study.runs.items():
        table = pd.concat(
            [_bins_of(run, [r for r in seeds if run.seed in seeds[r]]) for run in runs], ignore_index=True
        )
        weighted = table[["confidence", "accuracy"]].mul(table["count"], axis=0)
        sums = pd.concat([table[["round", "bin", "count"]], weighted], axis=1).groupby(["round", "bin"]).sum()
        means = sums[["confidence", "accuracy"]].div(sums["count"], axis=0)
        found = pd.concat([sums["count"], means], axis=1).reset_index()
        found.insert(0, "num_labeled", [int(study.num_labeled[int(r)]) for r in found.pop("round")])
        found.insert(0, "arm", arm)
        tables.append(found)
    return pd.concat(tables, ignore_index=True)


def notes_on_calibration(study: Study) -> list[str]:
    """Says for which rounds some seeds have no calibration."""
    if all(run.calibration.empty for runs in study.runs.values() for run in runs):
        return []  # the page says this
    notes = []
    for r, seeds in _calibrated_seeds(study).items():
        if len(seeds) < len(study.seeds):
            whose = f"of seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))} only" if seeds else "left out"
            reason = "no other seed has it" if seeds else "no seed has it"
            notes.append(
                f"Calibration with {study.num_labeled[r]:,} labels is {whose}: {reason} in all arms that have any."
            )
    return notes


def _calibrated_seeds(study: Study) -> dict[int, list[int]]:
    """Returns the three rounds, and for each the seeds that have bins in all arms with any bins.

    Runs begun with an older version lack bins of their first rounds, or have none.
    """
    rounds = sorted({0, (study.num_rounds - 1) // 2, study.num_rounds - 1})
    having = {
        (arm, run.seed): set(run.calibration["round"].unique()) for arm, runs in study.runs.items() for run in runs
    }
    arms = [arm for arm in study.arms if any(having[arm, seed] for seed in study.seeds)]
    return {r: [seed for seed in study.seeds if arms and all(r in having[arm, seed] for arm in arms)] for r in rounds}


def _bins_of(run: Run, rounds: list[int]) -> pd.DataFrame:
    return run.calibration[run.calibration["round"].isin(rounds)]
