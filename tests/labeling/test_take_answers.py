"""Answers come into a run folder in one commit."""

import os
import re
from pathlib import Path

import pytest

from al_lightning.data.answer import Answer
from al_lightning.errors import InputError
from al_lightning.labeling.take_answers import take, words_of
from al_lightning.run_folder import RunFolder
from tests.labeling.runs import CLASSES, opened, queries, run_of_people, settings


def said(index: int, label: str | None, person: str = "") -> Answer:
    return Answer("line 2", index, None, label, person)


def taken(path: Path, *answers: Answer, **how: bool) -> RunFolder:
    folder = RunFolder.edit(path)
    try:
        take(folder, answers, **how)
    finally:
        folder.close()
    return opened(path)


def bought(folder: RunFolder) -> list[tuple[int, int, int | None]]:
    return [(query.index, query.round, query.label) for query in folder.queries]


KNOWN = [(0, 0, 0), (1, 0, 1)]


def test_answers_become_labels_when_no_question_is_open(tmp_path: Path) -> None:
    path = run_of_people(tmp_path / "run")
    folder = taken(path, said(7, "dog", "anna"), said(3, None))
    assert bought(folder) == KNOWN
    assert [(question.index, question.label) for question in folder.asked] == [(7, 1), (3, -1), (5, None)]
    folder = taken(path, said(5, "Größe 3"))
    assert folder.asked == []
    assert bought(folder) == [*KNOWN, (7, 1, 1), (3, 1, -1), (5, 1, 2)]
    rows = [(row.round, row.index, row.file, row.label, row.kind, row.annotator) for row in folder.answers]
    assert rows == [
        (0, 0, "a b/0 ü.jpg", "cat", "known", ""),
        (0, 1, "a b/1 ü.jpg", "dog", "known", ""),
        (1, 7, "a b/7 ü.jpg", "dog", "answer", "anna"),
        (1, 3, "a b/3 ü.jpg", "skip", "answer", ""),
        (1, 5, "a b/5 ü.jpg", "Größe 3", "answer", ""),
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", row.at) for row in folder.answers[2:])


def test_corrections_count_from_the_next_round_on(tmp_path: Path) -> None:
    path = run_of_people(tmp_path / "run")
    folder = taken(path, said(0, "dog"), said(7, "cat"), correct=True)
    assert bought(folder) == KNOWN  # what round 0 was trained on
    assert folder.labels == [1, 1]
    folder = taken(path, said(1, None, "ben"), said(3, "cat"), said(5, "cat"), correct=True)
    assert folder.labels == [1, -1, 0, 0, 0]
    folder = taken(path, said(1, "Größe 3"), said(7, "dog"), correct=True)
    assert folder.labels == [1, 2, 1, 0, 0]
    corrections = [(row.round, row.index, row.label) for row in folder.answers if row.kind == "correction"]
    assert corrections == [(1, 0, "dog"), (1, 1, "skip"), (1, 1, "Größe 3"), (1, 7, "dog")]


def test_a_run_keeps_a_label(tmp_path: Path) -> None:
    path = run_of_people(tmp_path / "run")
    before = (path / "commit.json").read_bytes()
    with pytest.raises(InputError, match="at least one label"):
        taken(path, said(0, None), said(1, None), correct=True)
    assert (path / "commit.json").read_bytes() == before
    assert taken(path, said(0, None), said(1, None), said(7, "dog"), correct=True).labels == [-1, -1]


def test_nothing_new_commits_nothing(tmp_path: Path) -> None:
    path = run_of_people(tmp_path / "run")
    taken(path, said(7, "dog"))
    before = (path / "commit.json").read_bytes()
    taken(path, said(7, "dog"), said(0, "cat"), said(1, "cat"), said(3, "Dog"), said(99, "cat"))
    assert (path / "commit.json").read_bytes() == before


def test_answers_of_earlier_versions_get_their_rows(tmp_path: Path) -> None:
    path = run_of_people(tmp_path / "run")
    folder = RunFolder.edit(path)
    folder.commit(asked=queries(1, (7, 3), (1, None)))  # as an earlier version took an answer
    folder.close()
    folder = taken(path, said(3, "cat"))
    assert [(row.index, row.label, row.kind) for row in folder.answers[2:]] == [
        (7, "dog", "answer"),
        (3, "cat", "answer"),
    ]


def test_a_simulated_run_takes_no_answers(tmp_path: Path) -> None:
    simulated = {**settings(), "loop": {"oracle": None}}
    folder = RunFolder.open(tmp_path / "run", simulated, {"classes": list(CLASSES)})
    folder.commit(queries=queries(0, (0, 1), (0, 1)))
    folder.close()
    with pytest.raises(InputError, match="a run that asks people in .*, but its labels come from its data set"):
        taken(tmp_path / "run", said(0, "dog"), correct=True)


def test_words_of_a_run_are_its_classes_and_files(tmp_path: Path) -> None:
    words = words_of(opened(run_of_people(tmp_path / "run")))
    assert set(words) == {*CLASSES, "7 ü.jpg", "3 ü.jpg", "5 ü.jpg", "0 ü.jpg", "1 ü.jpg"}


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def test_a_kill_at_any_rename_loses_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either all answers are there or none, and the same command again gives the same run."""
    answers = (said(7, "dog", "anna"), said(3, None), said(5, "cat"), said(0, "dog"))
    rename, num_kills = os.replace, 0
    for survived in range(100):
        path = run_of_people(tmp_path / str(survived))
        left = [survived]

        def killed(old: Path, new: Path, left: list[int] = left) -> None:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            rename(old, new)

        with monkeypatch.context() as patch:
            patch.setattr("os.replace", killed)
            try:
                taken(path, *answers, correct=True)
                is_whole = True
            except Killed:
                is_whole = False
                num_kills += 1
        folder = opened(path)
        assert len(folder.queries) in (2, 5)
        assert len(folder.asked) == (3 if len(folder.queries) == 2 else 0)
        folder = taken(path, *answers, correct=True)
        assert bought(folder) == [*KNOWN, (7, 1, 1), (3, 1, -1), (5, 1, 0)]
        assert [(row.index, row.label, row.kind) for row in folder.answers[2:]] == [
            (7, "dog", "answer"),
            (3, "skip", "answer"),
            (5, "cat", "answer"),
            (0, "dog", "correction"),
        ]
        assert "0 ü.jpg,0,dog,1" in (path / "labels.csv").read_text(encoding="utf-8-sig")
        assert not list(path.glob("*.old*"))
        if is_whole:
            break
    assert num_kills >= 8
