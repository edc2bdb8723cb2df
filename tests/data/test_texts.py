"""Tables of texts: formats, classes, test sets, labels, growth; texts as bytes."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings, strategies as st

from al_lightning.data import Texts
from al_lightning.data.text_bytes import bytes_of, texts_of
from al_lightning.data.texts import collate
from al_lightning.errors import InputError
from tests.data.test_arrange import begun_by

TEXTS = ["plain", 'with "quotes", and commas', "two\nlines", "Ünïcödé \u4e16\u754c", "", "x" * 200_000]
LABELS = ["b", "a", "", "b", "a", "a"]


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def csv_file(path: Path, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    lines = [delimiter.join(("id", "text", "label"))]
    lines += [delimiter.join((str(i), quoted(t), b)) for i, (t, b) in enumerate(zip(TEXTS, LABELS, strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def table(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(("text,label", *rows)) + "\n")
    return path


def load(path: Path, **kwargs) -> Texts:
    data = Texts(str(path), **{"label_column": "label", "test_fraction": 0.0, **kwargs})
    data.setup()
    return data


@settings(max_examples=40)
@given(st.text())
def test_a_text_comes_back_from_its_bytes(text: str) -> None:
    expected = text.replace("\0", " ").encode("utf-8", "replace").decode()
    assert texts_of(collate([(bytes_of(text), 0), (bytes_of("another, longer" * 3), 1)])[0])[0] == expected


@pytest.mark.parametrize("bad", [torch.zeros(2, 3), torch.zeros(3, dtype=torch.uint8), "text"])
def test_what_is_no_block_of_texts(bad: object) -> None:
    with pytest.raises(InputError, match=r"texts as bytes, uint8 of shape \(B, L\), as --data Texts gives them"):
        texts_of(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["csv", "semicolons", "tsv", "excel", "jsonl", "json"])
def test_tables_of_all_forms(tmp_path: Path, form: str) -> None:
    rows = [{"text": text, "label": label, "id": i} for i, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True))]
    if form == "jsonl":
        path = tmp_path / "a.jsonl"
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    elif form == "json":
        path = tmp_path / "a.json"
        path.write_text(json.dumps(rows))
    else:
        delimiter = {"semicolons": ";", "tsv": "\t"}.get(form, ",")
        path = csv_file(tmp_path / "a.csv", delimiter, "utf-8-sig" if form == "excel" else "utf-8")
    data = load(path)
    assert [data.text_of(index) for index in range(6)] == TEXTS
    assert data.list_class_names() == ["a", "b"]
    assert data.train_targets.tolist() == [1, 0, -1, 1, 0, 0]
    assert data.file_of(2) == f"{path}:2"
    (block,) = data.train_blocks()
    assert texts_of(block) == TEXTS


def test_a_text_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo, three\n")
    data = Texts(str(tmp_path / "a.txt"), classes=["x", "y"])
    assert [data.text_of(index) for index in range(len(data.train_targets))] == ["one", "two, three"]
    assert set(data.train_targets.tolist()) == {-1}


def test_numbers_as_classes_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    data = load(table(tmp_path / "a.csv", "a,10", "b,9", "c,9"))
    assert data.list_class_names() == ["9", "10"]


def test_a_test_set_is_drawn_or_given(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", *(f"text {i},{'ab'[i % 2]}" for i in range(20)))
    drawn = load(path, test_fraction=0.2)
    assert len(drawn.test_targets) == len(drawn.test_texts()) == 4
    for text, target in zip(drawn.test_texts(), drawn.test_targets.tolist(), strict=True):
        assert int(text.split()[1]) % 2 == target
        assert text not in [drawn.text_of(index) for index in range(16)]
    given_test = load(path, test_path=str(table(tmp_path / "b.csv", "new,b")))
    assert (len(given_test.train_targets), given_test.test_texts(), given_test.test_targets.tolist()) == (
        20,
        ["new"],
        [1],
    )
    with pytest.raises(InputError, match=r"a label of each text in `data.test_path` .*c.csv, but got none"):
        load(path, test_path=str(table(tmp_path / "c.csv", "new,")))


def test_labels_of_another_table(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", *(f"text {i}," for i in range(10)))
    (tmp_path / "labels.csv").write_text("file,label\na.csv:3,x\na.csv:7,y\n")
    data = load(path, labels=str(tmp_path / "labels.csv"))
    assert data.list_class_names() == ["x", "y"]
    assert data.train_targets[[3, 7]].tolist() == [0, 1]
    assert int((data.train_targets >= 0).sum()) == 2


def test_new_texts_anywhere_join_the_pool(tmp_path: Path) -> None:
    rows = [f"text {i},{'ab'[i % 2]}" for i in range(20)]
    before = load(table(tmp_path / "a.csv", *rows), test_fraction=0.2)
    texts = [before.text_of(index) for index in range(16)]
    begun = begun_by(before)
    after = Texts(str(table(tmp_path / "a.csv", "first,a", *rows[:9], *rows[10:], "last,")), label_column="label")
    after.arrange(begun)
    left = None if "text 9" not in texts else texts.index("text 9")
    assert after.growth().left == ([] if left is None else [left])
    assert [after.text_of(i) for i in range(16) if i != left] == [t for i, t in enumerate(texts) if i != left]
    assert {after.text_of(index) for index in after.growth().new} == {"first", "last"}
    assert set(after.test_texts()) == set(before.test_texts()) - {"text 9"}
    assert after.fingerprint() == before.fingerprint()


@pytest.mark.parametrize(
    ("content", "kwargs", "words"),
    [
        (None, {}, "`data.path` to be a file, but there is no"),
        (
            "text,lable\na,b\n",
            {},
            "`data.label_column` to be a column of .*, text, lable, but got `label`; did you mean",
        ),
        ("txt,label\na,b\n", {}, "`data.column` to be a column of .*, txt, label, but got `text`; did you mean txt"),
        ("text,label\n", {"classes": ["a", "b"]}, "Expected texts to train on in .*, but got none"),
        ("text,label\na,\n", {}, "`data.classes` to name the classes, since .* has no labels"),
        ("text,label\na,cat\n", {"classes": ["dog", "cow"]}, "among `data.classes`, but got `cat`"),
    ],
)
def test_bad_tables_are_one_sentence(tmp_path: Path, content: str | None, kwargs: dict, words: str) -> None:
    if content is not None:
        (tmp_path / "a.csv").write_text(content)
    with pytest.raises(InputError, match=words) as error:
        load(tmp_path / "a.csv", **kwargs)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [('{"text": "a"\n', "to be JSON, an object a line, but got"), ("[3]", "an object a line, but")],
)
def test_bad_json_is_one_sentence(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(InputError, match=words):
        load(tmp_path / "a.jsonl")
