"""The display of a run: live on a terminal, and one line a round anywhere else."""

import sys
import time
from math import isnan

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from al_lightning.run_folder.tables import Round


class _TimeLeft(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(task.fields["left"].removeprefix(", "), style="cyan")


class RunProgress:
    """Shows the round, the number of labels, the epochs and the time left, and a line for each round that is done.

    Args:
        num_rounds: Number of the last round; ``None`` if it is not known.
        estimates: Whether to estimate the time left: not where people answer in between.
        enabled: Whether to show anything.
        console: The console to write to. By default standard output.
    """

    def __init__(
        self, num_rounds: int | None, estimates: bool = True, enabled: bool = True, console: Console | None = None
    ) -> None:
        self._num_rounds = num_rounds
        self._estimates = estimates and num_rounds is not None
        self._enabled = enabled
        # With FORCE_COLOR, rich assumes a terminal, but the output may be the log of a CI.
        self._console = console or Console(
            highlight=False, soft_wrap=True, markup=False, force_terminal=sys.stdout.isatty()
        )
        self._seconds: list[float] = []
        self._of_all = "" if num_rounds is None else f" of {num_rounds}"
        self._live = Progress(
            TextColumn(f"[bold]round {{task.completed}}{self._of_all}"),
            *([] if num_rounds is None else [BarColumn()]),
            # the accuracy of the last round has its own line: here it would stand beside the labels of the next
            TextColumn("{task.fields[labels]} labels · epoch {task.fields[epoch]}"),
            _TimeLeft(),
            console=self._console,
            transient=True,
        )
        self._is_live = enabled and self._console.is_terminal
        self._task = self._live.add_task("", total=num_rounds, labels=0, epoch=0, left="")

    def start(self) -> None:
        if self._is_live:
            self._live.start()

    def start_round(self, round: int, num_labeled: int) -> None:
        self._round_started = time.monotonic()
        self._live.update(self._task, completed=round, labels=num_labeled, epoch=0, left=self._left(round))

    def end_epoch(self, epoch: int) -> None:
        self._live.update(self._task, epoch=epoch)

    def end_round(self, row: Round) -> None:
        self._seconds.append(time.monotonic() - self._round_started)
        accuracy = "-" if isnan(row.test_acc) else f"{row.test_acc:.4f}"
        stopped = "" if row.converged else " (not converged)"
        left = "" if self._is_live else self._left(row.round + 1)
        self.message(
            f"round {row.round}{self._of_all}: {row.num_labeled} labels, test acc {accuracy}, "
            f"{row.epochs} epochs{stopped}, {self._seconds[-1]:.1f} s{left}"
        )

    def message(self, text: str) -> None:
        """Shows a sentence."""
        if self._enabled:
            self._console.print(text)

    def stop(self) -> None:
        if self._is_live:
            self._live.stop()

    def _left(self, next_round: int) -> str:
        """Time left, estimated from the last rounds. Later rounds take longer, so the estimate is a little too low."""
        rounds_left = 0 if self._num_rounds is None else self._num_rounds + 1 - next_round
        if not self._estimates or not self._seconds or rounds_left <= 0:
            return ""
        recent = self._seconds[-5:]
        seconds = round(rounds_left * sum(recent) / len(recent))
        return f", {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left"
