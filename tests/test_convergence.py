"""Convergence: reaching a threshold means being at it."""

import pytest
import torch

from al_lightning import Convergence


@pytest.mark.parametrize(
    ("mode", "threshold", "value", "reached"),
    [
        ("max", 0.99, 0.99, True),
        ("max", 0.99, 0.9901, True),
        ("max", 0.99, 0.9899, False),
        ("min", 0.1, 0.1, True),
        ("min", 0.1, 0.0999, True),
        ("min", 0.1, 0.1001, False),
    ],
)
def test_a_metric_at_the_threshold_has_reached_it(mode: str, threshold: float, value: float, reached: bool) -> None:
    convergence = Convergence(mode=mode, stopping_threshold=threshold)
    stopped, _ = convergence._evaluate_stopping_criteria(torch.tensor(value))
    assert stopped == reached


def test_495_of_500_is_99_percent() -> None:
    accuracy = (torch.arange(500) < 495).float().mean()
    assert Convergence()._evaluate_stopping_criteria(accuracy)[0]
    assert not Convergence()._evaluate_stopping_criteria(accuracy - 1 / 500)[0]


def test_by_default_patience_never_runs_out() -> None:
    convergence = Convergence()
    assert not any(convergence._evaluate_stopping_criteria(torch.tensor(0.5))[0] for _ in range(2000))


def test_without_a_threshold_patience_decides() -> None:
    convergence = Convergence(stopping_threshold=None, patience=2)
    assert [convergence._evaluate_stopping_criteria(torch.tensor(0.995))[0] for _ in range(3)] == [False, False, True]
