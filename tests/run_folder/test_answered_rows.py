"""Rows of answers.csv for labels that nobody imported."""

from pathlib import Path

import pytest

from al_lightning.run_folder import Query, RunFolder
from al_lightning.run_folder.answered_rows import lacking_rows
from al_lightning.run_folder.tables import Answered

QUERIES = [Query(0, 0, 7, 1), Query(1, 0, 9, -1), Query(1, 1, 2, 0), Query(2, 0, 3, None)]


@pytest.mark.parametrize("oracle", ["al_lightning.FileOracle", "al_lightning.SimulatedOracle", None])
def test_runs_of_people_get_the_rows_that_they_lack(tmp_path: Path, oracle: str | None) -> None:
    settings = {"loop": {"oracle": oracle and {"class_path": oracle}}, "data": {"root": "photos"}}
    folder = RunFolder.open(tmp_path, settings, {"classes": ["cat", "dog"]})
    folder.commit(queries=QUERIES[:1], answers=[Answered(1, 2, "2.jpg", "cat", "answer", "anna")])
    rows = lacking_rows(folder, QUERIES, [7], lambda index: f"photos/a/{index}.jpg")
    folder.close()
    people = [Answered(0, 7, "a/7.jpg", "dog", "known"), Answered(1, 9, "a/9.jpg", "skip", "answer")]
    assert rows == (people if oracle == "al_lightning.FileOracle" else [])
