"""RunProgress: a live display on a terminal, lines elsewhere."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from al_lightning.fitting.progress import RunProgress
from al_lightning.run_folder import Round

ROW = Round(1, 600, 0.7812, 0.7, 0.3, 0.1, 0.99, 55, False, 1.0, 0.1, 0.0, 0.1)


def shown(terminal: bool, enabled: bool = True, num_rounds: int | None = 3, estimates: bool = True) -> str:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=120, highlight=False)
    progress = RunProgress(num_rounds, estimates, enabled=enabled, console=console)
    progress.start()
    progress.start_round(1, 600)
    progress.end_epoch(55)
    progress.end_round(ROW)
    progress.start_round(2, 700)
    progress.message("A sentence.")
    progress.stop()
    return output.getvalue()


def test_a_file_gets_one_line_a_round() -> None:
    first, second = shown(terminal=False).splitlines()
    assert first.startswith("round 1 of 3: 600 labels, test acc 0.7812, 55 epochs (not converged), ")
    assert first.endswith(" left")
    assert second == "A sentence."


def test_a_terminal_gets_a_display() -> None:
    text = shown(terminal=True)
    assert "round 2 of 3" in text
    assert "700 labels · epoch 0" in text
    assert "left" in text


def test_a_terminal_keeps_a_line_of_each_round() -> None:
    lines = re.split(r"[\n\r]", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown(terminal=True)))
    row = r"round 1 of 3: 600 labels, test acc 0\.7812, 55 epochs \(not converged\), [\d.]+ s"
    assert sum(re.fullmatch(row, line) is not None for line in lines) == 1


def test_labels_stand_beside_no_accuracy_of_another_round() -> None:
    for part in re.split(r"[\n\r]", shown(terminal=True)):
        assert not ("700 labels" in part and "0.7812" in part)


@pytest.mark.parametrize("terminal", [True, False])
def test_nobody_foretells_when_people_are_done(terminal: bool) -> None:
    assert "left" not in shown(terminal, estimates=False)
    text = shown(terminal, num_rounds=None, estimates=False)
    assert "left" not in text
    assert "round 1: 600 labels" in text
    assert " of " not in text


def test_an_accuracy_without_test_samples_is_a_dash() -> None:
    output = io.StringIO()
    progress = RunProgress(None, console=Console(file=output))
    progress.start_round(0, 30)
    progress.end_round(replace(ROW, round=0, num_labeled=30, test_acc=float("nan")))
    assert output.getvalue().startswith("round 0: 30 labels, test acc -, 55 epochs")


def test_disabled_shows_nothing() -> None:
    assert shown(terminal=True, enabled=False) == ""
    assert shown(terminal=False, enabled=False) == ""
