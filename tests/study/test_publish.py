"""scripts/publish.py and scripts/restore.py: a published run can be reported, and can go on."""

import csv
from pathlib import Path

from al_lightning.cli import main
from al_lightning.study.reading import read_run
from scripts.publish import publish
from scripts.restore import restore

DIGITS = ["--data", "tests.digits.Digits", "--data.num_initial", "50", "--model", "tests.digits.DigitsMLP"]


def fit(run_dir: Path, num_rounds: int) -> None:
    flags = ["--loop.strategy", "BADGE", "--loop.query_size", "10", "--trainer.max_epochs", "2"]
    main(["fit", *DIGITS, *flags, "--loop.num_rounds", str(num_rounds), "--loop.run_dir", str(run_dir)])


def rows(path: Path, *left_out: str) -> list[dict[str, str]]:
    with path.open() as file:
        return [{name: value for name, value in row.items() if name not in left_out} for row in csv.DictReader(file)]


def test_a_published_run_is_read_and_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    fit(tmp_path / "whole" / "badge" / "seed0", 3)
    fit(tmp_path / "runs" / "badge" / "seed0", 1)
    assert publish(tmp_path / "runs" / "badge" / "seed0", tmp_path / "results") > 0
    published = tmp_path / "results" / "badge" / "seed0"
    assert str(tmp_path) not in (published / "config.yaml").read_text()
    run = read_run(published)
    assert (run.arm, run.seed, len(run.rounds), len(run.queries)) == ("badge", 0, 2, 60)

    restored = restore(published, tmp_path / "again")
    fit(restored, 3)
    whole = tmp_path / "whole" / "badge" / "seed0"
    seconds = ("seconds_fit", "seconds_score", "seconds_select", "seconds_test")
    assert rows(restored / "rounds.csv", *seconds) == rows(whole / "rounds.csv", *seconds)
    about = ("score", "confidence")  # not published, or rounded
    assert rows(restored / "queries.csv", *about) == rows(whole / "queries.csv", *about)
