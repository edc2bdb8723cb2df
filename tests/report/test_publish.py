"""scripts/publish.py and scripts/restore.py: a published run can be reported, and can go on."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from al_lightning.cli import main
from al_lightning.errors import InputError
from al_lightning.report.read_run import read_run
from al_lightning.run_folder import RunFolder
from scripts import publish, restore
from tests.report.made_up_runs import settings, write_run

DIGITS = ["--data", "tests.digits.FlatDigits", "--data.num_initial", "50", "--model", "tests.digits.DigitsMLP"]
ACCURACY = [0.7, 0.75, 0.8]
DATA = {"samples": "1d2e", "classes": ["a", "b"]}
MADE_WITH = [{"from_round": 0, "torch": "2.8"}, {"from_round": 2, "torch": "2.9"}]


def fit(run_dir: Path, num_rounds: int, *flags: str) -> None:
    common = ["--loop.strategy", "BADGE", "--loop.query_size", "10", "--trainer.max_epochs", "2", *flags]
    main(["fit", *DIGITS, *common, "--loop.num_rounds", str(num_rounds), "--loop.run_dir", str(run_dir)])


def planted(path: Path, accuracy: list[float] = ACCURACY, **known: Any) -> Path:
    """A run with a diagnostic and a further metric. ``known`` is added to its commit.json."""
    seed = int(path.name.removeprefix("seed"))
    metrics = {"test_macro_f1": [None, *accuracy[1:]]}
    write_run(path, settings(seed=seed), accuracy, diagnostics={"gain": [0.5]}, metrics=metrics)
    state = json.loads((path / "commit.json").read_text())
    (path / "commit.json").write_text(json.dumps(state | known))
    return path


def skip(path: Path, row: int) -> int:
    """Makes a label of a run one that the labeler skipped; returns its index."""
    folder = RunFolder.edit(path)
    folder.queries[row] = replace(folder.queries[row], label=-1)
    folder.commit()
    folder.close()
    return folder.queries[row].index


def published(*args: Path, out: Path) -> Path:
    publish.main([*map(str, args), "--out", str(out)])
    return out


def restored(*args: Path | str, out: Path) -> Path:
    restore.main([*map(str, args), "--out", str(out)])
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def tables(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(folder).items() if name.endswith((".csv", ".yaml", ".json"))}


def commit(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((path / "commit.json").read_text())
    return state


def rows(path: Path, *left_out: str) -> list[dict[str, str]]:
    with path.open() as file:
        return [{name: value for name, value in row.items() if name not in left_out} for row in csv.DictReader(file)]


def is_refused(call: Any, capsys: pytest.CaptureFixture[str]) -> str:
    """What a call says when it ends with code 2: one sentence."""
    with pytest.raises(SystemExit) as exit:
        call()
    assert exit.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three queries that was never interrupted."""
    path = tmp_path_factory.mktemp("whole") / "badge" / "seed0"
    fit(path, 3)
    return path


def test_a_published_run_is_read_and_goes_on_to_the_same_bits(tmp_path: Path, whole: Path) -> None:
    fit(tmp_path / "runs" / "badge" / "seed0", 1)
    place = published(tmp_path / "runs", out=tmp_path / "results") / "badge" / "seed0"
    assert str(tmp_path) not in (place / "config.yaml").read_text()
    run = read_run(place)
    assert (run.arm, run.seed, len(run.rounds), len(run.queries)) == ("badge", 0, 2, 60)

    again = restored(place, out=tmp_path / "again") / "badge" / "seed0"
    before = commit(tmp_path / "runs" / "badge" / "seed0")
    assert before["data"]
    assert before["made_with"]
    assert (commit(again)["data"], commit(again)["made_with"]) == (before["data"], before["made_with"])
    fit(again, 3)
    seconds = ("seconds_fit", "seconds_score", "seconds_select", "seconds_test")
    assert rows(again / "rounds.csv", *seconds) == rows(whole / "rounds.csv", *seconds)
    about = ("score", "confidence")  # not published, or rounded
    assert rows(again / "queries.csv", *about) == rows(whole / "queries.csv", *about)
    assert commit(again)["made_with"] == commit(whole)["made_with"]


