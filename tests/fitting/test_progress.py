"""RunProgress: a live display on a terminal, lines elsewhere."""

import io

from rich.console import Console

from al_lightning.fitting.progress import RunProgress
from al_lightning.run_folder import Round

ROW = Round(1, 600, 0.7812, 0.7, 0.3, 0.1, 0.99, 55, False, 1.0, 0.1, 0.0, 0.1)


def shown(terminal: bool, enabled: bool = True) -> str:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=120, highlight=False)
    progress = RunProgress(3, enabled=enabled, console=console)
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
    assert "700 labels" in text
    assert "test acc 0.7812" in text


def test_disabled_shows_nothing() -> None:
    assert shown(terminal=True, enabled=False) == ""
    assert shown(terminal=False, enabled=False) == ""
