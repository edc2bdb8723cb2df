"""Run folders of people, with planted answers."""

from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import Any

from al_lightning.run_folder import Query, Round, RunFolder
from al_lightning.run_folder.tables import Answered

NAMES = ["kühl", "hot dog", "two"]
ROUNDS: tuple[tuple[tuple[int, int | None], ...], ...] = (
    ((0, None), (1, None), (-1, None), (1, None)),
    ((0, 0), (1, 0), (1, 1), (-1, 2)),
    ((0, 0), (0, 0), (1, 1), (0, 0)),
)
"""Answer and prediction of each sample of three rounds; -1 is a skip, and nobody ever says "two"."""


def people_settings(strategy: str = "Margin", seed: int = 0, num_rounds: int | None = 5, **data: Any) -> dict[str, Any]:
    return {
        "seed_everything": seed,
        "trainer": {"max_epochs": 5},
        "data": {"class_path": "tests.digits.FlatDigits", "init_args": {"num_initial": 4, **data}},
        "model": {"class_path": "tests.digits.DigitsMLP", "init_args": {}},
        "loop": {
            "strategy": {"class_path": f"al_lightning.{strategy}"},
            "query_size": 4,
            "num_rounds": num_rounds,
            "run_dir": None,
            "oracle": {"class_path": "al_lightning.FileOracle"},
        },
    }


def write_people_run(
    path: Path,
    settings: dict[str, Any] | None = None,
    answers: Sequence[Sequence[tuple[int, int | None]]] = ROUNDS,
    accuracy: Sequence[float] | None = None,
    num_fitted: int | None = None,
    num_open: int = 0,
    num_partly: int = 0,
    identity: dict[str, Any] | None = None,
) -> Path:
    """Writes a run folder as the loop does when people answer.

    Args:
        path: The folder.
        settings: Its settings.
        answers: Answer and prediction of each sample, by round.
        accuracy: Test accuracy by round; there is no test set if not given.
        num_fitted: Number of finished rounds; all rounds with answers if not given.
        num_open: Number of questions without an answer in asked.csv.
        num_partly: Number of questions in asked.csv that have one.
        identity: What commit.json says of the data.
    """
    folder = RunFolder.open(path, settings or people_settings(), identity or {"classes": NAMES}, {"torch": "9.9"})
    folder.identity = identity or {"classes": NAMES}
    index = num_labeled = 0
    for round, of_round in enumerate(answers):
        queries = []
        for order, (label, predicted) in enumerate(of_round):
            confidence = None if predicted is None else 0.6
            queries.append(Query(round, order, index, label, None, predicted, confidence))
            index += 1
        num_labeled += sum(label >= 0 for label, _ in of_round)
        folder.commit(queries=queries)
        if num_fitted is None or round < num_fitted:
            tested = nan if accuracy is None else accuracy[round]
            seconds = (1.0 + round, 0.5, 0.25, 0.125)
            folder.commit([Round(round, num_labeled, tested, nan, nan, nan, 1.0, 3, True, *seconds)])
    if num_open + num_partly:
        asked = [
            Query(len(answers), order, index + order, 1 if order < num_partly else None, None, 0, 0.5)
            for order in range(num_open + num_partly)
        ]
        folder.commit(asked=asked)
    folder.close()
    return path


def correct(path: Path, *corrections: tuple[int, str], round: int = 3, names: Sequence[str] = NAMES) -> None:
    """Adds corrections to a run: training-set index and the name of the class, or ``skip``."""
    folder = RunFolder.edit(path)
    at = "2026-11-29T20:00:00Z"
    folder.commit(answers=[Answered(round, i, f"{i}.png", name, "correction", "", at) for i, name in corrections])
    folder.close()