def test_the_first_rounds_of_a_run_are_restored_and_go_on_to_the_same_bits(tmp_path: Path, whole: Path) -> None:
    out = published(whole, out=tmp_path / "results")
    again = restored(out, "--rounds", "2", out=tmp_path / "again") / "badge" / "seed0"
    assert rows(again / "queries.csv") != rows(whole / "queries.csv")
    fit(again, 3)
    seconds = ("seconds_fit", "seconds_score", "seconds_select", "seconds_test")
    rounded = ("score", "confidence", "accuracy")  # or not published
    for name, left_out in ("rounds.csv", seconds), ("queries.csv", rounded), ("calibration.csv", rounded):
        assert rows(again / name, *left_out) == rows(whole / name, *left_out), name


def test_the_first_rounds_have_what_was_known_after_them(tmp_path: Path) -> None:
    planted(tmp_path / "runs" / "random" / "seed0", data=DATA, made_with=MADE_WITH)
    out = published(tmp_path / "runs", out=tmp_path / "results")
    path = restored(out, "--rounds", "2", out=tmp_path / "again") / "random" / "seed0"
    run = read_run(path)
    assert run.rounds["test_acc"].tolist() == ACCURACY[:2]
    assert run.queries["round"].max() == 2
    assert run.calibration["round"].max() == 1
    assert commit(path)["made_with"] == MADE_WITH[:1]


