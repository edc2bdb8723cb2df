"""Labels that nobody asked for: of another run, and of suggested images."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from al_lightning.cli import main
from al_lightning.data.growth import file_digest
from al_lightning.labeling.suggested import note_suggested
from al_lightning.run_folder import RunFolder
from al_lightning.run_folder.tables import Sample, Waiting
from al_lightning.run_folder.waiting import labels_that_are_due
from tests.fitting.test_growing import CLASSES, add, answer, fit, open_run, run, waiting  # noqa: F401

POOL = [Sample(0, "a.png", "A", 0), Sample(1, "b.png", "B", 0, left=2), Sample(2, "c.png", "A", 1)]


@pytest.mark.parametrize(
    ("rows", "has_label", "due"),
    [
        ([Waiting(0, "a.png", "A", "cat")], [], {0: "cat"}),
        ([Waiting(0, "a.png", "A", "cat")], [0], {}),
        ([Waiting(None, "x.png", "A", "cat")], [], {0: "cat"}),
        ([Waiting(None, "x.png", "B", "cat"), Waiting(None, "y.png", "Y", "cat")], [], {}),
        ([Waiting(1, "b.png", "B", "cat")], [], {}),
        ([Waiting(0, "a.png", "of other content", "cat")], [], {}),
        ([Waiting(9, "", "", "cat")], [], {9: "cat"}),
        ([Waiting(0, "a.png", "A", "cat"), Waiting(None, "x.png", "A", "dog")], [], {0: "dog"}),
    ],
)
def test_labels_are_due_when_their_sample_is_there(
    rows: list[Waiting], has_label: list[int], due: dict[int, str]
) -> None:
    assert {index: row.label for index, row in labels_that_are_due(rows, POOL, has_label).items()} == due


def write(path: Path, rows: list[tuple[str, str]]) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label"), *rows])
    return str(path)


def label(*words: str) -> int:
    try:
        main(["label", *words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


# ----------------------------------------------------------------------------------------------------------- suggested


def test_labels_of_suggested_images_count_when_the_images_are_there(
    run: Path,  # noqa: F811
    capsys: pytest.CaptureFixture,
) -> None:
    names = add(run, 30, 50, into="other")
    note_suggested(run / "run", [f"other/{name}" for name in names[:3]])
    note_suggested(run / "run", [f"other/{name}" for name in names[2:4]])
    digits = [name.split("_")[0] for name in names]
    table = write(
        run / "s.csv", [(f"other/{names[0]}", digits[0]), (names[1], "skip"), (f"other/{names[5]}", "digit0")]
    )
    assert label("run", "--import", table) == 1
    said = capsys.readouterr()
    assert "2 labels of files that are not in photos yet" in said.out
    assert f"other/{names[5]} was not asked for" in said.err
    assert label("run", "--import", write(run / "s.csv", [(f"other/{names[0]}", digits[0])])) == 0
    assert "1 label waited already." in capsys.readouterr().out
    fit(run)
    ledger = open_run(run)
    assert [(row.index, row.digest) for row in ledger.waiting] == [
        (None, file_digest(run / "other" / name)) for name in names[:2]
    ]
    shutil.copy(run / "other" / names[0], run / "photos" / "another name.png")
    fit(run)
    ledger = open_run(run)
    (joined,) = [sample for sample in ledger.pool if sample.joined == 1]
    assert joined.file == "another name.png"
    bought = ledger.queries[-1]
    assert (bought.index, bought.round, CLASSES[bought.label or 0]) == (joined.index, 1, digits[0])
    assert (ledger.answers[-1].index, ledger.answers[-1].label, ledger.answers[-1].kind) == (
        joined.index,
        digits[0],
        "known",
    )
    assert [row.file for row in ledger.waiting] == [names[1]]
    shutil.copy(run / "other" / names[1], run / "photos")
    fit(run)
    ledger = open_run(run)
    assert (ledger.queries[-1].label, ledger.waiting) == (-1, [])
    assert not (run / "run" / "waiting.csv").exists()
    answer(run)
    fit(run)
    assert open_run(run).rounds[-1].num_labeled == 4 + 3 + 1


def test_a_suggested_image_of_the_run_is_that_sample(run: Path, capsys: pytest.CaptureFixture) -> None:  # noqa: F811
    before = open_run(run)
    used = {query.index for query in (*before.queries, *before.asked)}
    free = next(sample for sample in before.pool if sample.index not in used)
    asked = before.asked[0]
    note_suggested(run / "run", [f"photos/{free.file}", asked.file])
    rows = [(f"photos/{free.file}", "digit1"), (asked.file, "digit2")]
    assert label("run", "--import", write(run / "s.csv", rows)) == 0
    said = capsys.readouterr().out
    assert "1 label of samples in the pool: the next fit trains on them." in said
    assert "Took 1 answer from" in said
    after = open_run(run)
    assert [(row.index, row.label) for row in after.waiting] == [(free.index, "digit1")]
    assert after.asked[0] == replace(asked, label=2)


# --------------------------------------------------------------------------------------------------------- another run


def second_run(folder: Path, **kwargs) -> Path:
    """A run in a folder of its own with the same images, which waits for its first answers."""
    other = folder / "second"
    other.mkdir()
    shutil.copytree(folder / "photos", other / "photos")
    (folder / "run").rename(folder / "first")
    fit(folder, **kwargs)
    return other


def test_a_run_gives_its_labels_to_another(run: Path, capsys: pytest.CaptureFixture) -> None:  # noqa: F811
    answer(run)
    first = open_run(run)
    moved = first.pool[first.queries[0].index].file
    (run / "photos" / "unlabeled").mkdir()
    (run / "photos" / moved).rename(run / "photos" / "unlabeled" / moved)
    lost = first.pool[first.queries[1].index]
    (run / "photos" / lost.file).rename(run / lost.file)
    second_run(run, seed=3)
    capsys.readouterr()
    assert label("run", "--from", "first") == 0
    said = capsys.readouterr().out
    assert "1 label of files that are not in photos yet" in said
    second = open_run(run)
    name_of = {sample.index: sample.file for sample in second.pool}
    first_names = {sample.index: sample.file for sample in first.pool}
    expected = {first_names[query.index]: CLASSES[query.label or 0] for query in first.queries}
    assert len(expected) == 7
    got = {Path(name_of[row.index]).name: row.label for row in second.waiting if row.index is not None}
    got |= {Path(q.file).name: CLASSES[q.label] for q in second.asked if q.label is not None}
    got |= {row.file: row.label for row in second.waiting if row.index is None}
    assert got == expected
    assert label("run", "--from", "first") == 0
    assert "waited already" in capsys.readouterr().out
    assert open_run(run).waiting == second.waiting
    shutil.move(run / lost.file, run / "photos")
    fit(run, seed=3)
    if open_run(run).asked:
        answer(run)
        fit(run, seed=3)
    final = open_run(run)
    assert final.waiting == []
    labeled = {Path(sample.file).name for sample in final.pool} & expected.keys()
    assert labeled == expected.keys()
    bought = {Path(next(s.file for s in final.pool if s.index == q.index)).name: q.label for q in final.queries}
    assert {name: CLASSES[bought[name] or 0] for name in expected} == expected


def test_another_image_of_the_same_name_gets_no_label(run: Path, capsys: pytest.CaptureFixture) -> None:  # noqa: F811
    first = open_run(run)
    changed, other = (first.pool[first.queries[i].index] for i in (0, 1))
    shutil.copy(run / "photos" / other.file, run / "photos" / changed.file)
    second_run(run, seed=3)
    label("run", "--from", "first")
    second = open_run(run)
    assert [row.file for row in second.waiting if row.index is None] == [changed.file]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--from", "nowhere"], "Expected `--from` to be the folder of a run, but there is no nowhere/commit.json"),
        (["--from", "run", "--import", "a.csv"], "Expected `--import` or `--from`, but got both"),
    ],
)
def test_what_is_no_run_is_refused(
    run: Path,  # noqa: F811
    capsys: pytest.CaptureFixture,
    words: list[str],
    says: str,
) -> None:
    assert label("run", *words) == 2
    assert says in capsys.readouterr().err


def test_a_kill_leaves_the_waiting_labels_as_they_were(run: Path) -> None:  # noqa: F811
    """After the commit but before the renames, and before the commit."""
    folder = RunFolder.edit(run / "run")
    first = [Waiting(None, "x.png", "X", "digit0")]
    folder.commit(asked=folder.asked, waiting=first)
    folder.close()
    before = {path.name: path.read_bytes() for path in (run / "run").iterdir() if path.is_file()}
    folder = RunFolder.edit(run / "run")
    folder.commit(asked=folder.asked, waiting=[])
    folder.close()
    after = {path.name: path.read_bytes() for path in (run / "run").iterdir() if path.is_file()}
    (run / "run" / "waiting.csv").write_bytes(before["waiting.csv"])  # a kill before it was deleted
    assert open_run(run).waiting == []
    assert not (run / "run" / "waiting.csv").exists()
    for name in before:
        (run / "run" / name).write_bytes(before[name])
    (run / "run" / "commit.json.new").write_bytes(after["commit.json"])
    assert open_run(run).waiting == first
