"""Reading runs: as they were written, of one moment, and what is none is refused by file."""

import json
import lzma
import threading
import time
from pathlib import Path

import pytest

from al_lightning.errors import InputError
from al_lightning.report.read_run import find_runs, has_no_round, read_run
from al_lightning.run_folder import Query, Round, RunFolder
from al_lightning.run_folder.files import copy_of, keep_copy
from tests.report.made_up_runs import learning_curve, settings, write_published_run, write_run, write_study
from tests.report.people_runs import write_people_run

ACCURACY = [0.7, 0.75, 0.8]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "runs", {"random": ({}, learning_curve())}, num_seeds=3, num_rounds=4)


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write_run(tmp_path / "bald" / "seed3", settings("BALD", 3, 2), ACCURACY, diagnostics={"x": [0.1, 0.2]})
    run = read_run(path)
    assert (run.arm, run.seed, run.num_rounds) == ("bald", 3, 3)
    assert run.rounds["test_acc"].tolist() == ACCURACY
    assert run.settings["loop.strategy"] == "al_lightning.BALD"
    assert "loop.num_rounds" not in run.settings
    assert len(run.queries) == 700
    assert run.queries["predicted"].isna().sum() == 500
    assert run.diagnostics["value"].tolist() == [0.1, 0.2]
    assert run.calibration["count"].sum() == 3 * sum(range(10, 160, 10))


def test_a_published_run_has_compressed_tables_and_no_commit(tmp_path: Path) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY)
    before = read_run(path)
    for name in ("queries.csv", "calibration.csv"):
        (path / f"{name}.xz").write_bytes(lzma.compress((path / name).read_bytes()))
        (path / name).unlink()
    (path / "commit.json").unlink()
    after = read_run(path)
    assert after.queries.equals(before.queries)
    assert after.calibration.equals(before.calibration)


def test_made_up_runs_without_a_commit_are_read_as_those_with_one(tmp_path: Path) -> None:
    given = settings("BALD", 3, 2)
    write_run(tmp_path / "a" / "seed3", given, ACCURACY, 0.5, {"x": [0.1]}, [9, 60_001])
    write_published_run(tmp_path / "b" / "seed3", given, ACCURACY, 0.5, {"x": [0.1]}, [9, 60_001])
    one, other = (read_run(tmp_path / arm / "seed3") for arm in "ab")
    assert one.settings == other.settings
    for table in ("rounds", "all_queries", "calibration", "diagnostics"):
        assert getattr(one, table).equals(getattr(other, table)), table


@pytest.mark.parametrize("content", [b"", b"round,bin", lzma.compress(b"round,bin" * 9)[:-5]])
def test_a_compressed_table_that_is_torn_is_named(tmp_path: Path, content: bytes) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY)
    (path / "commit.json").unlink()
    (path / "calibration.csv").unlink()
    (path / "calibration.csv.xz").write_bytes(content)
    with pytest.raises(InputError, match=r"calibration.csv.xz to be a file of a run, but it cannot be read"):
        read_run(path)


def test_the_same_folder_given_twice_is_read_once(study: Path) -> None:
    assert len(find_runs([study, study / "random"])) == 3


def test_empty_and_missing_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder .*nothing"):
        find_runs([tmp_path / "nothing"])
    with pytest.raises(InputError, match="Expected runs in .*, but found no rounds.csv"):
        find_runs([tmp_path])


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("rounds.csv", "a,b\n1,2\n", "the column `round` in .*rounds.csv, but it has a, b"),
        ("config.yaml", "- 1\n", "config.yaml to have the settings of a run"),
        ("config.yaml", "a: [", "config.yaml to have the settings of a run"),
        ("queries.csv", "", "queries.csv to be a table of a run"),
        ("queries.csv", "\xff\xfe", "queries.csv"),
    ],
)
def test_foreign_files_are_named(tmp_path: Path, name: str, content: str, sentence: str) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY)
    (path / "commit.json").unlink()
    (path / name).write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=sentence):
        read_run(path)


def test_an_edited_file_is_refused(tmp_path: Path) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY)
    rounds = path / "rounds.csv"
    rounds.write_text(rounds.read_text().replace("0.8,", "0.9,"))
    with pytest.raises(InputError, match="as they were committed, but one was edited or is torn"):
        read_run(path)
    assert "sha256" in json.loads((path / "commit.json").read_text())