@pytest.mark.parametrize("number", ["0", "4", "-1"])
def test_rounds_that_a_run_does_not_have_are_refused(
    tmp_path: Path, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    planted(tmp_path / "runs" / "random" / "seed0")
    out = published(tmp_path / "runs", out=tmp_path / "results")
    capsys.readouterr()
    said = is_refused(lambda: restored(out, "--rounds", number, out=tmp_path / "again"), capsys)
    assert f"Expected `--rounds` from 1 to the 3 of {out / 'random' / 'seed0'}, but got {number}." in said
    assert not (tmp_path / "again").exists()


# ------------------------------------------------------------------------------------------------------- what is known


def test_data_and_versions_are_published_and_held_against_a_restored_run(tmp_path: Path) -> None:
    planted(tmp_path / "runs" / "random" / "seed0", data=DATA, made_with=MADE_WITH)
    out = published(tmp_path / "runs", out=tmp_path / "results")
    assert json.loads((out / "random" / "seed0" / "origin.json").read_text()) == {"data": DATA, "made_with": MADE_WITH}
    path = restored(out, out=tmp_path / "again") / "random" / "seed0"
    with pytest.raises(InputError, match="Expected the data of the run in .*, but their samples changed"):
        RunFolder.open(path, settings(), DATA | {"samples": "others"})
    folder = RunFolder.open(path, settings(), DATA, {"torch": "2.10"})
    folder.close()
    assert folder.changed_versions == "torch (2.9 there, 2.10 here)"
    assert folder.made_with == MADE_WITH


def test_what_is_not_known_is_not_published(tmp_path: Path) -> None:
    """Runs published before there was an origin.json go on with any data."""
    planted(tmp_path / "runs" / "random" / "seed0")
    out = published(tmp_path / "runs", out=tmp_path / "results")
    names = ["calibration.csv.xz", "config.yaml", "diagnostics.csv.xz", "queries.csv.xz", "rounds.csv"]
    assert sorted(path.name for path in (out / "random" / "seed0").iterdir()) == names
    path = restored(out, out=tmp_path / "again") / "random" / "seed0"
    folder = RunFolder.open(path, settings(), DATA, {"torch": "2.10"})
    folder.close()
    assert folder.changed_versions is None


def test_a_restored_run_is_published_as_it_was(tmp_path: Path) -> None:
    skip(planted(tmp_path / "runs" / "random" / "seed0", data=DATA, made_with=MADE_WITH), 550)
    planted(tmp_path / "runs" / "random" / "seed1")
    out = published(tmp_path / "runs", out=tmp_path / "results")
    again = published(restored(out, out=tmp_path / "again"), out=tmp_path / "results2")
    assert contents(out) == contents(again)
    assert ",test_macro_f1\n0," in (out / "random" / "seed0" / "rounds.csv").read_text()
    assert contents(published(out, out=tmp_path / "results3")) == contents(out)


@pytest.mark.parametrize("text", ["[]", "{", '{"data": 3}', '{"made_with": [{}]}', '{"made_with": 5}'])
def test_an_origin_that_is_none_is_named_but_not_by_a_report(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    planted(tmp_path / "runs" / "random" / "seed0", data=DATA)
    out = published(tmp_path / "runs", out=tmp_path / "results")
    (out / "random" / "seed0" / "origin.json").write_text(text)
    said = is_refused(lambda: restored(out, out=tmp_path / "again"), capsys)
    assert "origin.json as it was written, but it was edited or is torn." in said
    assert len(read_run(out / "random" / "seed0").rounds) == 3


def test_samples_that_a_labeler_skipped_stay_out_of_the_pool(tmp_path: Path) -> None:
    path = planted(tmp_path / "runs" / "random" / "seed0")
    index = skip(path, 550)
    out = published(tmp_path / "runs", out=tmp_path / "results")
    assert index not in read_run(out / "random" / "seed0").queries["index"].tolist()
    again = restored(out, out=tmp_path / "again") / "random" / "seed0"
    assert rows(again / "queries.csv") == rows(path / "queries.csv")
    assert rows(again / "queries.csv")[550]["label"] == "-1"


@pytest.mark.parametrize("reinit", ["warm", "initial"])
def test_a_run_whose_next_fit_needs_weights_is_restored_only_if_it_is_finished(
    tmp_path: Path, reinit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "runs" / "badge" / "seed0"
    fit(path, 1, "--loop.reinit", reinit)
    out = published(path, out=tmp_path / "results")
    again = restored(out, out=tmp_path / "again") / "badge" / "seed0"
    assert rows(again / "rounds.csv") == rows(path / "rounds.csv")

    config = out / "badge" / "seed0" / "config.yaml"
    config.write_text(config.read_text().replace("num_rounds: 1\n", "num_rounds: 5\n"))
    said = is_refused(lambda: restored(out, out=tmp_path / "later"), capsys)
    assert f"with `loop.reinit` {reinit} the next fit starts from weights that are not published" in said
    assert "2 of 6 rounds" in said
    assert not (tmp_path / "later").exists()


# ---------------------------------------------------------------------------------------------------------- publishing


def test_runs_without_a_round_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = planted(tmp_path / "runs" / "random" / "seed0", [])
    planted(tmp_path / "runs" / "random" / "seed1")
    out = published(tmp_path / "runs", out=tmp_path / "results")
    said = capsys.readouterr().out
    assert f"{begun} has no finished round yet: left out." in said
    assert "1 runs," in said
    assert [path.name for path in (out / "random").iterdir()] == ["seed1"]


def test_a_run_that_is_torn_is_named_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted(tmp_path / "runs" / "random" / "seed0")
    (planted(tmp_path / "runs" / "random" / "seed1") / "queries.csv").write_text("a\n")
    said = is_refused(lambda: published(tmp_path / "runs", out=tmp_path / "results"), capsys)
    assert "seed1 as they were committed, but one was edited or is torn" in said
    assert not (tmp_path / "results").exists()


def test_all_is_of_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on as soon as it was read."""
    path = planted(tmp_path / "runs" / "random" / "seed0")
    read_texts = publish.read_texts

    def read_and_go_on(path: Path) -> dict[str, str]:
        texts = read_texts(path)
        for name in ("rounds.csv", "queries.csv", "config.yaml"):
            (path / name).write_text("later")
        return texts

    before = (path / "rounds.csv").read_bytes()
    monkeypatch.setattr(publish, "read_texts", read_and_go_on)
    place = published(tmp_path / "runs", out=tmp_path / "results") / "random" / "seed0"
    assert (place / "rounds.csv").read_bytes() == before
    assert read_run(place).num_rounds == 101


def test_what_a_run_no_longer_has_goes(tmp_path: Path) -> None:
    path = planted(tmp_path / "runs" / "random" / "seed0", data=DATA)
    place = published(tmp_path / "runs", out=tmp_path / "results") / "random" / "seed0"
    assert {"diagnostics.csv.xz", "calibration.csv.xz", "origin.json"} < {file.name for file in place.iterdir()}
    shutil.rmtree(path)
    given = RunFolder.edit(planted(path))
    given.calibration, given.diagnostics = [], []
    given.commit()
    given.close()
    published(tmp_path / "runs", out=tmp_path / "results")
    assert sorted(file.name for file in place.iterdir()) == ["config.yaml", "queries.csv.xz", "rounds.csv"]


def test_two_runs_for_one_place_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = (planted(tmp_path / name / "random" / "seed0") for name in ("one", "two"))
    said = is_refused(lambda: published(one, two, out=tmp_path / "results"), capsys)
    assert f"results/random/seed0, but got {one} and {two}." in said
    assert not (tmp_path / "results").exists()
    said = is_refused(lambda: restored(one, two, out=tmp_path / "again"), capsys)
    assert f"again/random/seed0, but got {one} and {two}." in said
    assert not (tmp_path / "again").exists()


def test_run_folders_are_not_published_onto_themselves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = planted(tmp_path / "runs" / "random" / "seed0")
    before = contents(path)
    said = is_refused(lambda: published(tmp_path / "runs", out=tmp_path / "runs"), capsys)
    assert f"{path} is a run folder" in said
    assert contents(path) == before


@pytest.mark.parametrize("script", [publish, restore])
def test_folders_without_runs_are_named(tmp_path: Path, script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    said = is_refused(lambda: script.main([str(tmp_path / "none"), "--out", str(tmp_path / "out")]), capsys)
    assert f"error: Expected a run folder or a folder of them, but there is no folder {tmp_path / 'none'}." in said


# ----------------------------------------------------------------------------------------------------------- restoring


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two published runs."""
    for seed in (0, 1):
        planted(tmp_path / "runs" / "random" / f"seed{seed}", data=DATA, made_with=MADE_WITH)
    return published(tmp_path / "runs", out=tmp_path / "results")


def test_what_was_restored_before_is_left_as_it_is(
    tmp_path: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = tables(restored(results, out=tmp_path / "whole"))
    out = restored(results / "random" / "seed0", out=tmp_path / "out")
    rounds = out / "random" / "seed0" / "rounds.csv"
    written = rounds.stat().st_mtime_ns
    capsys.readouterr()
    restored(results, out=out)
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{rounds.parent} was restored before: left as it is.", str(out / "random" / "seed1")]
    assert rounds.stat().st_mtime_ns == written
    assert tables(out) == whole


@pytest.mark.parametrize("renamed", ["no file", "no commit", "a commit alone", "a commit and a table"])
def test_what_a_kill_left_is_completed(tmp_path: Path, results: Path, renamed: str) -> None:
    whole = tables(restored(results, out=tmp_path / "whole"))
    out = tmp_path / "out"
    shutil.copytree(tmp_path / "whole", out)
    kept = {"a commit alone": ["commit.json"], "a commit and a table": ["commit.json", "config.yaml"]}
    for path in (out / "random" / "seed0").iterdir():
        if renamed == "no file":
            path.unlink()
        elif path.name not in kept.get(renamed, []) and path.name != ".lock":
            path.rename(path.with_name(f"{path.name}.new"))
    restored(results, out=out)
    assert tables(out) == whole


def test_a_run_that_went_on_is_refused_before_anything_is_written(
    tmp_path: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = restored(results / "random" / "seed1", out=tmp_path / "out")
    folder = RunFolder.edit(out / "random" / "seed1")
    folder.rounds = folder.rounds[:-1]
    folder.commit()
    folder.close()
    before = contents(out)
    said = is_refused(lambda: restored(results, out=out), capsys)
    assert f"Expected {folder.path} to be free for the run in {results / 'random' / 'seed1'}, but it has other" in said
    assert contents(out) == before


def test_other_data_or_versions_are_other_contents(
    tmp_path: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = restored(results, out=tmp_path / "out")
    (results / "random" / "seed0" / "origin.json").write_text(json.dumps({"data": DATA | {"samples": "others"}}))
    assert "seed0, but it has other contents" in is_refused(lambda: restored(results, out=out), capsys)


def test_published_runs_are_not_restored_onto_themselves(
    tmp_path: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(results)
    assert "has other contents" in is_refused(lambda: restored(results, out=results), capsys)
    assert contents(results) == before


@pytest.mark.parametrize("row", ["0,0,,", "0,,10,"])
def test_numbers_that_are_missing_are_named(tmp_path: Path, row: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = planted(tmp_path / "results" / "random" / "seed0")
    (path / "commit.json").unlink()
    table = path / "calibration.csv"
    assert "\n0,0,10," in table.read_text()
    table.write_text(table.read_text().replace("\n0,0,10,", f"\n{row}", 1))
    said = is_refused(lambda: restored(path, out=tmp_path / "out"), capsys)
    assert f"Expected whole tables of a run in {path}" in said
