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


TABLE = "file,index,label\na ü.jpg,4,Größe 3\n"
ENCODED = {
    "UTF-8": TABLE.encode(),
    "UTF-8 of Excel": b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n").replace(",", ";").encode(),
    "Unicode text of Excel": TABLE.replace(",", "\t").encode("utf-16"),
    "UTF-16 of the other order": b"\xfe\xff" + TABLE.replace(",", "\t").encode("utf-16-be"),
    "commas in one column of German Excel": "file,index,label;\r\na ü.jpg,4,;Größe 3\r\n".encode("cp1252"),
    "labels typed into that column": '"file,index,label"\r\n"a ü.jpg,4,Größe 3"\r\n'.encode("cp1252"),
    "CSV of German Excel": TABLE.replace(",", ";").replace("\n", "\r\n").encode("cp1252"),
    "CSV of Excel on a Mac": TABLE.replace(",", ";").replace("\n", "\r").encode("mac_roman"),
    "DOS": TABLE.encode("cp850"),
}


@pytest.mark.parametrize("encoding", ENCODED)
def test_tables_in_the_encodings_of_spreadsheets(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "answers.csv"
    path.write_bytes(ENCODED[encoding])
    (answer,) = read_answers(path, ["Größe 3", "a ü.jpg", "cat"])
    assert (answer.index, answer.file, answer.label) == (4, "a ü.jpg", "Größe 3")


@pytest.mark.parametrize(
    ("page", "name"),
    [("cp1250", "żółw"), ("cp1251", "собака"), ("cp1253", "σκύλος"), ("cp932", "犬"), ("cp1254", "kuş")],
)
def test_classes_tell_the_encoding(tmp_path: Path, page: str, name: str) -> None:
    path = tmp_path / "answers.csv"
    path.write_bytes(f"index;label\r\n4;{name}\r\n".encode(page))
    assert [answer.label for answer in read_answers(path, ["cat", name])] == [name]


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\r\nindex;label\r\n4;cat\r\n",
        '\ufeff"sep=;"\nindex;label\n4;cat\n',
        "Index\t Label \n4\tcat\n",
        '" INDEX ",LABEL,,\n4,cat,,\n,,,\n\n',
        "\n\nindex|label\n4|cat\n",
        "Labels of Anna,\n,\nIndex,Label\n4,cat\n",
        "index;label\n4,0;cat\n",
        "index,label\n4.0,cat\n",
        "index,label\n4,cat\u00a0\n",
        ",index,label\n0,4,cat\n",  # pandas writes its own index first
        "label\tnote;a,b;c\tindex\ncat\t;;;,,,\t4\n",
    ],
)
def test_tables_in_the_forms_of_spreadsheets(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == [(4, None, "cat")]
    assert read(tmp_path, text, "answers.tsv") == [(4, None, "cat")]


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_text('sep=,\nindex,label,note\n4,cat,"two\nlines"\n\n5,dog,\n')
    assert [answer.where for answer in read_answers(path)] == ["line 4", "line 6"]


def test_a_row_with_too_many_cells_names_no_class(tmp_path: Path) -> None:
    """A comma in a name without quotes moves all cells behind it."""
    assert read(tmp_path, "index,label\n4,cat, dog\n") == [(4, None, "4, cat, dog")]
    assert read(tmp_path, "file,index,label\na, b.jpg,4,cat\n") == [(None, "b.jpg", "a, b.jpg, 4, cat")]


def test_a_table_says_who_answered_and_when(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_text(
        "index,label,annotator,created_at,updated_at,ground_truth\n"
        "4,cat,anna,2026-11-01,2026-11-02,True\n"
        "5,cat, ben ,2026-11-01,,false\n"
    )
    first, second = read_answers(path)
    assert (first.annotator, first.at, first.is_truth) == ("anna", "2026-11-02", True)
    assert (second.annotator, second.at, second.is_truth) == ("ben", "2026-11-01", False)


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
        ("a.json", '[[{"id": 1}]]', "to be a list of tasks"),
        ("a.csv", '[{"id": 1, "ann', "to be JSON, but got"),  # an export by another name
        ("a.csv", "\n  \n", "but got none"),
        ("a.csv", "sep=;\nindex,label\n4,cat\n", "but got index,label"),
        ("a.csv", "index,label,Index\n1,cat,1\n", "but got index, label, index"),
    ],
)
def test_files_that_hold_something_else_are_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(tmp_path, text, name)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no"):
        read_answers(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_answers(tmp_path)
    for content in (b"\xff\xfe\x00", bytes(range(256)), b"index,label\n1,c\0t"):
        (tmp_path / "b.csv").write_bytes(content)
        with pytest.raises(InputError, match="to be a text file"):
            read_answers(tmp_path / "b.csv")
    for name, start in (("b.xlsx", b"PK\x03\x04"), ("b.csv", b"\xd0\xcf\x11\xe0")):
        (tmp_path / name).write_bytes(start + b"...")
        with pytest.raises(InputError, match="is a workbook; save it as CSV"):
            read_answers(tmp_path / name)


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


def annotated(*choices: str, person: object = 1, **more: object) -> dict:
    result = {"type": "choices", "from_name": "label", "value": {"choices": list(choices)}}
    return {"completed_by": person, "result": [result], "was_cancelled": False, **more}


def test_an_annotation_says_who_answered_and_when(tmp_path: Path) -> None:
    people = [3, {"id": 3, "email": "anna@x.org"}, {"id": 3}, None, "ben"]
    marks = {"created_at": "2026-11-01T00:00:00Z", "updated_at": "2026-11-02T00:00:00Z", "ground_truth": True}
    task = {"id": 1, "data": {"index": 4}, "annotations": [annotated("cat", person=person) for person in people]}
    task["annotations"].append(annotated("cat", **marks))
    (tmp_path / "a.json").write_text(json.dumps([task, {"index": 5, "label": "dog", "annotator": 7, **marks}]))
    answers = read_answers(tmp_path / "a.json")
    assert [answer.annotator for answer in answers] == ["3", "anna@x.org", "3", "", "ben", "1", "7"]
    assert [answer.is_truth for answer in answers] == [False] * 5 + [True] * 2
    assert {answer.at for answer in answers[5:]} == {"2026-11-02T00:00:00Z"}


def test_several_choices_are_no_class(tmp_path: Path) -> None:
    tasks = [
        {"id": 1, "data": {"index": 4}, "annotations": [annotated("cat", "dog")]},
        {"index": 5, "label": {"choices": ["cat", "dog"]}},
    ]
    labels = [label for _, _, label in read(tmp_path, json.dumps(tasks), "a.json")]
    assert labels == ['["cat", "dog"]', '{"choices": ["cat", "dog"]}']


def test_numbers_may_be_names_of_classes(tmp_path: Path) -> None:
    tasks = [
        {"index": 4, "label": 1},
        {"index": 5.0, "label": "1"},
        {"index": "6", "label": None},
        {"index": 7, "label": ""},
    ]
    assert read(tmp_path, json.dumps(tasks), "a.json") == [(4, None, "1"), (5, None, "1")]


def test_everybody_who_skipped_is_counted(tmp_path: Path) -> None:
    cancelled = [{"completed_by": person, "was_cancelled": True, "result": []} for person in (1, 2)]
    (tmp_path / "a.json").write_text(json.dumps([{"data": {"index": 4}, "annotations": cancelled}]))
    assert [(answer.label, answer.annotator) for answer in read_answers(tmp_path / "a.json")] == [
        (None, "1"),
        (None, "2"),
    ]


@pytest.mark.parametrize(
    ("image", "file"),
    [
        ("/data/local-files/?d=home/ann/photos/a%20b/7%20%C3%BC.jpg", "home/ann/photos/a b/7 ü.jpg"),
        ("/data/upload/12/0fa3c9d1-7.jpg", "7.jpg"),
        ("https://host/photos/7%20x.jpg?size=3", "photos/7 x.jpg"),
        (["7.jpg"], None),
        ("", None),
    ],
)
def test_tasks_that_others_made_are_found_by_their_images(tmp_path: Path, image: object, file: str | None) -> None:
    task = {"data": {"image": image}, "annotations": [annotated("cat")]}
    assert read(tmp_path, json.dumps([task]), "a.json") == [(None, file, "cat")]
