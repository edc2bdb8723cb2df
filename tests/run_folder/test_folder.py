"""RunFolder: atomic commits, recovery, refusal of files that were not committed."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from concurrent import futures
from dataclasses import replace
from pathlib import Path

import pytest

from al_lightning.errors import InputError
from al_lightning.run_folder import (
    CalibrationBin,
    Diagnostic,
    Query,
    Round,
    RunFolder,
    flatten,
    folder as run_folder,
    read_rounds,
)
from al_lightning.run_folder.tables import Answered, Sample, Waiting

SETTINGS = {"seed_everything": 0, "loop": {"query_size": 2, "num_rounds": 5, "run_dir": None}}
INITIAL = [Query(0, 0, 7, 3, None), Query(0, 1, 2, 1, None)]
FIRST = Round(0, 2, 0.1, 2.5, 0.9, 0.25, 1.0, 12, True, 0.5, 0.125, 0.0, 0.25)
BOUGHT = [Query(1, 0, 9, 4, 0.1, 4, 0.75), Query(1, 1, 11, 0, 1 / 3)]
FILES = ("config.yaml", "rounds.csv", "queries.csv", "calibration.csv", "diagnostics.csv")
BINS = [CalibrationBin(0, 3, 2, 0.25, 0.5), CalibrationBin(0, 14, 7, 0.99, 1.0)]
DIAGNOSTICS = [Diagnostic(0, "bald_top_overlap", 0.34)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A run folder with one round committed."""
    folder = RunFolder.open(tmp_path / "run", SETTINGS)
    folder.commit(queries=INITIAL)
    folder.commit([FIRST], BOUGHT, BINS, DIAGNOSTICS)
    folder.close()
    return folder.path


def reopened(path: Path, settings: dict = SETTINGS) -> RunFolder:
    folder = RunFolder.open(path, settings)
    folder.close()
    return folder


def test_committed_rows_are_read_back_to_the_same_bits(path: Path) -> None:
    folder = reopened(path)
    assert folder.rounds == [FIRST]
    assert folder.queries == INITIAL + BOUGHT
    assert folder.calibration == BINS
    assert folder.diagnostics == DIAGNOSTICS
    assert folder.next_round == 1


def test_a_last_round_that_is_reopened_loses_its_rows_in_all_tables(path: Path) -> None:
    folder = RunFolder.open(path, SETTINGS)
    folder.commit([replace(FIRST, round=1)], [], [CalibrationBin(1, 0, 1, 0.1, 0.0)], [Diagnostic(1, "x", 0.0)])
    folder.reopen_last_round()
    assert (folder.rounds, folder.calibration, folder.diagnostics) == ([FIRST], BINS, DIAGNOSTICS)
    folder.close()


def test_answers_are_added_and_the_pool_is_replaced(path: Path) -> None:
    answers = [Answered(1, 9, "b, c.png", "é", "answer", "ann@x.org", "2026-11-29T19:00:00+00:00")]
    pool = [Sample(0, "a.png", "12", 0), Sample(1, "ü.png", "34", 0, left=2)]
    folder = RunFolder.edit(path)
    folder.commit(answers=answers, pool=pool)
    folder.commit(answers=[replace(answers[0], kind="correction", label="skip")])
    folder.close()
    again = RunFolder.peek(path, SETTINGS)
    assert (again.answers, again.pool) == (reopened(path).answers, reopened(path).pool)
    assert again.answers == [*answers, replace(answers[0], kind="correction", label="skip")]
    assert again.pool == pool


def test_a_kill_before_the_commit_leaves_no_half_ledger(path: Path) -> None:
    for name in ("answers.csv.new", "pool.csv.new"):
        (path / name).write_text("torn")
    assert reopened(path).answers == []
    assert not list(path.glob("*.new"))


def test_an_edited_pool_is_refused(path: Path) -> None:
    folder = RunFolder.edit(path)
    folder.commit(pool=[Sample(0, "a.png", "12", 0)])
    folder.close()
    (path / "pool.csv").write_text("")
    with pytest.raises(InputError, match=r"Expected .*pool.csv as it was committed"):
        RunFolder.edit(path)


def test_a_run_of_version_0_1_has_fewer_tables_and_columns(path: Path) -> None:
    queries = path / "queries.csv"
    queries.write_text("".join(",".join(line.split(",")[:5]) + "\n" for line in queries.read_text().splitlines()))
    for name in ("calibration.csv", "diagnostics.csv"):
        (path / name).unlink()
    state = json.loads((path / "commit.json").read_text())
    state["sha256"] = {name: state["sha256"][name] for name in ("config.yaml", "rounds.csv", "queries.csv")}
    state["sha256"]["queries.csv"] = hashlib.sha256(queries.read_bytes()).hexdigest()
    (path / "commit.json").write_text(json.dumps(state))
    folder = reopened(path)
    assert folder.queries == [replace(query, predicted=None, confidence=None) for query in INITIAL + BOUGHT]
    assert folder.calibration == folder.diagnostics == []


