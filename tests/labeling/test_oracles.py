"""Oracles: the questions for labels, and their answers."""

import csv
import json
from pathlib import Path

import pytest
import torch

from al_lightning import FileOracle, SimulatedOracle
from al_lightning.data import Arrays, PoolDataModule
from al_lightning.errors import InputError
from al_lightning.run_folder import Query
from tests.helpers import digits, generator


class Partly(PoolDataModule):
    """Digits with a given number of known classes."""

    class_names = tuple("0123456789")

    def __init__(self, num_known: int, num_initial: int = 10, initial: str = "random") -> None:
        super().__init__(num_initial, initial)
        self.num_known = num_known

    def load(self) -> Arrays:
        targets = digits().train_targets[:100].clone()
        targets[self.num_known :] = -1
        return Arrays(digits().train_inputs[:100], targets, *digits()[2:])


def test_the_simulated_oracle_knows_everything() -> None:
    data = Partly(100)
    initial, asked = SimulatedOracle().initial(data, generator())
    assert initial.equal(data.draw_initial(generator()))
    assert len(asked) == 0
    assert SimulatedOracle().answer(data, initial).equal(digits().train_targets[initial])


def test_the_simulated_oracle_refuses_what_it_cannot_know() -> None:
    with pytest.raises(InputError, match=r"classes of all 100 training samples, but 3 have none; .* FileOracle"):
        SimulatedOracle().initial(Partly(97), generator())


def test_people_are_asked_for_what_is_not_known() -> None:
    initial, asked = FileOracle().initial(Partly(30), generator())
    assert initial.tolist() == list(range(30))
    assert len(asked) == 0
    assert FileOracle().answer(Partly(30), initial) is None


def test_people_are_asked_for_random_samples_if_nothing_is_known() -> None:
    data = Partly(0, num_initial=12)
    initial, asked = FileOracle().initial(data, generator())
    assert len(initial) == 0
    assert asked.equal(data.draw_initial(generator()))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (Partly(100), "but all 100 training samples have one"),
        (Partly(0, initial="balanced"), "to be random or a strategy where no class is known"),
    ],
)
def test_data_that_people_cannot_be_asked_about_are_refused(data: Partly, words: str) -> None:
    with pytest.raises(InputError, match=words):
        FileOracle().initial(data, generator())


def test_a_url_without_a_place_for_the_path_is_refused() -> None:
    with pytest.raises(InputError, match=r"`loop.oracle.image_url` to have {path} or {name} in it, but got `x`"):
        FileOracle("x")


FILES = [Query(2, i, 5 * i, None, predicted=i, confidence=0.5, file=f"photos/a b/{i}.jpg") for i in range(3)]


def test_questions_about_files(tmp_path: Path) -> None:
    data = Partly(0)
    data.root = Path("photos")
    FileOracle("https://host/{name}").publish(tmp_path, data, FILES)
    with (tmp_path / "query.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [question.file for question in FILES]
    assert [(row["index"], row["rank"], row["confidence"], row["label"]) for row in rows] == [
        ("0", "1", "0.5000", ""),
        ("5", "2", "0.5000", ""),
        ("10", "3", "0.5000", ""),
    ]
    tasks = json.loads((tmp_path / "query.json").read_text())
    assert [task["data"]["image"] for task in tasks] == [f"https://host/a%20b/{i}.jpg" for i in range(3)]
    assert "<Image" in (tmp_path / "query.xml").read_text()
    FileOracle().publish(tmp_path / "..", data, FILES)
    assert json.loads((tmp_path / ".." / "query.json").read_text())[0]["data"]["image"].endswith("photos/a%20b/0.jpg")


def test_an_output_beyond_the_classes_is_no_prediction(tmp_path: Path) -> None:
    asked = [Query(1, order, order, None, predicted=predicted) for order, predicted in enumerate((1, 10))]
    FileOracle().publish(tmp_path, Partly(0), asked)
    with (tmp_path / "query.csv").open(encoding="utf-8-sig") as file:
        names = [row["predicted"] for row in csv.DictReader(file)]
    assert names[0] == Partly(0).list_class_names()[1]
    assert names[1] == ""
    tasks = json.loads((tmp_path / "query.json").read_text())
    assert ["predictions" in task for task in tasks] == [True, False]


class Words(Partly):
    """Digits with a text each."""

    shows_texts = True

    def text_of(self, index: int) -> str:
        return f"text, {index}\nof two lines"


def test_texts_are_in_the_table_before_the_column_to_fill_in(tmp_path: Path) -> None:
    FileOracle().publish(tmp_path, Words(0), [Query(0, 0, 4, None)])
    with (tmp_path / "query.csv").open(encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    assert list(row)[-2:] == ["text", "label"]
    assert row["text"] == "text, 4 of two lines"
    assert json.loads((tmp_path / "query.json").read_text())[0]["data"]["text"] == "text, 4\nof two lines"


def test_questions_about_samples_without_files_show_their_values(tmp_path: Path) -> None:
    FileOracle().publish(tmp_path, Partly(0), [Query(0, 0, 4, None)])
    (task,) = json.loads((tmp_path / "query.json").read_text())
    shown = [float(value) for value in task["data"]["text"].split(", ")]
    torch.testing.assert_close(torch.tensor(shown), digits().train_inputs[4], atol=1e-3, rtol=1e-3)
    assert "<Text" in (tmp_path / "query.xml").read_text()


@pytest.mark.parametrize("change", ["filled in", "semicolons", "a row less", "no tasks", "another header"])
def test_what_people_made_of_the_table_is_never_lost(tmp_path: Path, change: str) -> None:
    FileOracle().publish(tmp_path, Partly(0), FILES)
    path = tmp_path / "query.csv"
    text = path.read_text().replace("0.5000,", "0.5000,seven")
    if change == "semicolons":
        text = text.replace(",", ";")
    elif change == "a row less":
        text = "".join(text.splitlines(keepends=True)[:-1])
    elif change == "no tasks":
        (tmp_path / "query.json").unlink()
    elif change == "another header":
        text = text.replace("index", "Index")
    path.write_text(text)
    FileOracle().publish(tmp_path, Partly(0), FILES)
    assert path.read_text() == text
    FileOracle().publish(tmp_path, Partly(0), FILES[1:])  # of the next round
    assert "seven" not in path.read_text()
    assert (tmp_path / "query.old.csv").read_text() == text
    path.unlink()
    FileOracle().publish(tmp_path, Partly(0), FILES[1:])
    assert path.is_file()


def test_people_are_not_asked_without_classes_to_choose_from() -> None:
    data = Partly(0)
    data.class_names = None
    with pytest.raises(InputError, match=r"names of the classes .* see `data.classes`"):
        FileOracle().initial(data, generator())
