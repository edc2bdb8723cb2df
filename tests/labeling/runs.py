"""Run folders of people, written without a fit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from al_lightning.labeling.questions import publish_table, remember
from al_lightning.run_folder import Query, Round, RunFolder
from al_lightning.run_folder.answered_rows import lacking_rows

CLASSES = ("cat", "dog", "Größe 3")
FILES = {index: f"photos/a b/{index} ü.jpg" for index in range(20)}
ASKED = (7, 3, 5)


def settings(root: str = "photos") -> dict[str, Any]:
    """Settings of a run that asks people about a folder of images."""
    oracle = {"class_path": "al_lightning.FileOracle", "init_args": {"image_url": "{path}"}}
    data = {"class_path": "al_lightning.ImageFolder", "init_args": {"root": root}}
    return {"seed_everything": 0, "loop": {"oracle": oracle, "query_size": 3}, "data": data}


def queries(round: int, indices: Sequence[int], labels: Sequence[int | None]) -> list[Query]:
    rows = zip(range(len(indices)), indices, labels, strict=True)
    return [
        Query(round, order, index, label, predicted=1, confidence=0.5, file=FILES[index])
        for order, index, label in rows
    ]


def finished_round(round: int) -> Round:
    return Round(round, 2, 0.5, 0.5, 0.5, 0.5, 1.0, 3, True, 0.0, 0.0, 0.0, 0.0)


def run_of_people(
    path: Path, classes: Sequence[str] = CLASSES, asked: Sequence[int] = ASKED, root: str = "photos"
) -> Path:
    """A run folder: samples 0 (cat) and 1 (dog) had labels, round 0 is over, and round 1 waits for ``asked``."""
    folder = RunFolder.open(path, settings(root), {"classes": list(classes), "test": {"names": ["test/t.jpg"]}})
    known = queries(0, (0, 1), (0, 1))
    folder.commit(queries=known, answers=lacking_rows(folder, known, (0, 1), FILES.get))
    questions = queries(1, asked, [None] * len(asked))
    folder.commit([finished_round(0)], asked=questions)
    if asked:
        publish_table(path, questions, classes)
        remember(path, questions)
    folder.close()
    return path


def opened(path: Path) -> RunFolder:
    """The folder as it is on disk."""
    folder = RunFolder.edit(path)
    folder.close()
    return folder
