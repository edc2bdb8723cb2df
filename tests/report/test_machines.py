"""The machines of the rounds are those that the run folders record."""

import json
from pathlib import Path

from al_lightning.report.machines import machine_table
from al_lightning.report.study import read_study
from tests.report.made_up_runs import settings, write_published_run

OLD, NEW = {"torch": "1.0", "hardware": "cpu"}, {"torch": "2.0", "hardware": "NVIDIA H200"}


def write(path: Path, seed: int, made_with: list[dict[str, object]] | None) -> None:
    write_published_run(path, settings(seed=seed, num_rounds=3), [0.7] * 4)
    if made_with is not None:
        (path / "origin.json").write_text(json.dumps({"made_with": made_with}))


def test_one_machine_made_all(tmp_path: Path) -> None:
    for seed in range(2):
        write(tmp_path / "random" / f"seed{seed}", seed, [{"from_round": 0, **NEW}])
    rows = machine_table(read_study([tmp_path])).to_dict("records")
    assert rows == [{"rounds": "all", "hardware": "NVIDIA H200", "torch": "2.0"}]


def test_rounds_of_several_machines_are_told_apart_and_unknown_ones_come_last(tmp_path: Path) -> None:
    write(tmp_path / "random" / "seed0", 0, [{"from_round": 0, **OLD}, {"from_round": 2, **NEW}])
    write(tmp_path / "random" / "seed1", 1, [{"from_round": 3, **NEW}])
    rows = machine_table(read_study([tmp_path])).to_dict("records")
    assert rows == [
        {"rounds": "0 to 1 of random (seed 0)", "hardware": "cpu", "torch": "1.0"},
        {"rounds": "2 to 3 of random (seed 0); 3 of random (seed 1)", "hardware": "NVIDIA H200", "torch": "2.0"},
        {"rounds": "0 to 2 of random (seed 1)", "hardware": "not recorded", "torch": "not recorded"},
    ]


def test_runs_that_record_nothing_say_so(tmp_path: Path) -> None:
    write(tmp_path / "random" / "seed0", 0, None)
    assert machine_table(read_study([tmp_path])).to_dict("records") == [{"rounds": "all", "hardware": "not recorded"}]


def test_an_origin_that_is_torn_is_not_recorded(tmp_path: Path) -> None:
    write(tmp_path / "random" / "seed0", 0, None)
    (tmp_path / "random" / "seed0" / "origin.json").write_text("{")
    assert machine_table(read_study([tmp_path]))["hardware"].tolist() == ["not recorded"]
