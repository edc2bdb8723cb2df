"""Answers in tables and in JSON, and files of other formats."""

import json
from pathlib import Path

import pytest

from al_lightning.errors import InputError
from al_lightning.labeling.answers import read_answers


def read(tmp_path: Path, text: str, name: str = "answers.csv") -> list[tuple[int | None, str | None, str | None]]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return [(answer.index, answer.file, answer.label) for answer in read_answers(path)]


def test_rows_without_a_label_are_no_answers_and_skip_is_one(tmp_path: Path) -> None:
    text = "file,index,rank,predicted,confidence,label\na.jpg,4,1,dog,0.5,cat\nb.jpg,7,2,dog,0.5,\nc.jpg,9,3,,,Skip\n"
    assert read(tmp_path, text) == [(4, "a.jpg", "cat"), (9, "c.jpg", None)]


@pytest.mark.parametrize(
    "text",
    [
        "index,label\n4,cat\n",
        "\ufeffindex,label\r\n4,cat\r\n",  # of a spreadsheet
        "index;label\n4;cat\n",
        'index,label,note\n4,cat,"two\nlines"\n',
        "label,index\n cat , 4 \n",
    ],
)
def test_tables_as_spreadsheets_write_them(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == [(4, None, "cat")]


def test_files_may_stand_for_indices(tmp_path: Path) -> None:
    assert read(tmp_path, "file,label\na b.jpg,cat\n") == [(None, "a b.jpg", "cat")]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "", "Expected columns `label`, and `index` or `file`, in .*a.csv, but got none"),
        ("a.csv", "index,class\n1,cat\n", "but got index, class"),
        ("a.csv", "label\ncat\n", "but got label"),
        ("a.csv", "index,label,label\n1,cat,dog\n", "but got index, label, label"),
        ("a.csv", f"index,label\n1,{'x' * 200_000}\n", "to be a table, but got"),
        ("a.json", "[" * 100_000, "to be JSON, but got"),
        ("a.json", "{", "to be JSON, but got"),
        ("a.json", '{"a": 1}', "to be a list of tasks"),
        ("a.json", "[1]", "to be a list of tasks"),
    ],
)
def test_files_that_hold_something_else_are_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(tmp_path, text, name)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no"):
        read_answers(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="to be a text file"):
        read_answers(tmp_path / "b.csv")


def test_tasks_without_an_index_are_found_by_their_file(tmp_path: Path) -> None:
    tasks = [{"id": 1, "data": {"file": "a.jpg"}, "annotations": [{"result": [], "was_cancelled": True}]}]
    assert read(tmp_path, json.dumps(tasks), "a.json") == [(None, "a.jpg", None)]


def test_an_index_that_is_none_is_of_nothing_that_was_asked(tmp_path: Path) -> None:
    text = f"index,label\n-3,cat\nx,cat\n{'9' * 5000},cat\n4,dog\n"
    assert [index for index, _, _ in read(tmp_path, text)] == [None, None, None, 4]
    assert all(file for index, file, _ in read(tmp_path, text) if index is None)


@pytest.mark.parametrize(
    "task",
    [
        {"annotations": None},
        {"annotations": [None, 1]},
        {"annotations": [{"result": None}]},
        {"annotations": [{"result": [1, None, {}]}]},
        {"annotations": [{"result": [{"type": "choices", "from_name": "label", "value": None}]}]},
        {"annotations": [{"result": [{"type": "choices", "from_name": "label", "value": {"choices": None}}]}]},
        {"annotations": [{"result": [{"type": "choices", "from_name": "quality", "value": {"choices": ["cat"]}}]}]},
        {"annotations": [{"result": [{"type": "textarea", "from_name": "label", "value": {"text": ["cat"]}}]}]},
        {"annotations": []},
    ],
)
@pytest.mark.parametrize("data", [None, [], {"index": 4}, {"index": "x", "file": 3}])
def test_tasks_of_another_form_are_no_answers(tmp_path: Path, task: dict, data: object) -> None:
    assert read(tmp_path, json.dumps([task | {"id": 1, "data": data}]), "a.json") == []
