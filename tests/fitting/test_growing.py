"""Runs whose pool grows: images and rows that join, leave, move or change between rounds."""

import csv
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import lightning.pytorch as L
import numpy as np
import pytest

from al_lightning import ActiveLearningLoop, Convergence, DropoutMLP, FileOracle, ImageFolder, Margin, NumpyFiles
from al_lightning.cli import main
from al_lightning.data import PoolDataModule
from al_lightning.errors import InputError
from al_lightning.run_folder import RunFolder
from al_lightning.run_folder.tables import Query, Sample
from tests.data.test_images import save_digits

CLASSES = ["digit0", "digit1", "digit2"]


def fit(folder: Path, data: PoolDataModule | None = None, num_rounds: int = 3, **kwargs) -> None:
    arguments = {"oracle": FileOracle(), "run_dir": str(folder / "run"), **kwargs}
    loop = ActiveLearningLoop(Margin(), 3, num_rounds, **arguments)
    trainer = L.Trainer(
        max_epochs=2,
        accelerator="cpu",
        callbacks=[Convergence()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = photos(folder) if data is None else data
    loop.run(trainer, DropoutMLP(data.sample_inputs(1).numel(), num_classes=len(CLASSES)), data)


def photos(folder: Path, **kwargs) -> ImageFolder:
    flags = {"image_size": 8, "channels": 1, "num_workers": 0, "num_initial": 4, "classes": CLASSES}
    return ImageFolder(str(folder / "photos"), **{**flags, **kwargs})


def open_run(folder: Path) -> RunFolder:
    run = RunFolder.edit(folder / "run")
    run.close()
    return run


def answer(folder: Path) -> None:
    """Answers all open questions: the name of each file begins with its class."""
    run = RunFolder.edit(folder / "run")
    classes = [CLASSES.index(Path(question.file).name.split("_")[0]) for question in run.asked]
    run.commit(queries=[replace(question, label=label) for question, label in zip(run.asked, classes, strict=True)])
    run.close()


def fill_in(folder: Path, label: str) -> None:
    """Fills in the published table of questions."""
    path = folder / "run" / "query.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([lines[0], *(line + label for line in lines[1:])]), encoding="utf-8")


def add(folder: Path, num: int, start: int, into: str = "photos") -> list[str]:
    """Adds images of digits, without folders of classes; returns their names."""
    save_digits(folder / "new", num, start)
    added = []
    for path in sorted((folder / "new").rglob("*.png")):
        (folder / into).mkdir(exist_ok=True)
        added.append(f"{path.parent.name}_{path.name}")
        path.rename(folder / into / added[-1])
    shutil.rmtree(folder / "new")
    return added


def move_to_class(folder: Path, name: str, digit: str | None = None) -> None:
    path = folder / "photos" / name
    target = path.parent / (digit or name.split("_")[0]) / name
    target.parent.mkdir(exist_ok=True)
    path.rename(target)


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with people that has answers to its first questions, and waits for answers to those of round 1."""
    folder = tmp_path_factory.mktemp("waiting")
    add(folder, 50, 0)
    with inside(folder):
        fit(Path())
        answer(Path())
        fit(Path())
    return folder


class inside:
    """Works in a folder, so that the files of questions have relative names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        self.before = Path.cwd()
        os.chdir(self.folder)

    def __exit__(self, *error: object) -> None:
        os.chdir(self.before)


@pytest.fixture
def run(waiting: Path, tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(waiting, tmp_path, dirs_exist_ok=True)
    with inside(tmp_path):
        yield Path()


def test_a_run_lists_its_samples(run: Path) -> None:
    ledger, data = open_run(run), photos(run)
    assert [(sample.index, sample.file) for sample in ledger.pool] == [
        (index, data.name_of(index)) for index in range(len(data.train_targets))
    ]
    assert {(sample.joined, sample.left) for sample in ledger.pool} == {(0, None)}


def test_new_images_join_at_the_next_round(run: Path, capsys: pytest.CaptureFixture) -> None:
    before = open_run(run)
    names = add(run, 20, 50)
    fit(run)  # the questions of round 1 are open
    said = capsys.readouterr().out
    assert f"{len(names)} new images joined the pool of run: its round 1 is the first that can ask for them." in said
    after = open_run(run)
    assert after.asked == before.asked
    assert after.pool[: len(before.pool)] == before.pool
    new = after.pool[len(before.pool) :]
    assert [(sample.file, sample.joined, sample.left) for sample in new] == [(name, 1, None) for name in sorted(names)]
    answer(run)
    fit(run)
    assert "joined" not in capsys.readouterr().out
    asked = open_run(run).asked
    assert len(asked) == 3
    assert [Path(question.file).name for question in asked] == [after.pool[question.index].file for question in asked]
    assert all(Path(question.file).is_file() for question in asked)


def test_a_run_that_grew_goes_on_as_any_other(run: Path) -> None:
    """All old images leave but the labeled ones: the run asks for the new ones, and then ends."""
    answer(run)
    names = add(run, 12, 50)
    ledger = open_run(run)
    labeled = {query.index for query in ledger.queries}
    for sample in ledger.pool:
        if sample.index not in labeled:
            (run / "photos" / sample.file).unlink()
    fit(run, num_rounds=None)
    after = open_run(run)
    assert {Path(question.file).name for question in after.asked} <= set(names)
    assert {sample.left for sample in after.pool} == {None, 1}
    rounds = 0
    while open_run(run).asked:
        answer(run)
        fit(run, num_rounds=None)
        rounds += 1
    final = open_run(run)
    assert rounds == -(-len(names) // 3)
    assert len(final.queries) == len(labeled) + len(names)
    assert final.rounds[-1].num_labeled == len(final.queries)
    fit(run, num_rounds=None)  # the pool is used up
    assert str(open_run(run).rounds) == str(final.rounds)
    add(run, 8, 90)
    fit(run, num_rounds=None)
    assert open_run(run).asked


def test_images_without_a_label_leave_with_a_note_and_close_their_question(
    run: Path, capsys: pytest.CaptureFixture
) -> None:
    before = open_run(run)
    question = before.asked[0]
    free = next(s for s in before.pool if s.index not in {q.index for q in (*before.queries, *before.asked)})
    Path(question.file).unlink()
    (run / "photos" / free.file).unlink()
    fit(run)
    said = capsys.readouterr().out
    gone = ", ".join(before.pool[index].file for index in sorted((question.index, free.index)))
    assert f"2 images that had no label left the pool: {gone}." in said
    assert f"1 open question closed, because the image left: {before.pool[question.index].file}." in said
    after = open_run(run)
    assert after.asked == before.asked[1:]
    assert [s.index for s in after.pool if s.left == 1] == sorted((question.index, free.index))
    answer(run)
    fit(run)
    assert len(open_run(run).rounds) == 2


def test_a_skipped_image_may_leave(run: Path) -> None:
    ledger = RunFolder.edit(run / "run")
    ledger.commit(queries=[replace(question, label=-1) for question in ledger.asked])
    ledger.close()
    Path(ledger.queries[-1].file or run / "photos" / ledger.pool[ledger.queries[-1].index].file).unlink()
    fit(run)
    assert len(open_run(run).asked) == 3


@pytest.mark.parametrize(("change", "words"), [("missing", "it is missing; put it back"), ("changed", "its content")])
def test_a_labeled_image_that_is_lost_is_refused_by_name(run: Path, change: str, words: str) -> None:
    before = open_run(run)
    query = before.queries[1]
    name = before.pool[query.index].file
    path = run / "photos" / name
    if change == "missing":
        path.unlink()
    else:
        shutil.copy(run / "photos" / before.pool[query.index - 1].file, path)
    expected = (
        f"Expected {name}, which was labeled {CLASSES[query.label or 0]} in round 0, to be in photos, but {words}"
    )
    with pytest.raises(InputError, match=expected):
        fit(run)
    after = open_run(run)
    assert (after.pool, after.asked, after.queries) == (before.pool, before.asked, before.queries)


@pytest.mark.parametrize("has_labels", [True, False])
def test_images_of_another_run_are_refused_as_a_whole(run: Path, has_labels: bool) -> None:
    """The data of a run may also be on a disk that is not there."""
    if not has_labels:
        shutil.rmtree(run / "run")
        fit(run)
    before = open_run(run)
    assert bool(before.queries) is has_labels
    shutil.move(run / "photos", run / "elsewhere")
    add(run, 20, 80)
    with pytest.raises(
        InputError, match=rf"none of its {len(before.pool)} is there; other samples need another `loop.run_dir`"
    ):
        fit(run)
    after = open_run(run)
    assert (after.pool, after.asked, after.queries) == (before.pool, before.asked, before.queries)
    shutil.rmtree(run / "photos")
    shutil.move(run / "elsewhere", run / "photos")
    fit(run)
    assert open_run(run).asked == before.asked


def test_an_image_of_the_pool_may_change(run: Path, capsys: pytest.CaptureFixture) -> None:
    before = open_run(run)
    used = {query.index for query in (*before.queries, *before.asked)}
    free, other = [sample for sample in before.pool if sample.index not in used][:2]
    image = (run / "photos" / other.file).read_bytes()
    (run / "photos" / free.file).write_bytes(image)
    fit(run)
    assert f"1 image without a label changed: {free.file}." in capsys.readouterr().out
    assert open_run(run).pool[free.index] == replace(free, digest=other.digest)
    fit(run)
    assert "changed" not in capsys.readouterr().out


def test_images_in_folders_of_classes_need_no_question(run: Path, capsys: pytest.CaptureFixture) -> None:
    """Moved there: a labeled image, one that is asked for, and one of the pool. New there: another one."""
    before = open_run(run)
    labeled, asked = before.queries[0], before.asked[1]
    used = {query.index for query in (*before.queries, *before.asked)}
    free = next(sample for sample in before.pool if sample.index not in used)
    wrong = next(name for name in CLASSES if name != CLASSES[labeled.label or 0])
    moved = before.pool[labeled.index].file
    move_to_class(run, moved, wrong)
    move_to_class(run, Path(asked.file).name)
    move_to_class(run, free.file)
    (new,) = add(run, 1, 50) or [""]
    move_to_class(run, new)
    fit(run)
    said = capsys.readouterr().out
    assert "3 images got a label without a question: round 1 is the first to train on them" in said
    assert f"lies in the folder of {wrong}, but its label is {CLASSES[labeled.label or 0]}: the label stays" in said
    after = open_run(run)
    assert after.asked == [before.asked[0], before.asked[2]]
    known = after.queries[len(before.queries) :]
    assert sorted(query.index for query in known) == sorted((asked.index, free.index, len(before.pool)))
    for query in known:
        assert CLASSES[query.label or 0] == Path(after.pool[query.index].file).parent.name
        assert query.round == 1
    assert after.queries[: len(before.queries)] == before.queries
    with (run / "run" / "labels.csv").open(encoding="utf-8-sig") as file:
        rows = {int(row["index"]): row for row in csv.DictReader(file)}
    assert rows[labeled.index]["file"] == f"{wrong}/{moved}"
    assert (rows[free.index]["label"], rows[free.index]["round"]) == (free.file.split("_")[0], "1")
    answer(run)
    fit(run)
    assert [row.num_labeled for row in open_run(run).rounds] == [4, 4 + 3 + 2]


def test_a_round_whose_last_open_questions_left_goes_on_with_its_answers(
    run: Path, capsys: pytest.CaptureFixture
) -> None:
    asked = answer_first(run, "digit1")
    for question in asked[1:]:
        Path(question.file).unlink()
    fit(run)
    assert "2 open questions closed, because the image left" in capsys.readouterr().out
    after = open_run(run)
    bought = after.queries[4:]
    assert [(query.index, query.label, query.round) for query in bought] == [(asked[0].index, 1, 1)]
    assert [row.num_labeled for row in after.rounds] == [4, 5]
    assert {question.round for question in after.asked} == {2}
    assert len(after.asked) == 3


def test_a_question_whose_answer_is_there_keeps_it_in_a_folder_of_another_class(run: Path) -> None:
    asked = answer_first(run, "digit1")
    move_to_class(run, Path(asked[0].file).name, "digit2")
    fit(run)
    after = open_run(run)
    assert [question.label for question in after.asked] == [1, None, None]
    assert len(after.queries) == 4


def answer_first(folder: Path, label: str) -> list[Query]:
    """Answers the first of the open questions, which have an order; returns all of them."""
    asked = open_run(folder).asked
    Path("answers.csv").write_text(f"index,label\n{asked[0].index},{label}\n")
    main(["label", str(folder / "run"), "--import", "answers.csv"])
    return asked


def test_a_table_of_labels_may_come_later(run: Path) -> None:
    before = open_run(run)
    used = {query.index for query in (*before.queries, *before.asked)}
    free = [sample for sample in before.pool if sample.index not in used][:2]
    rows = [f"{sample.file},digit2" for sample in free] + [f"{Path(before.asked[0].file).name},digit1"]
    Path("labels.csv").write_text("\n".join(["file,label", *rows]))
    fit(run, photos(run, labels="labels.csv"))
    after = open_run(run)
    bought = {query.index: query.label for query in after.queries[len(before.queries) :]}
    assert bought == {free[0].index: 2, free[1].index: 2, before.asked[0].index: 1}
    assert after.asked == before.asked[1:]
    fit(run, photos(run))  # the labels stay
    assert open_run(run).queries == after.queries


def test_a_table_that_differs_from_a_label_of_the_run_is_not_taken_and_said(
    run: Path, capsys: pytest.CaptureFixture
) -> None:
    before = open_run(run)
    query = before.queries[0]
    other, name = next(one for one in CLASSES if one != CLASSES[query.label or 0]), before.pool[query.index].file
    Path("labels.csv").write_text(f"file,label\n{name},{other}\n")
    fit(run, photos(run, labels="labels.csv"))
    sentence = f"1 label in labels.csv not taken, because the run has another: {name} {other};"
    assert sentence in capsys.readouterr().out
    assert open_run(run).labels == before.labels
    main(["label", str(run / "run"), "--import", "labels.csv", "--correct"])
    capsys.readouterr()
    fit(run, photos(run, labels="labels.csv"))
    assert "not taken" not in capsys.readouterr().out


def test_another_class_is_refused_by_its_name(run: Path) -> None:
    with pytest.raises(InputError, match=r"^Expected the classes that the run began with, but got the 4 .*new"):
        fit(run, photos(run, classes=[*CLASSES, "new"]))


def test_broken_and_foreign_files_join_no_pool(run: Path) -> None:
    (name,) = add(run, 1, 50)
    (run / "photos" / name).write_bytes(b"no image")
    (run / "photos" / "notes.txt").write_text("no image, either")
    before = open_run(run)
    with pytest.raises(InputError, match="Expected images that can be read"):
        fit(run)
    ledger = RunFolder.edit(run / "run")
    ledger.close()
    assert ledger.pool == before.pool
    with pytest.warns(UserWarning, match="Left out 1 image that cannot be read"):
        fit(run, photos(run, corrupt="skip"))
    assert open_run(run).pool == before.pool


def test_a_question_that_was_moved_is_answered_by_its_earlier_name(run: Path) -> None:
    asked = open_run(run).asked
    (run / "photos" / "unlabeled").mkdir()
    for question in asked:
        shutil.move(question.file, run / "photos" / "unlabeled")
    fill_in(run, "digit2")
    fit(run)
    ledger = open_run(run)
    assert [(q.index, q.label) for q in ledger.queries[-3:]] == [(question.index, 2) for question in asked]
    assert {ledger.pool[question.index].file.split("/")[0] for question in asked} == {"unlabeled"}


def test_a_run_of_an_earlier_version_gets_its_list(run: Path) -> None:
    ledger = RunFolder.edit(run / "run")
    expected = ledger.pool
    ledger.pool = []
    ledger.commit(asked=ledger.asked)
    ledger.close()
    (run / "run" / "pool.csv").unlink()
    assert open_run(run).pool == []
    fit(run)
    assert open_run(run).pool == expected


def test_a_run_that_stops_before_the_commit_has_not_grown(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_run(run)
    add(run, 20, 50)

    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "commit", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(run)
    assert open_run(run).pool == before.pool
    fit(run)
    assert len(open_run(run).pool) > len(before.pool)


# ------------------------------------------------------------------------------------------------------------ simulated


def simulate(folder: Path, num_rounds: int, **kwargs) -> None:
    fit(folder, photos(folder, classes=None), num_rounds, oracle=None, **kwargs)


def test_other_photos_in_python_without_a_folder_are_another_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, start in (("one", 0), ("two", 100)):
        save_digits(tmp_path / name / "photos" / "unlabeled", 40, start=start)
        fit(tmp_path / name, run_dir=None)
    assert [path.name for path in sorted((tmp_path / "runs").iterdir())] == ["margin", "margin-2"]


def test_simulated_runs_grow_only_if_they_may(tmp_path: Path) -> None:
    save_digits(tmp_path / "photos", 60)
    simulate(tmp_path, 1)
    assert not (tmp_path / "run" / "pool.csv").exists()
    save_digits(tmp_path / "photos", 30, start=60)
    with pytest.raises(InputError, match="samples were added, removed or renamed"):
        simulate(tmp_path, 2)
    with pytest.raises(InputError, match="samples were added, removed or renamed"):
        simulate(tmp_path, 2, pool_may_grow=True)  # it has no list of its samples


def test_a_simulated_run_that_may_grow_keeps_its_test_set(tmp_path: Path) -> None:
    save_digits(tmp_path / "photos", 60)
    simulate(tmp_path, 1, pool_may_grow=True)
    before = open_run(tmp_path)
    save_digits(tmp_path / "photos", 30, start=60)
    with pytest.raises(InputError, match="but 9 came, 0 went and 0 changed; `loop.pool_may_grow` takes in new ones"):
        simulate(tmp_path, 2)
    simulate(tmp_path, 2, pool_may_grow=True)
    after = open_run(tmp_path)
    assert len(after.rounds) == 3
    assert after.queries[: len(before.queries)] == before.queries
    assert [row.label for row in after.queries] == [
        CLASSES.index(Path(after_file(after.pool, query.index)).parent.name) for query in after.queries
    ]
    assert [s for s in after.pool if s.index < 0] == [s for s in before.pool if s.index < 0] != []
    assert sum(s.joined == 1 for s in after.pool) == 9


def after_file(pool: list[Sample], index: int) -> str:
    return next(sample.file for sample in pool if sample.index == index)


def test_rows_of_a_new_file_join(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rng = np.random.RandomState(0)
    inputs, labels = rng.randn(40, 4), np.array(["digit0", "digit1", "digit2", ""] * 10)
    labels[20:] = ""

    def data(num: int, first: float = 0.0) -> NumpyFiles:
        changed = inputs[:num].copy()
        changed[0, 0] += first
        np.savez(tmp_path / f"{num}.npz", inputs=changed, targets=labels[:num])
        return NumpyFiles(str(tmp_path / f"{num}.npz"), classes=CLASSES, num_initial=3)

    fit(tmp_path, data(30))
    before = open_run(tmp_path)
    num = len(data(30).train_targets)
    with pytest.raises(InputError, match="samples were added, removed or renamed|training inputs of the run"):
        fit(tmp_path, data(40, first=1e-3))
    fit(tmp_path, data(40))
    assert "10 new samples joined the pool of" in capsys.readouterr().out
    after = open_run(tmp_path)
    assert after.asked == before.asked
    assert after.pool == [Sample(num + i, f"40.npz:{30 + i}", "", 1) for i in range(10)]
    fit(tmp_path, data(40))
    assert open_run(tmp_path).pool == after.pool
    fill_in(tmp_path, "digit1")  # the table has the name of the first file
    fit(tmp_path, data(40))
    assert [query.label for query in open_run(tmp_path).queries if query.round == 1] == [1, 1, 1]
    with pytest.raises(InputError, match="samples were added, removed or renamed"):
        fit(tmp_path, data(30))


def test_a_strategy_that_draws_sees_the_same_pool_again(run: Path) -> None:
    """The same data and the same answers give the same run, whether the growth was seen in one process or two."""
    add(run, 20, 50)
    answer(run)
    other = run / "other"
    other.mkdir()
    for name in ("run", "photos"):
        shutil.copytree(run / name, other / name)
    fit(run)
    fit(other)
    fit(other)
    assert [q.index for q in open_run(run).asked] == [q.index for q in open_run(other).asked]
