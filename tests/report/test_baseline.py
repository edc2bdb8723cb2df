"""The baseline is the arm whose strategy is Random, whatever its name is."""

from pathlib import Path
from typing import Any

import pytest

from al_lightning.report.baseline import find_baseline
from al_lightning.report.study import read_study
from tests.report.made_up_runs import learning_curve, write_study

RESNET = {"model": "Backbone"}


@pytest.mark.parametrize(
    ("arms", "expected"),
    [
        ({"entropy": {"strategy": "Entropy"}, "random": {}}, "random"),
        ({"entropy_backbone": {"strategy": "Entropy", **RESNET}, "random_backbone": RESNET}, "random_backbone"),
        ({"a": {"strategy": "Margin"}, "mine": {}}, "mine"),
        ({"a_random": {"dropout": 0.0}, "random": {}, "z": {"strategy": "Margin", "dropout": 0.0}}, "random"),
        # of two arms of Random, the one that is trained as the others are
        ({"a": {"dropout": 0.0}, "b": {}, "margin": {"strategy": "Margin"}}, "b"),
        ({"b": {}, "c": {"dropout": 0.0}, "margin": {"strategy": "Margin"}}, "b"),
        # an arm with that name, of another strategy, is not the baseline, unless there is no other
        ({"random": {"strategy": "Entropy"}, "z": {}}, "z"),
        ({"a": {"strategy": "Margin"}, "random": {"strategy": "Entropy"}}, "random"),
        ({"b": {"strategy": "Margin"}, "c": {"strategy": "Entropy"}}, "b"),
    ],
)
def test_the_baseline(tmp_path: Path, arms: dict[str, dict[str, Any]], expected: str) -> None:
    curves = {name: (given, learning_curve()) for name, given in arms.items()}
    assert find_baseline(read_study([write_study(tmp_path, curves, num_seeds=1, num_rounds=1)])) == expected
