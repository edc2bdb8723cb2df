"""A run that asks people, from the command line: question, answer, go on."""

import csv
import io
import json
from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from al_lightning import ActiveLearningLoop, Convergence, DropoutMLP, Margin
from al_lightning.cli import main
from al_lightning.data import Arrays, PoolDataModule
from al_lightning.data.images import ImageFiles, ImageTransform, image_files
from al_lightning.data.memory import in_memory
from tests.data.test_images import save_digits
from tests.labeling.runs import opened, run_of_people

CLASSES = [f"digit{c}" for c in range(10)]


def fit(tmp_path: Path, *flags: str) -> None:
    main(
        [
            *["fit", "--data", "ImageFolder", "--data.root", str(tmp_path / "photos"), "--data.image_size", "8"],
            *["--data.channels", "1", "--data.num_initial", "12", "--data.num_workers", "0"],
            *["--model", "DropoutMLP", "--model.optimizer.lr", "0.01"],
            *["--loop.oracle", "FileOracle", "--loop.strategy", "Margin"],
            *["--loop.query_size", "5", "--loop.num_rounds", "2", "--loop.run_dir", str(tmp_path / "run")],
            *["--trainer.max_epochs", "5", "--trainer.enable_progress_bar", "false", *flags],
        ]
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """40 labeled digits to test on, and 100 that nobody has labeled."""
    save_digits(tmp_path / "photos" / "test", 40, start=0, classes=tuple(range(10)))
    save_digits(tmp_path / "all", 100, start=40, classes=tuple(range(10)))
    folder = tmp_path / "photos" / "unlabeled"
    folder.mkdir()
    for path in (tmp_path / "all").rglob("*.png"):
        path.rename(folder / path.name)
    (tmp_path / "photos" / "train").mkdir()
    return tmp_path


def questions(tmp_path: Path) -> list[dict[str, str]]:
    with (tmp_path / "run" / "query.csv").open(encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def truth(row: dict[str, str]) -> str:
    return f"digit{load_digits().target[int(Path(row['file']).stem)]}"


def write_answers(tmp_path: Path, rows: list[dict[str, str]], name: str = "answers.csv") -> str:
    with (tmp_path / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "index", "rank", "predicted", "confidence", "label"])
        writer.writeheader()
        writer.writerows(rows)
    return str(tmp_path / name)


def label(tmp_path: Path, *words: str) -> None:
    main(["label", str(tmp_path / "run"), *words])


def ledger(tmp_path: Path) -> list[dict[str, str]]:
    with (tmp_path / "run" / "queries.csv").open() as file:
        return list(csv.DictReader(file))


def answer_all(tmp_path: Path) -> None:
    rows = [row | {"label": truth(row)} for row in questions(tmp_path)]
    label(tmp_path, "--import", write_answers(tmp_path, rows))


FLAGS = ("--data.classes", json.dumps(CLASSES))


def test_a_run_asks_is_answered_and_goes_on(photos: Path, capsys: pytest.CaptureFixture) -> None:
    fit(photos, *FLAGS)
    assert "waits for 12 labels" in capsys.readouterr().out
    first = questions(photos)
    assert len(first) == 12
    assert all(row["predicted"] == row["confidence"] == row["label"] == "" for row in first)
    assert ledger(photos) == []
    empty = (photos / "run" / "query.csv").read_bytes()
    fit(photos, *FLAGS)  # still waiting
    assert (photos / "run" / "query.csv").read_bytes() == empty
    assert "waits for 12 labels" in capsys.readouterr().out
    answer_all(photos)
    assert capsys.readouterr().out.endswith(f"To continue: al-lightning fit {photos / 'run'}\n")
    for round in (1, 2):
        fit(photos, *FLAGS)
        assert "waits for 5 labels" in capsys.readouterr().out
        rows = questions(photos)
        assert len(rows) == 5
        assert all(row["predicted"] in CLASSES and 0.1 <= float(row["confidence"]) <= 1 for row in rows)
        assert not {row["index"] for row in rows} & {row["index"] for row in ledger(photos)}
        assert all(Path(row["file"]).is_file() for row in rows)
        answer_all(photos)
        bought = [row for row in ledger(photos) if row["round"] == str(round)]
        assert [row["index"] for row in bought] == [row["index"] for row in rows]
        assert [CLASSES[int(row["label"])] for row in bought] == [truth(row) for row in rows]
    fit(photos, *FLAGS)
    with (photos / "run" / "rounds.csv").open() as file:
        rounds = list(csv.DictReader(file))
    assert [row["num_labeled"] for row in rounds] == ["12", "17", "22"]
    assert not (photos / "run" / "asked.csv").exists()
    fit(photos, *FLAGS)
    assert "is finished: 3 rounds done" in capsys.readouterr().out


def test_people_go_on_until_the_pool_is_used_up(photos: Path, capsys: pytest.CaptureFixture) -> None:
    """Of 100 images, 12 are asked for first, then 60, then the 28 that are left."""
    flags = (*FLAGS, "--loop.num_rounds", "null", "--loop.query_size", "60", "--trainer.enable_progress_bar", "true")
    for num in (12, 60, 28):
        fit(photos, *flags)
        out = capsys.readouterr().out
        assert f"waits for {num} labels" in out
        assert f"al-lightning fit {photos / 'run'}" in out
        assert " left" not in out
        answer_all(photos)
    fit(photos, *flags)
    assert "the pool is used up" in capsys.readouterr().out
    assert sorted(int(row["index"]) for row in ledger(photos)) == list(range(100))
    fit(photos, *flags)
    assert "is finished: 3 rounds done" in (out := capsys.readouterr().out)
    assert "the pool is used up" in out


def test_the_last_query_of_people_is_what_is_left_before_the_last_round(
    photos: Path, capsys: pytest.CaptureFixture
) -> None:
    flags = (*FLAGS, "--loop.num_rounds", "9", "--loop.query_size", "90")
    for num in (12, 88):
        fit(photos, *flags)
        assert f"waits for {num} labels" in capsys.readouterr().out
        answer_all(photos)
    fit(photos, *flags, "--trainer.enable_progress_bar", "true")
    assert "the pool is used up" in capsys.readouterr().out


def test_a_run_of_people_is_that_of_the_simulated_oracle(photos: Path) -> None:
    """The same labels give the same queries, to the bit."""
    for _ in range(3):
        fit(photos, *FLAGS)
        answer_all(photos)
    fit(photos, *FLAGS)
    for path in (photos / "photos" / "unlabeled").iterdir():  # in the same order
        target = photos / "photos" / "known" / f"digit{load_digits().target[int(path.stem)]}" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    loop = ActiveLearningLoop(Margin(), 5, 2, run_dir=str(photos / "simulated"))
    trainer = L.Trainer(
        max_epochs=5,
        callbacks=[loop, Convergence()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        accelerator="auto",  # as the command does: a GPU has other bits
    )
    model = DropoutMLP(64, optimizer=lambda params: torch.optim.Adam(params, lr=0.01, fused=True))
    loop.run(trainer, model, Known(photos / "photos"))
    with (photos / "simulated" / "queries.csv").open() as file:
        simulated = [row["index"] for row in csv.DictReader(file)]
    assert [row["index"] for row in ledger(photos)] == simulated


class Known(PoolDataModule):
    """The same files in the same order, in folders of their classes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(num_initial=12)
        self.folder = folder

    def load(self) -> Arrays:
        transform = ImageTransform(8, 1)
        train = sorted(image_files(self.folder / "known"), key=lambda path: path.name)
        test = image_files(self.folder / "test")
        targets = [torch.tensor([int(path.parent.name[-1]) for path in paths]) for paths in (train, test)]
        inputs = [in_memory(ImageFiles(paths, transform)) for paths in (train, test)]
        return Arrays(inputs[0], targets[0], inputs[1], targets[1])


def test_answers_come_bit_by_bit_and_all_that_is_wrong_is_said(photos: Path, capsys: pytest.CaptureFixture) -> None:
    fit(photos, *FLAGS)
    rows = questions(photos)
    given = [row | {"label": truth(row)} for row in rows[:4]]
    given[1]["label"] = "skip"
    given[2]["label"] = "digt3"
    given += [given[0], {"index": "9999", "label": "digit1"}, given[3], given[3] | {"label": "digit1x"}]
    with pytest.raises(SystemExit) as error:
        label(photos, "--import", write_answers(photos, given))
    assert error.value.code == 1
    out, err = capsys.readouterr()
    assert "Took 3 answers" in out
    assert "1 of them skipped" in out
    assert "9 of 12 questions are open" in out
    assert "line 4: `digt3` is no class; did you mean digit3?" in err
    assert "sample 9999 was not asked for" in err
    assert "the same answer 2 times" in err
    assert ledger(photos) == []
    fit(photos, *FLAGS)
    assert "waits for 9 labels" in capsys.readouterr().out
    label(photos, "--import", write_answers(photos, [row | {"label": truth(row)} for row in rows[4:9]]))
    label(photos, "--close")
    assert "All is answered, 4 went back to the pool" in capsys.readouterr().out
    assert [row["label"] == "-1" for row in ledger(photos)] == [False, True, *[False] * 6]
    fit(photos, *FLAGS)
    asked = {row["index"] for row in questions(photos)}
    assert rows[1]["index"] not in asked
    with (photos / "run" / "rounds.csv").open() as file:
        assert [row["num_labeled"] for row in csv.DictReader(file)] == ["7"]


def test_labels_may_come_from_label_studio(photos: Path) -> None:
    fit(photos, *FLAGS)
    tasks = json.loads((photos / "run" / "query.json").read_text())
    for number, (task, row) in enumerate(zip(tasks, questions(photos), strict=True)):
        value = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [truth(row)]}}
        task |= {"id": number, "annotations": [{"result": [value], "was_cancelled": False}]}
    (photos / "export.json").write_text(json.dumps(tasks))
    label(photos, "--import", str(photos / "export.json"))
    assert len(ledger(photos)) == 12


def fill_in(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    """Fills in query.csv, as German Excel saves it."""
    with (tmp_path / "run" / "query.csv").open("w", newline="", encoding="cp1252") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=";")
        writer.writeheader()
        writer.writerows(rows)


def test_a_filled_table_is_taken_by_fit_and_a_correction_is_trained_on(
    photos: Path, capsys: pytest.CaptureFixture
) -> None:
    run = photos / "run"
    fit(photos, *FLAGS)
    first = [row | {"label": truth(row)} for row in questions(photos)]
    fill_in(photos, [*first[:-1], first[-1] | {"label": "digt3"}])
    fit(photos, *FLAGS)
    out, err = capsys.readouterr()
    assert "Took 11 answers from" in out
    assert "waits for 1 labels" in out
    assert "line 13: `digt3` is no class; did you mean digit3?" in err
    fill_in(photos, first)
    fit(photos, *FLAGS)
    assert "waits for 5 labels" in capsys.readouterr().out
    assert not list(run.glob("query.old*"))
    bought, made = ledger(photos), (run / "rounds.csv").read_bytes()
    fixed = {"file": Path(first[3]["file"]).name, "label": "skip"}
    with pytest.raises(SystemExit) as error:
        label(photos, "--import", write_answers(photos, [fixed]))
    assert error.value.code == 1
    label(photos, "--import", write_answers(photos, [fixed]), "--correct")
    corrected = f"{Path(first[3]['file']).relative_to(photos / 'photos')}: skip instead of {truth(first[3])}"
    out, err = capsys.readouterr()
    assert f"Not taken: {corrected} (line 2).\n" in err
    assert f"{corrected}; round 1 is the first to train on it." in out
    fill_in(photos, [row | {"label": truth(row)} for row in questions(photos)])
    fit(photos, *FLAGS)
    assert ledger(photos)[:12] == bought
    assert (run / "rounds.csv").read_bytes().startswith(made)
    with (run / "rounds.csv").open() as file:
        assert [row["num_labeled"] for row in csv.DictReader(file)] == ["12", "16"]
    with (run / "labels.csv").open(encoding="utf-8-sig") as file:
        labels = list(csv.DictReader(file))
    assert len(labels) == 17
    assert [(row["label"], row["round"]) for row in labels if row["index"] == first[3]["index"]] == [("skip", "1")]
    assert all(row["label"] in (truth(row), "skip") for row in labels)


def test_what_is_known_is_where_a_run_begins(photos: Path) -> None:
    for index in (3, 5, 8):
        folder = photos / "photos" / "train" / f"digit{load_digits().target[index]}"
        folder.mkdir()
        Image.fromarray((load_digits().images[index] * 15).astype("uint8")).save(folder / f"{index}.png")
    fit(photos, *FLAGS)
    assert [row["index"] for row in ledger(photos)] == ["0", "1", "2"]
    assert len(questions(photos)) == 5
    with (photos / "run" / "answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["kind"] for row in rows} == {"known"}
    assert [row["label"] for row in rows] == [truth(row) for row in rows]
    assert all((photos / "photos" / row["file"]).is_file() for row in rows)


def refused(capsys: pytest.CaptureFixture, *words: str) -> str:
    with pytest.raises(SystemExit) as error:
        main(list(words))
    assert error.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("al-lightning: error: ")
    assert err.count("\n") == 1
    return err


def test_bad_input_gets_one_sentence_and_changes_nothing(photos: Path, capsys: pytest.CaptureFixture) -> None:
    run = str(photos / "run")
    assert f"there is no {photos / 'run' / 'commit.json'}" in refused(capsys, "label", run, "--import", "a.csv")
    assert not (photos / "run").exists()
    fit(photos, *FLAGS)
    capsys.readouterr()
    before = {path.name: path.read_bytes() for path in (photos / "run").iterdir() if path.is_file()}
    assert "there is no" in refused(capsys, "label", run, "--import", str(photos / "none.csv"))
    assert "at least one answer before `--close`" in refused(capsys, "label", run, "--close")
    assert "Expected `al-lightning label RUN --import FILE`" in refused(capsys, "label", run, "--imprt", "a.csv")
    assert "Expected `al-lightning label RUN --import FILE`" in refused(capsys, "label")
    skips = [row | {"label": "skip"} for row in questions(photos)]
    assert "all samples were skipped" in refused(capsys, "label", run, "--import", write_answers(photos, skips))
    assert {path.name: path.read_bytes() for path in (photos / "run").iterdir() if path.is_file()} == before
    answer_all(photos)
    assert "Expected open questions" in refused(capsys, "label", run)


def test_settings_and_data_of_answers_that_were_paid_for_are_not_forgotten(
    photos: Path, capsys: pytest.CaptureFixture
) -> None:
    """A simulated run without a round is forgotten if its settings change; this is not."""
    fit(photos, *FLAGS)
    answer_all(photos)
    before = ledger(photos)
    flags = ["--data.num_initial", "13", "--data.classes", json.dumps(CLASSES)]
    with pytest.raises(SystemExit):
        fit(photos, *flags)
    assert "`data.num_initial` (12 there, 13 here)" in capsys.readouterr().err
    with (photos / "run" / "pool.csv").open() as file:
        files = {row["index"]: row["file"] for row in csv.DictReader(file)}
    (photos / "photos" / files[before[0]["index"]]).unlink()
    with pytest.raises(SystemExit):
        fit(photos, *FLAGS)
    assert "in round 0, to be in" in capsys.readouterr().err
    assert ledger(photos) == before


# ------------------------------------------------------------------------------------------------------ without a fit


def told(capsys: pytest.CaptureFixture, run: Path, *words: str) -> tuple[int, str, str]:
    """Exit code, output and errors of ``label``."""
    code = 0
    try:
        main(["label", str(run), *words])
    except SystemExit as error:
        code = int(error.code or 0)
    return (code, *capsys.readouterr())


def table(folder: Path, *rows: str) -> str:
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
    return str(folder / "table.csv")


def test_answers_that_a_run_knows_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    known = table(tmp_path, "index,label", "0,cat", "1,dog")
    run = run_of_people(tmp_path / "my run", asked=())
    line = f"2 answers were known already. To continue: al-lightning fit '{run}'\n"
    assert told(capsys, run, "--import", known) == (0, line, "")
    code, out, err = told(capsys, run_of_people(tmp_path / "open"), "--import", known)
    assert (code, out.splitlines()[0], err) == (0, "2 answers were known already.", "")


def test_problems_come_first_and_all_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of_people(tmp_path / "run")
    answers = ["0,dog", *(f"{index},cat" for index in range(100, 150)), "7,cat", "1,dog"]
    written = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", written)
        patch.setattr("sys.stderr", written)
        with pytest.raises(SystemExit) as error:
            main(["label", str(run), "--import", table(tmp_path, "index,label", *answers)])
    assert error.value.code == 1
    lines = written.getvalue().splitlines()
    assert [f"sample {index} was not asked for." in lines[index - 100] for index in range(100, 150)] == [True] * 50
    assert lines[50] == "Not taken: a b/0 ü.jpg: dog instead of cat (line 2)."
    again = f"al-lightning label {run} --import {tmp_path}"
    assert again in lines[51]
    assert "--correct replaces the labels" in lines[51]
    assert [line.split(" from ")[0] for line in lines[52:54]] == ["Took 1 answer", "1 answer was known already."]
    assert lines[-1] == f"To go on without them: al-lightning label {run} --close"


def test_the_rule_of_conflicts_and_the_agreement(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = run_of_people(tmp_path / "run", asked=(7, 3, 5, 9))
    people = table(
        tmp_path,
        "index,label,annotator",
        *("7,cat,anna", "7,cat,ben", "3,cat,anna", "3,dog,ben", "5,dog,anna", "5,dog,ben"),
    )
    code, _, err = told(capsys, run, "--import", people)
    assert code == 1
    assert "the answers contradict each other: cat (anna, line 4), dog (ben, line 5)." in err
    assert "--conflicts majority, or --conflicts latest." in err
    assert told(capsys, run, "--import", people, "--conflicts", "majority")[0] == 1  # a tie
    assert told(capsys, run, "--import", people, "--conflicts", "latest")[0] == 0
    assert [(question.index, question.label) for question in opened(run).asked] == [(7, 0), (3, 1), (5, 1), (9, None)]
    before = (run / "commit.json").read_bytes()
    code, out, _ = told(capsys, run, "--agreement")
    assert code == 0
    assert out.splitlines() == [
        "3 samples have answers of two people or more: anna, ben.",
        "66.7 % of the pairs of answers agree. Cohen's kappa is 0.400; a skip counts as a class.",
        "Most often confused: cat and dog, in 1 pair of answers.",
    ]
    assert (run / "commit.json").read_bytes() == before
    code, _, err = told(capsys, run, "--import", people, "--conflicts", "first")
    assert (code, "invalid choice: 'first'" in err) == (2, True)


def test_a_person_may_be_named_for_a_whole_table(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = run_of_people(tmp_path / "run")
    for person, label in (("anna", "cat"), ("ben", "dog")):
        told(capsys, run, "--import", table(tmp_path, "index,label,annotator", f"7,{label},", "3,cat,carl"))
        told(capsys, run, "--import", table(tmp_path, "index,label", f"5,{label}"), "--annotator", person)
    rows = [(row.index, row.label, row.annotator) for row in opened(run).answers if row.index in (3, 5)]
    assert rows == [(3, "cat", "carl"), (5, "cat", "anna"), (5, "dog", "ben")]


def test_tables_of_colleagues_come_together(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = run_of_people(tmp_path / "run")
    words: list[str] = []
    for person, labels in {"anna": "cat dog cat", "ben": "cat cat dog", "carl": "cat dog "}.items():
        path = tmp_path / f"{person}.csv"
        rows = [f"{index},{label}\n" for index, label in zip((7, 3, 5), labels.split(" "), strict=True)]
        path.write_text("index,label\n" + "".join(rows))
        words += ["--import", str(path)]
    code, _, err = told(capsys, run, *words)
    assert code == 1
    assert "contradict each other: cat (anna, anna.csv, line 4), dog (ben, ben.csv, line 4)." in err
    code, _, err = told(capsys, run, *words, "--conflicts", "majority")
    assert [(question.index, question.label) for question in opened(run).asked] == [(7, 0), (3, 1), (5, None)]
    code, out, _ = told(capsys, run, "--agreement")
    assert out.splitlines()[0] == "3 samples have answers of two people or more: anna, ben, carl."
    assert "Fleiss' kappa" in out


def test_a_file_without_answers_says_so(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = run_of_people(tmp_path / "run")
    code, out, err = told(capsys, run, "--import", table(tmp_path, "index,label", "7,"))
    assert code == 0
    assert "has no answers: no row with a `label`, or no annotation with a choice of `label`." in err
    assert out.startswith("Took 0 answers")


def test_what_is_open_and_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = run_of_people(tmp_path / "run")
    code, out, err = told(capsys, run)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "3 of 3 questions are open: photos/a b/7 ü.jpg, photos/a b/3 ü.jpg, photos/a b/5 ü.jpg.",
        f"Fill in the column `label` of {run}/query.csv, then: al-lightning fit {run}",
        f"To go on without them: al-lightning label {run} --close",
    ]
    text = (run / "query.csv").read_text(encoding="utf-8-sig")
    (run / "query.csv").write_text(text.replace("0.5000,", "0.5000,dog", 2))
    code, out, err = told(capsys, run, "--close")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"Took 2 answers from {run}/query.csv.",
        f"All is answered, 1 went back to the pool. To continue: al-lightning fit {run}",
    ]
