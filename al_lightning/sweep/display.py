"""The display of a sweep: on a terminal a live table of all runs, anywhere else one line for each run."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from math import isnan

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from al_lightning.run_folder.tables import Round, read_rounds
from al_lightning.sweep.plan import PlannedRun

REFRESH = 1.0
"""Seconds between two looks at what the runs have written."""
HEARTBEAT = 60.0
"""Seconds between two lines that say that all is well, where there is no terminal."""
MAX_LINES = 20
"""The most runs that are shown, and whose folders are read."""


class PipedConsole(Console):
    """A console that raises when nobody reads it any longer; a console of rich would end the program with code 1."""

    def on_broken_pipe(self) -> None:
        self.quiet = True  # drops what rich has not written yet
        raise BrokenPipeError


class SweepDisplay:
    """Shows how many runs are done, the last round of each run in progress, and the time left once it is known.

    Args:
        num_rounds: Number of the last round of each arm, by name; ``None`` where there is no end.
        finished: The runs that were finished before.
        waiting: All other runs.
        processes: How many runs run at a time; ``None`` if nobody knows.
        console: Where to show it; standard output if not given.
    """

    def __init__(
        self,
        num_rounds: Mapping[str, int | None],
        finished: Sequence[PlannedRun],
        waiting: Sequence[PlannedRun],
        processes: int | None,
        console: Console | None = None,
    ) -> None:
        self._num_rounds = num_rounds
        self._total = len(finished) + len(waiting)
        self._unfinished = dict.fromkeys(waiting)
        self._processes = processes
        self._failed = self._waiting = 0
        self._seconds: dict[str, list[float]] = {}
        for run in finished:
            self._add_seconds(run)
        # rich takes FORCE_COLOR for a terminal, where it may be the log of a CI
        self._console = console or PipedConsole(
            highlight=False, soft_wrap=True, markup=False, force_terminal=sys.stdout.isatty()
        )
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._last_update = float("-inf")
        self._last_line = time.monotonic()

    def start(self) -> None:
        if self._console.is_terminal:
            self._live.start()

    def stop(self) -> None:
        self._live.stop()

    def message(self, text: str) -> None:
        """Shows a sentence."""
        self._console.print(text)
        self._last_line = time.monotonic()

    def ended(self, run: PlannedRun, error: str | None) -> None:
        """Shows how a run ended."""
        del self._unfinished[run]
        if error is None:
            self._add_seconds(run)
            self.message(f"{run}: finished, {_where(read_rounds(run.folder), self._num_rounds[run.arm.name])}")
        else:
            self._failed += 1
            self.message(f"{run}: failed: {error}")

    def waits(self, run: PlannedRun) -> None:
        """Shows that a run ended because it asks people for labels."""
        del self._unfinished[run]
        self._waiting += 1
        self.message(f"{run}: waits for labels: {run.label_command}")

    def update(self, find_running: Callable[[], Sequence[PlannedRun]]) -> None:
        """Shows what runs, if it is time to; finding out takes a look at the disk for each run."""
        now = time.monotonic()
        if not self._console.is_terminal:
            if now - self._last_line >= HEARTBEAT:
                running = find_running()
                lines = [f"{run} ({where})" for run, where in self._look(running)[0]]
                self.message(f"{self._done()}; running: {', '.join(lines) or 'none yet'}{self._left(running)}")
        elif now - self._last_update >= REFRESH:
            self._last_update = now
            self._live.update(self._render(find_running()), refresh=True)

    # ---------------------------------------------------------------------------------------------------------- how

    def _done(self) -> str:
        done = self._total - len(self._unfinished)
        failed = f", {self._failed} failed" if self._failed else ""
        waiting = f", {self._waiting} waiting for labels" if self._waiting else ""
        return f"{done} of {self._total} runs done{failed}{waiting}"

    def _render(self, running: Sequence[PlannedRun]) -> Group:
        overall = Table.grid(padding=(0, 1))
        overall.add_row(
            Text(self._done(), style="bold"),
            ProgressBar(total=self._total, completed=self._total - len(self._unfinished), width=40),
            Text(self._left(running).removeprefix(", "), style="cyan"),
        )
        table = Table.grid(padding=(0, 2))
        shown, num_more = self._look(running)
        for run, where in shown:
            table.add_row(Text(f"  {run.arm.name}"), Text(f"seed {run.seed}"), Text(where))
        if num_more:
            table.add_row(Text(f"  and {num_more} more"))
        return Group(overall, table)

    def _look(self, running: Sequence[PlannedRun]) -> tuple[list[tuple[PlannedRun, str]], int]:
        shown = [(run, _where(read_rounds(run.folder), self._num_rounds[run.arm.name])) for run in running[:MAX_LINES]]
        return shown, len(running) - len(shown)

    def _add_seconds(self, run: PlannedRun) -> None:
        self._seconds.setdefault(run.arm.name, []).append(_seconds(read_rounds(run.folder)))

    def _left(self, running: Sequence[PlannedRun]) -> str:
        """The time left, once each arm that is left has a finished run: arms differ too much to guess without one."""
        if not self._unfinished or any(run.arm.name not in self._seconds for run in self._unfinished):
            return ""
        means = {name: sum(seconds) / len(seconds) for name, seconds in self._seconds.items()}
        left = [
            max(0.0, means[run.arm.name] - _seconds(read_rounds(run.folder) if run in running[:MAX_LINES] else []))
            for run in self._unfinished
        ]
        seconds = round(max(max(left), sum(left) / (self._processes or max(1, len(running)))))
        return f", about {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left"


def _where(rounds: Sequence[Round], num_rounds: int | None) -> str:
    if not rounds:
        return "starting"
    last = rounds[-1]
    of_all = "" if num_rounds is None else f" of {num_rounds}"
    accuracy = "-" if isnan(last.test_acc) else f"{last.test_acc:.4f}"
    return f"round {last.round}{of_all}, {last.num_labeled} labels, test acc {accuracy}"


def _seconds(rounds: Sequence[Round]) -> float:
    return sum(row.seconds_fit + row.seconds_score + row.seconds_select + row.seconds_test for row in rounds)