def test_columns_are_those_that_readers_rely_on(path: Path) -> None:
    assert (path / "rounds.csv").read_text().splitlines()[0] == (
        "round,num_labeled,test_acc,test_nll,test_brier,test_ece,train_acc,epochs,converged,"
        "seconds_fit,seconds_score,seconds_select,seconds_test"
    )
    assert (path / "queries.csv").read_text().splitlines() == [
        "round,order,index,label,score,predicted,confidence",
        "0,0,7,3,,,",
        "0,1,2,1,,,",
        "1,0,9,4,0.1,4,0.75",
        "1,1,11,0,0.3333333333333333,,",
    ]


def test_an_empty_or_new_folder_begins_a_run(tmp_path: Path) -> None:
    assert reopened(tmp_path).queries == []
    assert reopened(tmp_path / "a" / "b").queries == []


class Killed(BaseException):
    """Stands for the end of the process between two system calls."""


def calls_of_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Number of times a commit calls the file system."""
    return interrupted_commit(tmp_path / "count", monkeypatch, stop_at=None)


def interrupted_commit(path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int | None) -> int:
    """Commits one round, dying before the ``stop_at``-th call to the file system; returns how many there were."""
    folder = RunFolder.open(path, SETTINGS)
    folder.commit(queries=INITIAL)
    count = 0

    def counting(function):
        def wrapped(*args, **kwargs):
            nonlocal count
            if stop_at is not None and count >= stop_at:
                raise Killed
            count += 1
            return function(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "write_synced", counting(run_folder.write_synced))
        patch.setattr(run_folder.os, "replace", counting(os.replace))
        try:
            folder.commit([FIRST], BOUGHT)
        except Killed:
            pass
        finally:
            folder.close()
    return count


def test_a_kill_at_any_moment_of_a_commit_leaves_all_of_it_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = calls_of_a_commit(tmp_path, monkeypatch)
    assert total == 12  # five files and commit.json, each written and renamed
    outcomes = []
    for stop_at in range(total):
        path = tmp_path / str(stop_at)
        interrupted_commit(path, monkeypatch, stop_at)
        seen = RunFolder.peek(path, SETTINGS)  # who only looks finishes nothing, and sees what there will be
        folder = reopened(path)
        assert (seen.rounds, seen.queries) == (folder.rounds, folder.queries)
        assert (folder.rounds, folder.queries) in [([], []), ([FIRST], INITIAL + BOUGHT)]
        assert {file.name for file in path.iterdir()} <= {*FILES, "commit.json", ".lock"}
        outcomes.append(len(folder.rounds))
    assert outcomes == [0] * 7 + [1] * 5  # committed from the rename of commit.json on


@pytest.mark.parametrize("stop_at", range(12))
def test_a_kill_during_the_first_commit_leaves_a_run_or_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    calls = iter(range(100))

    def dying(function):
        def wrapped(*args, **kwargs):
            if next(calls) >= stop_at:
                raise Killed
            return function(*args, **kwargs)

        return wrapped

    folder = RunFolder.open(tmp_path, SETTINGS)
    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "write_synced", dying(run_folder.write_synced))
        patch.setattr(run_folder.os, "replace", dying(os.replace))
        with pytest.raises(Killed):
            folder.commit(queries=INITIAL)
    folder.close()
    assert (tmp_path / "commit.json").exists() == (stop_at >= 7)
    begun_again = RunFolder.open(tmp_path, SETTINGS)
    begun_again.commit(queries=INITIAL)
    begun_again.commit([FIRST], BOUGHT)
    begun_again.close()
    assert reopened(tmp_path).queries == INITIAL + BOUGHT


@pytest.mark.parametrize("name", [*FILES, "commit.json"])
def test_a_missing_file_is_named(path: Path, name: str) -> None:
    (path / name).unlink()
    with pytest.raises(InputError, match=name):
        reopened(path)


@pytest.mark.parametrize("name", [*FILES, "commit.json"])
@pytest.mark.parametrize("damage", ["torn", "edited", "appended", "empty"])
def test_a_torn_or_edited_file_is_named(path: Path, name: str, damage: str) -> None:
    text = (path / name).read_text()
    damaged = {
        "torn": text[:-4],
        "edited": text.replace("0", "1"),
        "appended": text + "1,2,3\n",
        "empty": "",
    }[damage]
    (path / name).write_text(damaged)
    # an edit of commit.json is seen in the file whose checksum no longer fits
    with pytest.raises(InputError, match=r"commit.json|config.yaml" if name == "commit.json" else name):
        reopened(path)


def test_a_full_disk_leaves_the_round_before_and_gives_back_the_space(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.open(path, SETTINGS)
    write = run_folder.write_synced

    def full(path: Path, text: str) -> None:
        if path.name == "queries.csv.new":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "write_synced", full)
        with pytest.raises(InputError, match="disk is full; the 1 rounds before it are safe"):
            folder.commit([replace(FIRST, round=1)], [])
    folder.close()
    assert not list(path.glob("*.new"))
    assert reopened(path).rounds == [FIRST]


def test_other_settings_are_refused_with_their_names(path: Path) -> None:
    other = {"seed_everything": 1, "loop": {"query_size": 3, "num_rounds": 5, "run_dir": None}}
    with pytest.raises(
        InputError, match=r"`loop.query_size` \(2 there, 3 here\), `seed_everything` \(0 there, 1 here\)"
    ):
        reopened(path, other)
    with pytest.raises(InputError, match=r"`loop.new` \(None there, 1 here\)"):
        reopened(path, {**SETTINGS, "loop": {**SETTINGS["loop"], "new": 1}})


def test_a_run_that_never_finished_a_round_may_begin_again_with_other_settings(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path, {**SETTINGS, "seed_everything": 9})
    folder.commit(queries=INITIAL)
    folder.close()
    assert reopened(tmp_path).queries == []


def test_a_class_of_ours_is_the_same_by_any_of_its_names(tmp_path: Path) -> None:
    for name in ("al_lightning.Margin", "al_lightning.strategies.Margin", "al_lightning.strategies.margin.Margin"):
        folder = RunFolder.open(tmp_path, {"strategy": {"class_path": name}})
        folder.commit([FIRST], INITIAL)
        folder.close()
    with pytest.raises(InputError, match="`strategy`"):
        RunFolder.open(tmp_path, {"strategy": {"class_path": "mine.Margin"}})


def test_settings_that_do_not_change_a_round_may_differ(path: Path) -> None:
    other = {"seed_everything": 0, "loop": {"query_size": 2, "num_rounds": 9, "run_dir": str(path)}}
    assert reopened(path, other).rounds == [FIRST]


def test_a_run_from_before_a_setting_goes_on_as_it_was_done_then(path: Path) -> None:
    as_then = {**SETTINGS, "loop": {**SETTINGS["loop"], "reinit": "scratch", "oracle": None}}
    assert reopened(path, as_then).rounds == [FIRST]
    with pytest.raises(InputError, match=r"`loop.reinit` \(scratch there, warm here\)"):
        reopened(path, {**SETTINGS, "loop": {**SETTINGS["loop"], "reinit": "warm"}})


def test_a_second_process_is_refused(path: Path) -> None:
    folder = RunFolder.open(path, SETTINGS)
    code = "import pathlib, sys; from al_lightning.run_folder import *; RunFolder.open(pathlib.Path(sys.argv[1]), {})"
    second = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    folder.close()
    assert "another process is using it" in second.stderr
    assert reopened(path).rounds == [FIRST]


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match=str(tmp_path / "run")):
        RunFolder.open(tmp_path / "run", SETTINGS)


def test_a_folder_with_a_foreign_file_of_the_same_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine: 1\n")
    with pytest.raises(InputError, match="commit.json"):
        RunFolder.open(tmp_path, SETTINGS)
    assert (tmp_path / "config.yaml").read_text() == "mine: 1\n"


def test_commit_json_counts_the_rounds(path: Path) -> None:
    assert json.loads((path / "commit.json").read_text())["rounds"] == 1


def committed_with(path: Path, versions: dict[str, str] | None, reopen: bool = False) -> str | None:
    """Commits one more round, or the last round again; returns the earlier changes."""
    folder = RunFolder.open(path, SETTINGS, versions=versions)
    if reopen:
        folder.reopen_last_round()
    changed = folder.changed_versions
    folder.commit([replace(FIRST, round=len(folder.rounds))])
    folder.close()
    return changed


def test_a_run_says_what_its_rounds_were_made_with(path: Path) -> None:
    old, new = {"torch": "2.13", "hardware": "cpu AVX2"}, {"torch": "2.14", "hardware": "cpu AVX2"}
    assert committed_with(path, old) is None  # round 0 was made with something unknown
    assert committed_with(path, old) is None
    assert committed_with(path, new) == "torch (2.13 there, 2.14 here)"
    assert committed_with(path, new) is None
    assert committed_with(path, None) is None
    assert json.loads((path / "commit.json").read_text())["made_with"] == [
        {"from_round": 1, **old},
        {"from_round": 3, **new},
    ]
    assert len(reopened(path).rounds) == 6


def test_a_round_that_is_made_again_was_made_with_the_later_versions(path: Path) -> None:
    old, new = {"torch": "2.13"}, {"torch": "2.14"}
    committed_with(path, old)
    assert committed_with(path, new, reopen=True) == "torch (2.13 there, 2.14 here)"
    assert json.loads((path / "commit.json").read_text())["made_with"] == [{"from_round": 1, **new}]


def test_reopening_the_last_round_forgets_only_a_row_without_labels(path: Path) -> None:
    folder = RunFolder.open(path, SETTINGS)
    folder.commit([replace(FIRST, round=1)])
    folder.reopen_last_round()
    folder.close()
    assert folder.rounds == [FIRST]


def test_flatten_names_settings_as_on_the_command_line() -> None:
    settings = {"data": {"class_path": "A", "init_args": {"root": "x", "empty": {}}}, "list": [1]}
    assert flatten(settings) == {"data": "A", "data.root": "x", "data.empty": {}, "list": [1]}
    assert flatten({"strategy": {"class_path": "Margin", "init_args": {}}}) == {"strategy": "Margin"}


@pytest.mark.parametrize("content", ['{"sha256": {}, "data": null}', '{"sha256": null}', "[]", '{"sha256": {}}', "\0"])
def test_who_looks_takes_what_is_no_commit_for_none(path: Path, content: str) -> None:
    (path / "commit.json").write_text(content)
    seen = RunFolder.peek(path, SETTINGS)
    assert (seen.rounds, seen.identity) == ([], {})


@pytest.mark.parametrize("content", ["round,num_labeled\n0,", 'round\n"' + "x" * 200_000, "round\n\0\n"])
def test_rounds_that_are_none_are_not_counted(tmp_path: Path, content: str) -> None:
    (tmp_path / "rounds.csv").write_text(content)
    assert read_rounds(tmp_path) == []


def test_names_of_files_come_back_whatever_they_are(tmp_path: Path) -> None:
    """A carriage return in the name of one photo made the tables unreadable, and the run with them."""
    names = ["a\rb.png", "c\r\nd.png", "e\nf.png", "ü,;\"'.png"]
    pool = [Sample(index, name, "digest", 0) for index, name in enumerate(names)]
    asked = [Query(0, index, index, None, file=f"photos/{name}") for index, name in enumerate(names)]
    answers = [Answered(0, index, name, "cat", "answer") for index, name in enumerate(names)]
    folder = RunFolder.open(tmp_path / "run", {**SETTINGS, "loop": {**SETTINGS["loop"], "oracle": "FileOracle"}})
    folder.commit(asked=asked, answers=answers, pool=pool)
    folder.close()
    for _ in range(2):  # a commit without a new pool keeps the old one
        folder = RunFolder.edit(tmp_path / "run")
        folder.commit(asked=folder.asked)
        folder.close()
        assert (folder.pool, folder.asked, folder.answers) == (pool, asked, answers)


@pytest.mark.parametrize("name", ["rounds.csv", "queries.csv", "asked.csv", "answers.csv", "pool.csv", "waiting.csv"])
def test_a_table_that_somebody_saved_in_a_spreadsheet_stops_no_run_with_people(tmp_path: Path, name: str) -> None:
    oracle = {**SETTINGS, "loop": {**SETTINGS["loop"], "oracle": "FileOracle"}}
    folder = RunFolder.open(tmp_path / "run", oracle)
    pool, waiting = [Sample(0, "a.png", "A", 0)], [Waiting(None, "b.png", "B", "cat")]
    asked, answers = [Query(1, 0, 3, None, file="c.png")], [Answered(0, 7, "d.png", "cat", "known")]
    folder.commit([FIRST], INITIAL, asked=asked, answers=answers, pool=pool, waiting=waiting)
    folder.commit(asked=asked)
    folder.close()
    table = folder.path / name
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b",", b";").replace(b"\n", b"\r\n"))
    edited = table.read_bytes()
    again = RunFolder.edit(folder.path)
    again.close()
    assert (again.rounds, again.queries, again.asked) == ([FIRST], INITIAL, asked)
    assert (again.answers, again.pool, again.waiting) == (answers, pool, waiting)
    assert table.with_name(f"{table.stem}.old.csv").read_bytes() == edited


def test_an_edit_waits_for_a_short_look_of_another_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = RunFolder.edit(path)
    with futures.ThreadPoolExecutor() as other:
        edit = other.submit(lambda: RunFolder.edit(path).close())
        with pytest.raises(futures.TimeoutError):
            edit.result(0.3)
        look.close()
        edit.result()
    monkeypatch.setattr(run_folder, "PATIENCE", 0.0)
    look = RunFolder.edit(path)
    with pytest.raises(InputError, match="another process is using it"):
        RunFolder.edit(path)
    look.close()
