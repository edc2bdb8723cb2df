"""Tables that people filled in, in the run folder."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import pytest

from al_lightning.cli import main
from al_lightning.errors import InputError
from al_lightning.labeling.filled_tables import take_tables
from al_lightning.labeling.questions import publish_table
from al_lightning.run_folder import RunFolder
from tests.labeling.runs import CLASSES, finished_round, opened, queries, run_of_people


def fill(path: Path, labels: Mapping[int, str], encoding: str = "cp1252", delimiter: str = ";") -> bytes:
    """Fills in query.csv as German Excel saves it."""
    table = path / "query.csv"
    for read in ("utf-8-sig", "cp1252"):
        try:
            text = table.read_text(encoding=read)
            break
        except UnicodeDecodeError:
            pass
    rows = list(csv.reader(io.StringIO(text), delimiter=";" if ";" in text else ","))
    for row in rows[1:]:
        row[-1] = labels.get(int(row[1]), "")
    made = io.StringIO()
    csv.writer(made, delimiter=delimiter).writerows(rows)
    table.write_bytes(made.getvalue().encode(encoding))
    return table.read_bytes()


def collect(path: Path, **how: bool) -> bool | None:
    folder = RunFolder.edit(path)
    try:
        return take_tables(folder, **how)
    finally:
        folder.close()


def labels(path: Path) -> dict[int, int | None]:
    return {question.index: question.label for question in opened(path).asked}


def ask_next(path: Path) -> None:
    """Ends round 1 and asks for sample 9."""
    folder = RunFolder.edit(path)
    folder.commit([finished_round(1)], asked=queries(2, (9,), (None,)))
    folder.close()
    publish_table(path, queries(2, (9,), (None,)), CLASSES)


def test_a_table_is_taken_when_it_was_saved(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = run_of_people(tmp_path / "run")
    assert collect(path) is None
    assert capsys.readouterr().out == ""
    content = fill(path, {7: "Größe 3", 3: "skip"})
    assert collect(path) is True
    assert labels(path) == {7: 2, 3: -1, 5: None}
    assert f"Took 2 answers from {path / 'query.csv'}, 1 of them skipped." in capsys.readouterr().out
    assert collect(path) is None
    assert capsys.readouterr().out == ""
    fill(path, {7: "dog", 3: "skip"})
    assert collect(path) is True
    fill(path, {7: "Größe 3", 3: "skip"})  # the content of before
    assert collect(path) is True
    assert labels(path) == {7: 2, 3: -1, 5: None}
    assert (path / "query.csv").read_bytes() == content


def test_a_slip_is_said_until_it_is_mended(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = run_of_people(tmp_path / "run")
    fill(path, {7: "cat", 3: "Dog"})
    for _ in range(2):
        assert collect(path) is False
        assert "Not taken: line 3: `Dog` is no class; did you mean dog?" in capsys.readouterr().err
    fill(path, {7: "cat", 3: "dog"})
    assert collect(path) is True
    assert labels(path) == {7: 0, 3: 1, 5: None}


def test_a_table_of_another_form_is_refused_and_kept(tmp_path: Path) -> None:
    path = run_of_people(tmp_path / "run")
    (path / "query.csv").write_text("what is this")
    with pytest.raises(InputError, match=r"Expected columns `label`.*query.csv"):
        collect(path)
    ask_next(path)
    assert (path / "query.old.csv").read_text() == "what is this"
    assert collect(path) is None  # an old table holds nothing up


def test_no_filled_table_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = run_of_people(tmp_path / "run")
    late = []
    for number in range(1, 4):
        late.append(fill(path, {7: "dog"}, delimiter=",;\t"[number - 1]))
        publish_table(path, queries(1, (7, 3, 5), [None] * 3), CLASSES)
    old = [path / f"query.old{number}.csv" for number in ("", 2, 3)]
    assert [table.read_bytes() for table in old] == late
    assert collect(path) is True
    assert labels(path) == {7: 1, 3: None, 5: None}


def test_a_table_without_new_answers_is_replaced(tmp_path: Path) -> None:
    path = run_of_people(tmp_path / "run")
    fill(path, {7: "dog", 3: "cat", 5: "cat"})
    assert collect(path) is True
    ask_next(path)
    ask_next(path)  # the table is empty
    assert not list(path.glob("query.old*"))
    assert "9 ü.jpg" in (path / "query.csv").read_text(encoding="utf-8-sig")


def test_what_came_too_late_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = run_of_people(tmp_path / "run")
    fill(path, {7: "dog", 3: "cat", 5: "cat"})
    assert collect(path) is True
    fill(path, {7: "cat", 3: "cat", 5: "cat"})  # while fit runs
    ask_next(path)
    capsys.readouterr()
    assert collect(path) is False
    err = capsys.readouterr().err
    assert "Not taken: a b/7 ü.jpg: cat instead of dog (line 2)." in err
    assert "--correct replaces the labels" in err
    assert collect(path) is None
    assert (path / "query.old.csv").exists()


@pytest.mark.parametrize("name", ["query.txt", "query.tsv"])
def test_a_table_that_excel_saves_under_another_name_is_taken(tmp_path: Path, name: str) -> None:
    path = run_of_people(tmp_path / "run")
    (path / name).write_bytes("file\tindex\tlabel\r\na b\\7 ü.jpg\t7\tGröße 3\r\n".encode("utf-16"))
    assert collect(path) is True
    assert labels(path) == {7: 2, 3: None, 5: None}
    assert collect(path) is None


def test_a_workbook_beside_the_table_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = run_of_people(tmp_path / "run")
    (path / "query.xlsx").write_bytes(b"PK")
    assert collect(path) is None
    assert f"{path}/query.xlsx is a workbook, which is not read; save it as CSV." in capsys.readouterr().err


def test_labels_in_a_table_of_the_ledger_are_not_lost(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """asked.csv has a column ``label``, too."""
    path = run_of_people(tmp_path / "run")
    before = {name: (path / name).read_bytes() for name in ("asked.csv", "queries.csv", "answers.csv")}
    text = before["asked.csv"].decode()
    for name in before:
        (path / name).write_bytes(text.replace("\n", "dog\r\n").replace("labeldog", "label").encode("utf-8-sig"))
    assert collect(path) is None
    assert {name: (path / name).read_bytes() for name in before} == before
    err = capsys.readouterr().err
    assert [f"{name}.csv was edited; it is now {name}.old.csv." in err for name in ("asked", "queries", "answers")] == [
        True,
        True,
        True,
    ]
    main(["label", str(path), "--import", str(path / "asked.old.csv")])
    assert [query.label for query in opened(path).queries] == [0, 1, 1, 1, 1]