def test_a_commit_that_was_cut_off_is_read_as_it_will_be(tmp_path: Path) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY[:2])
    old = {name: (path / name).read_bytes() for name in ("rounds.csv", "queries.csv")}
    whole = write_run(tmp_path / "other" / "seed0", settings(), ACCURACY)
    for name in ("rounds.csv", "queries.csv", "calibration.csv", "commit.json"):
        (path / name).write_bytes((whole / name).read_bytes())
    for name, content in old.items():  # what a kill leaves just after the rename of commit.json
        (path / name).rename(path / f"{name}.new")
        (path / name).write_bytes(content)
    assert len(read_run(path).rounds) == 3
    assert len(read_run(path).queries) == 700
    (path / "rounds.csv.new").unlink()
    with pytest.raises(InputError, match="as they were committed, but one was edited or is torn"):
        read_run(path)


def test_a_first_commit_that_was_cut_off_is_found_and_read(tmp_path: Path) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY)
    whole = read_run(path)
    for file in [*path.glob("*.csv"), path / "config.yaml"]:
        file.rename(path / f"{file.name}.new")
    assert find_runs([tmp_path]) == [path]
    assert not has_no_round(path)
    assert read_run(path).rounds.equals(whole.rounds)
    (path / "rounds.csv").write_text("round,num_labeled\n")  # of the initial set alone
    assert not has_no_round(path)
    assert read_run(path).rounds.equals(whole.rounds)


def test_a_run_can_be_read_while_it_commits(tmp_path: Path) -> None:
    """Every reading is of one moment: as many queries as the rounds have asked for."""
    given = settings()
    path = write_run(tmp_path / "random" / "seed0", given, ACCURACY)
    folder = RunFolder.open(path, given)
    template = folder.rounds[-1]
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            last = len(folder.rounds)
            row = Round(**{**vars(template), "round": last, "num_labeled": 500 + 100 * last})
            folder.commit([row], [Query(last, i, 10_000_000 + 100 * last + i, 1, None) for i in range(100)])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        seen = [read_run(path)]
        deadline = time.monotonic() + 30
        while len(seen[-1].rounds) < len(ACCURACY) + 10 and time.monotonic() < deadline:
            seen.append(read_run(path))
    finally:
        stop.set()
        thread.join()
        folder.close()
    assert all(len(run.queries) == 500 + 100 * (len(run.rounds) - 1) for run in seen)
    assert len(seen[-1].rounds) > len(seen[0].rounds)


@pytest.mark.parametrize(
    ("name", "old", "new", "sentence"),
    [
        ("rounds.csv", "0.75,", "much,", "numbers in the column `test_acc` of .*rounds.csv"),
        ("rounds.csv", "0.75,", "nan,", "test accuracies from 0 to 1 in .*rounds.csv, but one is not"),
        ("rounds.csv", "0.75,", "75.0,", "test accuracies from 0 to 1 in .*rounds.csv, but one is not"),
        ("rounds.csv", "1,600,", "1,400,", "more labels in each round of .*rounds.csv"),
        ("rounds.csv", "1,600,", "1,600.5,", "more labels in each round of .*rounds.csv"),
        ("rounds.csv", "\n1,600,", "\n7,600,", "rounds 0 to 2 in .*rounds.csv, but one is missing or out of place"),
        ("rounds.csv", "\n0,500,", "\n,500,", "rounds 0 to 2 in .*rounds.csv"),
        ("rounds.csv", ",0.125\n", ",\n", "seconds from 0 on in .*rounds.csv, but a value is missing"),
        ("rounds.csv", ",0.125\n", ",-1\n", "seconds from 0 on in .*rounds.csv, but a value is .*negative"),
        ("rounds.csv", ",0.125\n", ",0.125,8\n", "rounds.csv to be a table of a run, but it cannot be read: Length"),
        ("rounds.csv", ",0.125\n2", ",0.125,8\n2", "rounds.csv to be a table of a run, but .* Expected 13 fields"),
        ("calibration.csv", "0,0,10,", "0,0,ten,", "numbers in the column `count` of .*calibration.csv"),
        ("diagnostics.csv", "0,gain,", "0,,", "a `name` in each row of .*diagnostics.csv"),
        ("queries.csv", "\n0,1,", "\n0.5,1,", "whole numbers in the column `round` of .*queries.csv"),
        ("queries.csv", "\n0,1,", "\n2,1,", "rounds in .*queries.csv that ascend from 0 to 3 at most"),
        ("queries.csv", "\n2,99,", "\n9,99,", "rounds in .*queries.csv that ascend from 0 to 3 at most"),
        ("config.yaml", "query_size: 100", "query_size: 0", "config.yaml to have the settings of a run"),
        ("config.yaml", "query_size: 100", "query_size: null", "config.yaml to have the settings of a run"),
        ("config.yaml", "loop:", "7: 8\nloop:", "config.yaml to have the settings of a run"),
    ],
)
def test_values_that_are_none_are_named(tmp_path: Path, name: str, old: str, new: str, sentence: str) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY, diagnostics={"gain": [0.5]})
    (path / "commit.json").unlink()
    text = (path / name).read_text()
    assert old in text
    (path / name).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=sentence):
        read_run(path)


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        (2, "", "whole numbers in the column `index` of .*queries.csv"),
        (2, "-3", "indices in .*queries.csv from 0 on, each once, but one is negative or there twice"),
        (2, "the next", "indices in .*queries.csv from 0 on, each once, but one is negative or there twice"),
        (3, "-2", "labels in .*queries.csv from -1, none, to 99999"),
        (3, "1000000000", "labels in .*queries.csv from -1, none, to 99999"),
    ],
)
def test_queries_that_are_none_are_named(tmp_path: Path, column: int, value: str, sentence: str) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY)
    (path / "commit.json").unlink()
    lines = [line.split(",") for line in (path / "queries.csv").read_text().splitlines()]
    lines[1][column] = lines[2][column] if value == "the next" else value
    (path / "queries.csv").write_text("\n".join(map(",".join, lines)))
    with pytest.raises(InputError, match=sentence):
        read_run(path)


def test_labels_that_a_labeler_skipped_are_left_out(tmp_path: Path) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY)
    (path / "commit.json").unlink()
    lines = [line.split(",") for line in (path / "queries.csv").read_text().splitlines()]
    lines[550][3] = "-1"
    (path / "queries.csv").write_text("\n".join(map(",".join, lines)))
    assert int(lines[550][2]) not in read_run(path).queries["index"].tolist()
    assert len(read_run(path).queries) == 699
    assert read_run(path).all_queries["label"].tolist()[549] == -1


def test_names_of_figures_may_be_numbers(tmp_path: Path) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY, diagnostics={"7": [0.5]})
    assert read_run(path).diagnostics["name"].tolist() == ["7"]


@pytest.mark.parametrize("rest", ["", "\n", "\n\n"])
def test_a_head_alone_is_no_round(tmp_path: Path, rest: str) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY)
    (path / "commit.json").unlink()
    (path / "rounds.csv").write_text((path / "rounds.csv").read_text().splitlines()[0] + rest)
    assert has_no_round(path)
    with pytest.raises(InputError, match=r"a finished round in .*, but its rounds.csv has none yet"):
        read_run(path)


@pytest.mark.parametrize("sha256", [3, [1], "x", None])
def test_a_commit_that_is_none_is_refused(tmp_path: Path, sha256: object) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY)
    (path / "commit.json").write_text(json.dumps({"sha256": sha256}))
    with pytest.raises(InputError, match="as they were committed"):
        read_run(path)


def test_a_comma_after_each_row_is_no_column(tmp_path: Path) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY)
    before = read_run(path)
    (path / "commit.json").unlink()
    head, *rows = (path / "rounds.csv").read_text().splitlines()
    (path / "rounds.csv").write_text("\n".join([head, *(f"{row}," for row in rows)]))
    assert read_run(path).rounds.equals(before.rounds)


def test_accuracies_may_be_missing_in_all_rounds_but_not_in_some(tmp_path: Path) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), [float("nan")] * 3)
    assert read_run(path).rounds["test_acc"].isna().all()
    other = write_run(tmp_path / "random" / "seed1", settings(seed=1), [0.7, float("nan"), 0.8])
    with pytest.raises(InputError, match="test accuracies from 0 to 1 in .*rounds.csv, but one is not"):
        read_run(other)


def test_what_people_have_not_settled_yet_is_read_with_the_commit(tmp_path: Path) -> None:
    path = write_people_run(tmp_path / "photos", num_open=2, num_partly=1)
    run = read_run(path)
    assert run.asked["label"].isna().tolist() == [False, True, True]
    assert run.class_names == ("kühl", "hot dog", "two")
    assert run.made_with == ({"from_round": 0, "torch": "9.9"},)
    assert run.is_of_people
    (path / "asked.csv").write_text("saved in a spreadsheet by accident")
    assert read_run(path).asked.equals(run.asked)  # of the copy that the run keeps
    copy_of(path / "asked.csv").unlink()
    with pytest.raises(InputError, match="as they were committed, but one was edited or is torn"):
        read_run(path)


def test_a_run_that_asks_nobody_has_no_questions_even_if_an_old_file_lies_there(tmp_path: Path) -> None:
    path = write_run(tmp_path / "random" / "seed0", settings(), ACCURACY)
    (path / "asked.csv").write_text("left over")
    assert read_run(path).asked.empty
    assert not read_run(path).is_of_people


def test_copies_of_the_tables_of_a_run_are_no_run(tmp_path: Path) -> None:
    """A run of people keeps copies of its tables, in case that somebody saves one of them by accident."""
    path = write_run(tmp_path / ".runs" / "photos", settings(), ACCURACY)
    keep_copy(path / "rounds.csv", (path / "rounds.csv").read_text())
    assert find_runs([path]) == find_runs([tmp_path / ".runs"]) == [path]
